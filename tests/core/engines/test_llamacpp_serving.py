"""llama.cpp as it serves: in a child that ends with its parent, and that can be stopped while requests come."""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from wheelwork.core.engines.base import Adapter, Engine
from wheelwork.core.engines.llamacpp import LlamaCppEngine
from wheelwork.core.errors import ModelError, ServingError
from wheelwork.core.models.store import ModelFiles
from wheelwork.tests.core.engines.asking import PROMPTS, answers, request
from wheelwork.tests.core.engines.served import EXACT
from wheelwork.tests.core.engines.serving import body, joined, run, said, streamed

SCHEMA = {"type": "json_schema"}
ENDLESS = body("Why?", max_tokens=400, ignore_eos=True)


@pytest.fixture(scope="module")
def engine(tiny: ModelFiles, adapters: dict[str, Adapter], place: Path) -> Iterator[LlamaCppEngine]:
    with EXACT.serve(tiny, adapters, place / "cache") as started:
        yield started


def whole(text: str) -> str:
    """Without what the limit left of a character."""
    return text.rstrip("\ufffd")


def child_of(pid: int) -> psutil.Process:
    (child,) = [one for one in psutil.Process(pid).children() if "llamacpp_child" in " ".join(one.cmdline())]
    return child


@pytest.mark.parametrize("name", [None, "home.v1", "home.v2"])
def test_what_is_served_is_what_a_round_measures(
    engine: LlamaCppEngine, tiny: ModelFiles, adapters: dict[str, Adapter], place: Path, name: str | None
) -> None:
    asked = [request(text) for text in PROMPTS]
    with EXACT.start(tiny, adapters, place / "cache") as measured:
        expected = answers(measured, asked, name)
        assert measured.chat(name).fingerprint == engine.chat(name).fingerprint

    async def ask() -> tuple[list[str], list[str]]:
        whole_ones = [await said(engine, body(text), name) for text in PROMPTS]
        return whole_ones, [joined(await streamed(engine, body(text), name)) for text in PROMPTS]

    at_once, in_pieces = run(ask())
    assert at_once == expected == answers(engine, asked, name)
    for pieces, text in zip(in_pieces, expected, strict=True):
        # half a character at the end is kept back
        assert text.startswith(pieces) and text.removeprefix(pieces)[:1] in {"", "\ufffd"}


def test_a_reply_names_the_version_and_tells_nothing_of_the_machine(engine: Engine) -> None:
    reply = run(engine.answer("chat/completions", body("hi"), "home.v1"))
    chunks = run(streamed(engine, body("hi"), "home.v1"))
    assert reply["model"] == "home.v1" and {chunk["model"] for chunk in chunks} == {"home.v1"}
    assert reply["object"] == "chat.completion" and reply["usage"]["completion_tokens"] > 0
    counted = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [chunks[-1]["usage"][name] for name in counted] == [reply["usage"][name] for name in counted]
    assert "/" not in json.dumps([reply, chunks])
    text = run(said(engine, {"prompt": "My internet", "max_tokens": 8, "temperature": 0}, None, "completions"))
    pieces = run(streamed(engine, {"prompt": "My internet", "max_tokens": 8, "temperature": 0}, None, "completions"))
    assert whole(joined(pieces)) == whole(text) != ""
    assert pieces[-1]["usage"]["completion_tokens"] == 8


def test_an_answer_that_was_begun_is_not_repeated(engine: Engine) -> None:
    asked = body("hi")
    asked["messages"].append({"role": "assistant", "content": "The modem"})
    text = run(said(engine, asked))
    assert whole(text) == whole(joined(run(streamed(engine, asked)))) and not text.startswith("The modem")


@pytest.mark.parametrize(
    ("asked", "adapter", "status", "code"),
    [
        (body("hi"), "home.v9", 404, "model_not_found"),
        (body("hi " * 2000), None, 400, "context_length_exceeded"),
        (body("hi", n=3), None, 400, None),
        (body("hi", response_format=SCHEMA | {"json_schema": {"schema": {"type": "quux"}}}), None, 400, None),
    ],
)
def test_what_cannot_be_answered_says_so_in_both_forms(
    engine: Engine, asked: dict[str, object], adapter: str | None, status: int, code: str | None
) -> None:
    for work in (said(engine, asked, adapter), streamed(engine, asked, adapter)):
        with pytest.raises(ServingError) as caught:
            run(work)
        assert (caught.value.status, caught.value.code) == (status, code)
        assert caught.value.retry_after is None and "\n" not in str(caught.value)


def test_half_an_emoji_and_huge_numbers_break_nothing(engine: Engine) -> None:
    assert isinstance(run(said(engine, body("hi \ud83d there"))), str)
    with pytest.raises(ServingError) as caught:
        run(said(engine, body("hi", seed=10**30, max_tokens="x")))
    assert caught.value.status == 400


def test_a_stream_that_is_closed_stops_the_work(engine: Engine) -> None:
    async def leave() -> float:
        async with aclosing(engine.stream("chat/completions", ENDLESS, None)) as chunks:
            async for chunk in chunks:
                if chunk["choices"] and joined([chunk]):
                    break
        left = asyncio.create_task(engine.answer("chat/completions", ENDLESS, None))
        await asyncio.sleep(0.05)
        left.cancel()
        started = time.monotonic()
        await said(engine, body("hi", max_tokens=1))  # there is but one slot
        return time.monotonic() - started

    async def stay() -> float:
        started = time.monotonic()
        await said(engine, ENDLESS)
        return time.monotonic() - started

    lengthy = run(stay())
    assert run(leave()) < max(0.5, lengthy)


