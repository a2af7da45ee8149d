"""transformers as it serves: together as alone, in pieces as in one, and adapters that come and go meanwhile."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.batching import Batches, Row
from wheelwork.core.engines.transformers import Transformers, TransformersEngine
from wheelwork.core.engines.wanted import Wanted
from wheelwork.core.errors import ModelError, ServingError
from wheelwork.core.models.store import ModelFiles
from wheelwork.tests.core.engines.asking import answers, request
from wheelwork.tests.core.engines.serving import body, joined, run, said, streamed
from wheelwork.tests.tiny import TEXTS

CPU = Transformers(device="cpu", batch=16)


@pytest.fixture
def engine(tiny: ModelFiles, adapters: dict[str, Adapter], place: Path) -> Iterator[TransformersEngine]:
    with CPU.serve(tiny, adapters, place / "cache") as started:
        yield started


@pytest.mark.parametrize("name", [None, "home.v1"])
def test_answers_that_are_written_together_are_those_written_alone(
    engine: TransformersEngine, name: str | None
) -> None:
    lengths = (3, 12, 20, 5, 12, 8, 1, 16)
    asked = [body(text, max_tokens=length) for text, length in zip(TEXTS, lengths, strict=True)]
    alone = answers(engine, [request(text, max_tokens=n) for text, n in zip(TEXTS, lengths, strict=True)], name)

    async def together() -> list[str]:
        return await asyncio.gather(*(said(engine, one, name) for one in asked))

    async def in_pieces() -> list[str]:
        return [joined(chunks) for chunks in await asyncio.gather(*(streamed(engine, one, name) for one in asked))]

    assert run(together()) == alone
    assert run(in_pieces()) == alone


def test_adapters_are_kept_apart(engine: TransformersEngine) -> None:
    names = (None, "home.v1", "home.v2")
    alone = [text for name in names for text in answers(engine, [request(text) for text in TEXTS[:4]], name)]

    async def at_once() -> list[str]:
        return await asyncio.gather(*(said(engine, body(text), name) for name in names for text in TEXTS[:4]))

    assert run(at_once()) == alone


def test_a_drawn_answer_depends_on_its_own_seed_whoever_is_beside_it(engine: TransformersEngine) -> None:
    rest = {"temperature": 0.8, "top_p": 0.9}
    alone = answers(engine, [request(text, seed=seed, **rest) for seed, text in enumerate(TEXTS)])

    async def together() -> list[str]:
        greedy = [said(engine, body(text)) for text in TEXTS]
        drawn = [said(engine, body(text, seed=seed, **rest)) for seed, text in enumerate(TEXTS)]
        return await asyncio.gather(*greedy, *drawn)

    texts = run(together())
    assert texts[len(TEXTS) :] == alone
    assert texts[: len(TEXTS)] == answers(engine, [request(text) for text in TEXTS])


def test_choices_have_seeds_of_their_own_and_the_prompt_counts_once(engine: TransformersEngine) -> None:
    asked = body("hi", n=3, temperature=1.0, seed=7)
    reply = run(engine.answer("chat/completions", asked, None))
    texts = [choice["message"]["content"] for choice in reply["choices"]]
    assert texts == answers(engine, [request("hi", temperature=1.0, seed=7 + number) for number in range(3)])
    chunks = run(streamed(engine, asked))
    assert [joined(chunks, number) for number in range(3)] == texts
    assert chunks[-1]["usage"] == reply["usage"]
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]
    assert reply["usage"]["prompt_tokens"] < 60 and 3 < reply["usage"]["completion_tokens"] <= 36


def test_a_stop_string_is_never_shown_not_even_its_beginning(engine: TransformersEngine) -> None:
    text = run(said(engine, body("hi", max_tokens=32)))
    stop = text[5:9]
    chunks = run(streamed(engine, body("hi", max_tokens=32, stop=[stop, "not there"])))
    assert joined(chunks) == text[: text.index(stop)] == run(said(engine, body("hi", max_tokens=32, stop=stop)))
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"


def test_completions_take_texts_and_tokens(engine: TransformersEngine) -> None:
    def ask(prompt: Any) -> list[str]:
        asked = {"prompt": prompt, "max_tokens": 6, "temperature": 0}
        reply = run(engine.answer("completions", asked, None))
        assert joined(run(streamed(engine, asked, None, "completions"))) == reply["choices"][0]["text"]
        return [choice["text"] for choice in reply["choices"]]

    one, two = ask(["My internet", "Why is"])
    assert ask("My internet") == [one] and one != two
    assert ask([5, 6, 7]) == ask([[5, 6, 7]])


@pytest.mark.parametrize(
    ("asked", "adapter", "status", "says"),
    [
        (body("hi"), "home.v9", 404, "`home.v9` is not served"),
        (body("hi " * 2000), None, 400, "the prompt has .* tokens, and with the answer at most 2048 fit"),
        (body("hi", tools=[{"type": "function"}]), None, 400, "does not know `tools`"),
        (body("hi", presence_penalty=0.5), None, 400, "does not know `presence_penalty`; set it to 0"),
        (body("hi", response_format={"type": "json_object"}), None, 400, "cannot hold a reply to a JSON schema"),
        (body("hi", n=99), None, 400, "`n` is 99; it must be between 1 and 64"),
        (body("") | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, None, 400, "takes text"),
    ],
)
def test_what_cannot_be_answered_says_so(
    engine: TransformersEngine, asked: dict[str, Any], adapter: str | None, status: int, says: str
) -> None:
    for work in (said(engine, asked, adapter), streamed(engine, asked, adapter)):
        with pytest.raises(ServingError, match=says) as caught:
            run(work)
        assert caught.value.status == status


def test_adapters_come_and_go_while_answers_are_written(
    tiny: ModelFiles, adapters: dict[str, Adapter], place: Path
) -> None:
    one, two = adapters.values()
    with CPU.serve(tiny, adapters, place / "cache") as engine:
        expected = {name: answers(engine, [request("hi", max_tokens=64)], name)[0] for name in (None, *adapters)}

    async def live() -> None:
        with CPU.serve(tiny, {}, place / "cache") as engine:  # a network that PEFT has not touched
            assert engine.live
            lengthy = body("hi", max_tokens=64)
            asking = [asyncio.create_task(said(engine, lengthy)) for _ in range(3)]
            await asyncio.sleep(0)
            await engine.add("v1", one)
            asking += [asyncio.create_task(said(engine, lengthy, "v1")) for _ in range(3)]
            await asyncio.sleep(0)
            await engine.add("v2", two)
            await engine.add("v2", two)
            with pytest.raises(ModelError, match="`v2` stands for another adapter"):
                await engine.add("v2", one)
            asking += [asyncio.create_task(said(engine, lengthy, name)) for name in ("v1", "v2", None)]
            named = ["", "", "", "v1", "v1", "v1", "v1", "v2", ""]
            of = {"": expected[None], "v1": expected["home.v1"], "v2": expected["home.v2"]}
            assert await asyncio.gather(*asking) == [of[name] for name in named]
            await engine.remove("v1")
            assert await said(engine, lengthy, "v2") == of["v2"]
            await engine.remove("v2")
            with pytest.raises(ServingError, match="`v2` is not served"):
                await said(engine, lengthy, "v2")
            with pytest.raises(ModelError, match="no adapter `v2` here; the engine serves the base alone"):
                await engine.remove("v2")
            assert await said(engine, lengthy) == of[""]
            await engine.add("v3", one)
            assert await said(engine, lengthy, "v3") == of["v1"]
            health = await engine.healthy()
            assert (health.state, health.note) == ("ok", "0 running, 0 waiting")

    run(live())


def test_a_bad_adapter_leaves_the_model_as_it_was(
    tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    shutil.copytree(adapters["home.v1"].folder, tmp_path / "bad")
    weights = tmp_path / "bad" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b"layers.1.", b"layers.7."))

    async def bad(engine: TransformersEngine) -> None:
        before = await said(engine, body("hi"))
        with pytest.raises(ModelError, match="this adapter does not fit the model"):
            await engine.add("bad", Adapter.at(tmp_path / "bad"))
        assert await said(engine, body("hi")) == before
        with pytest.raises(ServingError, match="`bad` is not served"):
            await said(engine, body("hi"), "bad")
        await engine.add("good", adapters["home.v2"])
        assert await said(engine, body("hi"), "good") != before == await said(engine, body("hi"))

    for served in ({}, {"home.v1": adapters["home.v1"]}):
        with CPU.serve(tiny, served, tmp_path) as engine:
            run(bad(engine))


def test_a_caller_that_goes_away_stops_the_work(engine: TransformersEngine) -> None:
    async def leave() -> None:
        async with aclosing(engine.stream("chat/completions", body("hi", max_tokens=1900), None)) as chunks:
            async for chunk in chunks:
                if joined([chunk]):
                    break
        await said(engine, body("hi", max_tokens=1))
        assert (await engine.healthy()).note == "0 running, 0 waiting"

    run(leave())


def test_a_stop_tells_all_who_wait(tiny: ModelFiles, place: Path) -> None:
    async def stop() -> list[object]:
        with Transformers(device="cpu", batch=1).serve(tiny, {}, place / "cache") as engine:
            asking = [asyncio.create_task(said(engine, body("hi", max_tokens=1900))) for _ in range(3)]
            await asyncio.sleep(0.1)
            await asyncio.to_thread(engine.close)
            with pytest.raises(ServingError) as caught:
                await said(engine, body("hi"))
            assert caught.value.status == 503 and (await engine.healthy()).state == "down"
        return await asyncio.gather(*asking, return_exceptions=True)

    outcomes = run(stop())
    assert [error.status for error in outcomes if isinstance(error, ServingError)] == [503, 503, 503]


class Letters:
    """Token 65 is A, and so on; nothing stops."""

    def cut(self, fresh: list[int]) -> tuple[str, bool]:
        return "".join(map(chr, fresh)), False


def row(adapter: str | None, heard: list[Any]) -> Row:
    return Row(0, Wanted([1], 3, 0.0, 1.0, 0, ()), adapter, Letters(), [0], True, heard.append)


def test_what_waits_for_one_adapter_is_taken_together_the_longest_waiting_first() -> None:
    batches, heard, begun, go = [], [], threading.Event(), threading.Event()

    def write(adapter: str | None, rows: list[Row]) -> None:
        batches.append((adapter, len(rows)))
        begun.set()
        go.wait(60)
        for one in rows:
            while not one.take(65):
                pass

    queue = Batches(write, 3)
    queue.ask([row("x", heard)])
    begun.wait(60)
    queue.ask([row(adapter, heard) for adapter in ("a", "b", "a", None, "a", "a")])
    left = row("a", heard)
    queue.ask([left])
    left.given_up = True
    go.set()
    queue.between(lambda: batches.append(("between", 0)))
    while len(heard) < 7 * 3:
        begun.wait(0.01)
    queue.close()
    assert batches == [("x", 1), ("between", 0), ("a", 3), ("b", 1), (None, 1), ("a", 1)]
    assert "".join(piece.text for piece in heard) == "A" * 21


def test_too_many_waiting_are_told_when_to_ask_again() -> None:
    go = threading.Event()
    queue = Batches(lambda adapter, rows: go.wait(60) and None, 1)
    with pytest.raises(ServingError, match="are waited for already") as caught:
        queue.ask([row(None, []) for _ in range(257)])
    assert (caught.value.status, caught.value.retry_after) == (503, 2.0)
    go.set()
    queue.close()
