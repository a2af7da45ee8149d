"""What a training reads: each epoch whole, noise where it may be, and the same again wherever it goes on."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.samples import Message, Sample
from wheelwork.core.training.focus.order import EasyFirst
from wheelwork.core.training.lessons import Course
from wheelwork.core.training.noise import as_typed
from wheelwork.core.training.packing import Encoded
from wheelwork.core.training.settings import Training
from wheelwork.tests.core.training.toys import SYSTEM, rehearsal, sample

TEXT = "the wireless in my back bedroom is gone again since this morning, please help"
NOISY = Training(epochs=4, noise=0.3)


@pytest.fixture
def course(tiny: ModelFiles) -> Callable[..., Course]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny.folder, local_files_only=True)
    return lambda samples, settings=NOISY, seed=0, difficulty=(): Course(samples, tokenizer, settings, seed, difficulty)


def read(course: Course) -> list[Encoded]:
    return [course[position] for position in range(len(course))]


def labelled(text: str = TEXT, **rest: Any) -> Sample:
    return sample(text, "wifi", label="wifi", **rest)


def test_every_epoch_holds_every_lesson_once_in_an_order_of_its_own(course: Callable[..., Course]) -> None:
    made = course([sample(f"message {n}", "wifi") for n in range(20)])
    epochs = [read(made)[start : start + 20] for start in range(0, 80, 20)]
    for epoch in epochs:
        assert sorted(one.prompt for one in epoch) == sorted(one.prompt for one in made.lessons)
    assert len({tuple(tuple(one.prompt) for one in epoch) for epoch in epochs}) == 4


def test_each_rehearsal_answer_is_read_in_one_of_so_many_epochs(course: Callable[..., Course]) -> None:
    given = [rehearsal(f"question {n}", "an answer") for n in range(9)]
    made = course([*given, sample("message", "wifi")], Training(epochs=6, rehearse_every=3))
    assert len(made) == 6 * (3 + 1)
    assert made.tokens == sum(len(one) for one in read(made))
    for start in range(0, 24, 12):  # three epochs hold each answer once
        prompts = [one.prompt for one in read(made)[start : start + 12] if one.rehearsal]
        assert sorted(prompts) == sorted(one.prompt for one in made.lessons if one.rehearsal)


def test_a_labelled_message_is_read_otherwise_in_each_epoch_and_learns_the_same_label(
    course: Callable[..., Course],
) -> None:
    made = course([labelled(weight=2.0), sample("message", "wifi")])
    seen = [one for one in read(made) if one.completion == made.lessons[0].completion and one.weight > 1]
    assert len(seen) == 4
    assert len({tuple(one.prompt) for one in seen}) == 4
    assert {one.weight for one in seen} == {made.lessons[0].weight}


def test_weights_reach_every_epoch_with_mean_1_over_the_tokens_and_1_stays_1(course: Callable[..., Course]) -> None:
    given = [sample(f"message {n}", ("wifi", "bill")[n % 2]) for n in range(9)]
    assert {one.weight for one in read(course(given))} == {1.0}
    weighed = [one.model_copy(update={"weight": 0.25 + n}) for n, one in enumerate(given)]
    made = course(weighed)
    tokens = sum(len(one.completion) for one in made.lessons)
    assert sum(one.weight * len(one.completion) for one in made.lessons) == pytest.approx(tokens)
    ratios = [one.weight / made.lessons[0].weight for one in made.lessons]
    assert ratios == pytest.approx([one.weight / 0.25 for one in weighed])
    assert {one.weight for one in read(made)} == {one.weight for one in made.lessons}


def test_the_system_prompt_has_no_noise(course: Callable[..., Course], tiny: ModelFiles) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny.folder, local_files_only=True)
    assert all(SYSTEM in tokenizer.decode(one.prompt) for one in read(course([labelled()])))


@pytest.mark.parametrize(
    "kept",
    [
        sample(TEXT, "wifi"),  # no label: the answer may hang on each word
        rehearsal(TEXT, "an answer"),
        Sample.make(
            [Message(role=role, content=TEXT) for role in ("user", "assistant", "user", "assistant")],
            task="dialogue",
            label="wifi",
            origin="seed",
        ),
    ],
    ids=["unlabelled", "rehearsal", "dialogue"],
)
def test_what_may_hang_on_a_word_is_read_as_it_is(kept: Sample, course: Callable[..., Course]) -> None:
    made = course([kept])
    assert {tuple(one.prompt) for one in read(made)} == {tuple(one.prompt) for one in made.lessons}


def test_without_noise_every_message_is_read_as_it_is(course: Callable[..., Course]) -> None:
    made = course([labelled()], Training(epochs=3, noise=0))
    assert read(made) == made.lessons * 3


def test_the_same_seed_reads_the_same_from_any_place_on(course: Callable[..., Course]) -> None:
    first, again, other = course([labelled()]), course([labelled()]), course([labelled()], seed=1)
    assert [again[position] for position in (3, 1)] == [first[position] for position in (3, 1)]
    assert read(first) == read(again) != read(other)


def test_a_slip_that_makes_a_message_too_long_is_left_out(course: Callable[..., Course]) -> None:
    (whole,) = course([labelled()]).lessons
    fits = Training(epochs=30, noise=0.01, max_length=len(whole))
    assert all(len(one) <= len(whole) for one in read(course([labelled()], fits)))


@given(text=st.text(max_size=80), share=st.floats(0, 0.99), seed=st.integers(0, 99))
@settings(max_examples=200)
def test_noise_never_empties_a_message_nor_adds_to_it(text: str, share: float, seed: int) -> None:
    typed = as_typed(text, share, random.Random(seed))
    assert bool(typed.strip()) == bool(text.strip())
    assert set(typed.casefold()) <= set(text.casefold())


def test_noise_leaves_out_the_share_of_words_that_it_is_given() -> None:
    text = " ".join(f"w{n}" for n in range(1000))
    assert len(as_typed(text, 0.12, random.Random(0)).split()) == pytest.approx(880, abs=40)


def test_a_script_without_spaces_loses_signs_and_not_whole_sentences() -> None:
    text = "我家的宽带从昨天晚上开始一直断断续续请尽快派人来修理"
    typed = [as_typed(text, 0.12, random.Random(seed)) for seed in range(50)]
    assert all(len(text) / 2 < len(one) <= len(text) for one in typed)
    assert len(set(typed)) > 40


def test_with_an_order_every_epoch_is_whole_and_the_same_from_any_place_on(course: Callable[..., Course]) -> None:
    given = [labelled(f"message {n} {'indeed ' * n}") for n in range(10)]
    given.insert(3, rehearsal("question", "an answer"))
    hard = [n / 11 for n in range(11)]
    settings = Training(epochs=3, noise=0.3, order=EasyFirst(difficulty="length"))
    made, again = (course(given, settings, difficulty=hard) for _ in range(2))
    plain = course(given, Training(epochs=3, noise=0))
    assert len(made) == len(plain) == 33
    quiet = course(given, settings.model_copy(update={"noise": 0.0}), difficulty=hard)
    lengths = [len(one) for one in read(quiet)[:11] if not one.rehearsal]
    assert lengths == sorted(lengths)
    for start in (0, 11, 22):
        assert sorted(one.prompt for one in read(quiet)[start : start + 11]) == sorted(
            one.prompt for one in made.lessons
        )
    assert [again[position] for position in (25, 7)] == [made[position] for position in (25, 7)]
    assert read(made) == read(again)