def test_it_is_alive_until_its_process_ends_and_then_says_when_to_ask_again(
    tiny: ModelFiles, adapters: dict[str, Adapter], place: Path
) -> None:
    with EXACT.serve(tiny, adapters, place / "cache") as engine:
        assert not engine.live
        for act in (engine.add("home.v3", adapters["home.v1"]), engine.remove("home.v1")):
            with pytest.raises(ModelError, match="while it runs; start another engine"):
                run(act)

        async def bereft() -> ServingError:
            assert (await engine.healthy()).state == "ok"
            chunks = engine.stream("chat/completions", ENDLESS, None)
            await anext(chunks)
            child_of(os.getpid()).kill() if len(psutil.Process().children()) == 1 else engine._server.close()
            with pytest.raises(ServingError) as broken:
                async for _ in chunks:
                    pass
            assert broken.value.status == 503
            health = await engine.healthy()
            assert health.state == "down" and "signal 9" in health.note
            with pytest.raises(ServingError) as caught:
                await said(engine, body("hi"))
            return caught.value

        error = run(bereft())
        assert (error.status, error.code, error.retry_after) == (503, "engine_unavailable", 2.0)


def test_converted_adapters_that_nobody_used_for_a_week_are_taken_away(
    tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    def convert(name: str) -> None:
        EXACT._plan(tiny, {name: adapters[name]}, tmp_path, 1)

    convert("home.v1")
    (first,) = tmp_path.glob("*.gguf")
    other = tmp_path / "0123-on-4567-1.gguf"
    kept = tmp_path / "base.gguf"
    for path in (first, other, kept):
        path.touch()
        os.utime(path, (0, 0))
    convert("home.v1")  # used again, so it is young
    convert("home.v2")
    assert first.exists() and kept.exists() and not other.exists()
    assert len(list(tmp_path.glob("*.gguf"))) == 3


def test_a_server_that_stands_still_is_not_taken_for_a_dead_one(tiny: ModelFiles, place: Path) -> None:
    with EXACT.serve(tiny, {}, place / "cache") as engine:
        child = engine._server._process  # type: ignore[attr-defined]

        async def stand_still() -> str:
            child.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(TimeoutError, match="has not answered for 2 s"):
                    await engine.healthy()
            finally:
                child.send_signal(signal.SIGCONT)
            return (await engine.healthy()).state

        assert run(stand_still()) == "ok"


def test_it_is_stopped_while_requests_come(tiny: ModelFiles, place: Path) -> None:
    async def besiege() -> list[object]:
        with EXACT.serve(tiny, {}, place / "cache") as engine:
            asking = [asyncio.create_task(said(engine, body(f"hi {number}"))) for number in range(60)]
            asking += [asyncio.create_task(streamed(engine, ENDLESS)) for _ in range(20)]  # type: ignore[list-item]
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)  # there is but one slot
        return await asyncio.gather(*asking, return_exceptions=True)

    outcomes = run(besiege())
    failed = [one for one in outcomes if isinstance(one, BaseException)]
    assert failed and all(isinstance(one, ServingError) and one.status == 503 for one in failed)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_ends_with_its_parent(tiny: ModelFiles, place: Path, end: signal.Signals) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from wheelwork.core.engines.llamacpp import LlamaCpp\n"
        "from wheelwork.core.models.store import ModelStore\n"
        "model = ModelStore(Path(sys.argv[1])).get(sys.argv[2])\n"
        "with LlamaCpp(threads=1, context=512).serve(model, {}, Path(sys.argv[3])) as engine:\n"
        "    print(engine.base_url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(place / "store"), str(tiny.gguf), str(place / "cache")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline().startswith("http://127.0.0.1:")
        child = child_of(parent.pid)
        child.send_signal(signal.SIGINT)  # Ctrl-C reaches the whole terminal; it is the parent's to end
        child.send_signal(signal.SIGTERM)
        with pytest.raises(psutil.TimeoutExpired):
            child.wait(timeout=0.3)
        parent.send_signal(end)
        parent.wait(timeout=10)
        child.wait(timeout=10)


def test_the_child_ends_when_its_parent_did_while_it_loaded(tiny: ModelFiles, place: Path) -> None:
    plan = EXACT._plan(tiny, {}, place / "cache", 1)
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "wheelwork.core.engines.llamacpp_child"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None
    child.stdout.close()  # nobody hears where it listens
    child.stdin.write(plan.model_dump_json().encode() + b"\n")
    child.stdin.close()
    try:
        assert child.wait(30) == 1
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("damage", ["cut short", "text"])
def test_a_model_that_cannot_be_served_is_one_sentence(
    damage: str, tiny: ModelFiles, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tiny.gguf is not None
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny.gguf.read_bytes()[:-5000] if damage == "cut short" else b"hello")
    model = dataclasses.replace(tiny, gguf=path)
    with pytest.raises(ModelError, match=r"llama.cpp cannot load this model; the file is damaged"):
        EXACT.serve(model, {}, tmp_path).__enter__()
    assert capfd.readouterr() == ("", "")
    assert not [one for one in psutil.Process().children() if one.status() == psutil.STATUS_ZOMBIE]
