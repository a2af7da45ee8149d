"""The last door before training: copies are found by each of three looks, and what is merely of one topic is not."""

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from wheelwork.core.errors import LeakError
from wheelwork.core.evaluation.holdouts.leaks import (
    FEWEST_COPIES,
    Embed,
    Found,
    Leak,
    LeakCheck,
    abridged,
    find_leaks,
    look_at,
    refuse_leaked,
)
from wheelwork.core.evaluation.holdouts.texts import Said, learnt_from, said_of
from wheelwork.core.evaluation.scorers import Item
from wheelwork.core.loops import load_loop
from wheelwork.core.models.encoder import Vectors
from wheelwork.core.naming import find_loop
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.pool.rows import sample
from wheelwork.tests.fakes import FakeEncoder

WORDS = [f"w{n}" for n in range(400)]
BY_WORDS = LeakCheck(cosine=None)


def sentences(count: int, seed: int = 0, length: int = 12) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.sample(WORDS, length)) for _ in range(count)]


HELD = [Said(text, f"holdout.jsonl:{line}", "holdout") for line, text in enumerate(sentences(60), 1)]


def rows(texts: Sequence[str], part: str = "kept") -> list[Said]:
    return [Said(text, f"s{n}", part, id=f"s{n}") for n, text in enumerate(texts)]


def found(texts: Sequence[str], check: LeakCheck = BY_WORDS, embed: Embed | None = None) -> Found:
    return find_leaks(rows(texts), HELD, check, embed)


def hows(done: Found) -> list[tuple[str, str]]:
    return [(leak.how, leak.held.place) for leak in done.leaks]


def shuffled(text: str) -> str:
    words = text.split()
    return " ".join(words[::2] + words[1::2])


def test_nothing_in_common_is_no_leak() -> None:
    done = found(sentences(50, seed=1), LeakCheck(), FakeEncoder())
    assert done.leaks == [] and (done.looked.rows, done.looked.held_out) == (50, 60)
    assert done.looked.cosine is not None and done.looked.limit is not None
    assert 0 < done.looked.cosine < done.looked.limit < 1
    assert done.looked.sentences[0].startswith("None of 50 texts that are trained on copies one of 60")


def test_the_same_words_whatever_their_case_and_spacing() -> None:
    assert hows(found(["x y", HELD[4].text.upper() + "  !"])) == [("words", "holdout.jsonl:5")]


def test_a_long_text_with_one_word_changed() -> None:
    copied = HELD[7].text.rsplit(" ", 1)[0] + " other"
    assert hows(found([copied])) == [("ngrams", "holdout.jsonl:8")]


def test_the_same_in_another_order_is_seen_by_its_embedding_alone() -> None:
    copied = shuffled(HELD[2].text)
    assert found([copied]).leaks == []
    assert hows(found([copied], LeakCheck(), FakeEncoder())) == [("meaning", "holdout.jsonl:3")]


def test_short_questions_of_one_form_are_no_copies() -> None:
    held = [Said(f"What is the capital of {name}?", f"r:{name}", "retention") for name in ("France", "Peru")]
    assert find_leaks(rows(["What is the capital of Chad?"]), held, BY_WORDS).leaks == []
    assert find_leaks(rows(["what is the capital of peru"]), held, BY_WORDS).leaks[0].held.place == "r:Peru"


def test_the_same_question_about_another_passage_is_another_question() -> None:
    held = [Said("when does this end", "h:1", "holdout", passage="leave")]
    asked = [Said("when does this end", id, "kept", passage=id, id=id) for id in ("leave", "notice")]
    assert [leak.row.passage for leak in find_leaks(asked, held, BY_WORDS).leaks] == ["leave"]


def test_a_conversation_leaks_when_all_that_was_said_is_the_same() -> None:
    def turns(*users: str) -> list[Message]:
        return [
            Message(role=role, content=text)
            for user in users
            for role, text in (("user", user), ("assistant", "yes"))
        ]  # fmt: skip

    talk = Item(id="t", prompt="ok thanks", answers=("bye",), history=tuple(turns("my line is dead")))
    alone = Item(id="a", prompt="where is my bill", answers=("here",))
    held = [said_of(talk, "holdout", "h:1"), said_of(alone, "holdout", "h:2")]
    innocent = Sample.make(turns("the tv is dark", "ok thanks"), task="dialogue", origin="teacher")
    guilty = Sample.make(turns("My line is dead!", "ok thanks", "one more"), task="dialogue", origin="teacher")
    middle = Sample.make(turns("hello", "Where is my bill?"), task="dialogue", origin="teacher")
    said = learnt_from([innocent, guilty, middle], "kept")
    leaks = find_leaks(said, held, BY_WORDS).leaks
    assert {(leak.row.id, leak.held.place) for leak in leaks} == {(guilty.id, "h:1"), (middle.id, "h:2")}


