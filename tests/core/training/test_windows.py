"""A sample longer than the context: left out, or read in windows that learn each token once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.focus.order import EasyFirst
from wheelwork.core.training.lessons import Course
from wheelwork.core.training.packing import Encoded
from wheelwork.core.training.windows import windows
from wheelwork.tests.core.training.toys import TRAINING, sample, samples, train


@given(st.integers(1, 90), st.integers(1, 90), st.integers(16, 64))
def test_every_token_of_the_answer_is_learnt_once_after_what_stands_before_it(
    prompt: int, completion: int, length: int
) -> None:
    whole = list(range(prompt + completion))
    pieces = list(windows(Encoded(whole[:prompt], whole[prompt:], 2.0), length))
    assert [token for piece in pieces for token in piece.completion] == whole[prompt:]
    for piece in pieces:
        read = piece.prompt + piece.completion
        assert read == whole[read[0] : read[-1] + 1] and len(read) <= length and piece.prompt and piece.weight == 2.0
    if prompt + completion <= length:
        assert len(pieces) == 1


def test_the_windows_of_a_sample_are_as_hard_as_it_is(tiny: ModelFiles) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    settings = TRAINING.model_copy(update={"too_long": "window", "max_length": 256, "order": EasyFirst(), "noise": 0.0})
    hard, easy = sample("why?", "because " * 300), samples(3)
    course = Course([hard, *easy], tokenizer, settings, 0, [0.9, 0.1, 0.1, 0.1])
    whole = len(course.lessons)
    first = [course[place] for place in range(whole)]
    assert whole > 4 and all(len(one) <= 256 for one in first)
    assert all(one.completion in [other.completion for other in course.lessons[-3:]] for one in first[:3])
    assert course.encoded([hard]) == Course([hard], tokenizer, settings, 0).lessons


@pytest.mark.parametrize(("too_long", "left_out", "said"), [("drop", 1, "left out"), ("window", 0, "read in windows")])
def test_a_sample_that_is_too_long_is_dropped_or_windowed_and_the_report_says_so(
    too_long: str, left_out: int, said: str, tiny: ModelFiles, tmp_path: Path
) -> None:
    settings = TRAINING.model_copy(update={"too_long": too_long, "max_length": 256, "epochs": 1})
    trained = train(tiny, tmp_path, settings=settings, samples=[*samples(4), sample("why?", "because " * 300)])
    assert trained.too_long == left_out
    assert trained.samples == 4 if too_long == "drop" else trained.samples > 5
    assert trained.notes == (f"answers longer than the 256 tokens of `train.max_length`: 1 {said}",)