# how near a copy is


class OnePlace(FakeEncoder):
    """Puts all texts nearly in one place, as an encoder of random weights does."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        vectors = super().__call__(texts) + 100
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_an_encoder_that_tells_no_texts_apart_stops_no_round() -> None:
    done = found([shuffled(HELD[2].text)], LeakCheck(), OnePlace())
    assert done.leaks == [] and done.looked.limit is None and "lie as near" in done.looked.sentences[1]


def test_too_few_held_out_rows_tell_nothing_and_a_number_does() -> None:
    few, copied = HELD[: FEWEST_COPIES - 1], rows([shuffled(HELD[2].text)])
    assert "too few" in find_leaks(copied, few, LeakCheck(), FakeEncoder()).looked.sentences[1]
    assert len(find_leaks(copied, few, LeakCheck(cosine=0.9), FakeEncoder()).leaks) == 1


def test_held_out_rows_that_are_alike_raise_the_limit() -> None:
    twins = [*HELD, Said(shuffled(HELD[0].text) + " w1", "holdout.jsonl:61", "holdout")]
    before = find_leaks(rows(["x"] * 2 + sentences(3, seed=2)), HELD, LeakCheck(), FakeEncoder()).looked.limit
    after = find_leaks(rows(["x"] * 2 + sentences(3, seed=2)), twins, LeakCheck(), FakeEncoder()).looked.limit
    assert before is not None and after is not None and after > before


@pytest.mark.parametrize("text", [HELD[0].text, "我家的网络从今天早上开始就断了", "short one"])
def test_a_copy_lacks_a_little_and_is_the_same_each_time(text: str) -> None:
    assert abridged(text) == abridged(text) != text and len(abridged(text)) < len(text)


# the sentence


def leak(part: str, how: str = "words", id: str = "") -> Leak:
    row = Said("the red light blinks", id or f"{part}.jsonl:3", part, id=id)
    return Leak(row, HELD[0], how, 0.95)  # type: ignore[arg-type]


def test_a_leak_says_which_row_which_suite_and_what_to_do() -> None:
    looked = found([]).looked
    refuse_leaked(Found([], looked), "tiny")
    with pytest.raises(LeakError) as caught:
        refuse_leaked(Found([leak("seeds"), leak("replayed", "meaning", "0123456789abcdef")], looked), "tiny")
    said = str(caught.value)
    assert "2 rows that would be trained on are held out to measure on" in said
    assert "seeds seeds.jsonl:3 “the red light blinks” copies holdout.jsonl:1 of `holdout` (the same words)" in said
    assert "(the same, rephrased, 0.95)" in said
    assert "wheelwork pool exclude tiny 0123456789abcdef" in said and "raise `leaks.cosine`" in said
    assert caught.value.exit_code == 2


def test_many_leaks_are_counted() -> None:
    many = [leak("kept", id=f"{n:016x}") for n in range(9)]
    with pytest.raises(LeakError, match=r"9 rows .*; and 6 more; "):
        refuse_leaked(Found(many, found([]).looked), "tiny")


# the data that comes with the package


@pytest.mark.parametrize("name", ["home_broadband", "policy_qa", "support_dialogue"])
def test_the_seeds_and_the_rehearsal_of_a_scenario_copy_no_suite(name: str) -> None:
    from wheelwork.core.evaluation.holdouts.texts import held_out_in

    loop = load_loop(find_loop(name))
    trained = learnt_from(loop.material.seed_samples(), "seeds")
    trained += [Said(text, f"rehearsal {n}", "rehearsal") for n, text in enumerate(loop.rehearsal)]
    done = find_leaks(trained, held_out_in(loop.suites), LeakCheck(similarity=0.4, cosine=None))
    assert done.leaks == [] and done.looked.rows > 90


def test_samples_are_found_by_their_ids() -> None:
    one = sample("the bill is wrong", "bill")
    assert [said.place for said in learnt_from([one], "kept")] == [one.id]


def test_the_loops_own_files_are_looked_at_before_a_round(tmp_path: Path) -> None:
    loop = shutil.copytree(find_loop("home_broadband"), tmp_path / "loop")
    quiet = look_at(load_loop(loop))
    assert quiet.leaks == [] and quiet.looked.rows > len(load_loop(loop).seeds)
    held = [json.loads(line)["text"] for line in (loop / "holdout.jsonl").read_text(encoding="utf-8").splitlines()]
    words = next(text for text in held if len(text.split()) > 11)
    with (loop / "rehearsal.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"prompt": f"{words} thanks"}) + "\n")
    done = look_at(load_loop(loop))
    assert [(leak.row.part, leak.held.part, leak.how) for leak in done.leaks] == [("rehearsal", "holdout", "ngrams")]
    assert done.leaks[0].row.place.startswith("rehearsal.jsonl:")
