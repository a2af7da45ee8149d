"""Preference: a head that learns which answers are chosen, and a reward model."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from wheelwork.core.errors import ConfigError, DataError, ModelError
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.scores.head import (
    Pair,
    bradley_terry,
    features,
    fit_preference,
    read_head,
    read_pairs,
    write_head,
)
from wheelwork.core.quality.scores.preference import Preference
from wheelwork.core.quality.scores.reward import Reward
from wheelwork.tests.core.quality.scores.rows import context, found, row, through
from wheelwork.tests.fakes import FakeEncoder
from wheelwork.tests.tiny import tiny_bert, tiny_reward

KIND, RUDE = ["please", "gladly", "thanks"], ["nope", "whatever", "stupid"]
FACTS = [f"fact{n}" for n in range(30)]
WORDS = ["good", "bad", "line", "down", "yes", "no"]


def pairs(count: int, seed: int = 0, right: float = 1.0) -> list[Pair]:
    """Friendly answers chosen over rude ones, a share `right` of the time."""
    draw = random.Random(seed)
    made = []
    for n in range(count):
        friendly, rude = (f"{draw.choice(words)} {draw.choice(FACTS)} {n}" for words in (KIND, RUDE))
        chosen, rejected = (friendly, rude) if draw.random() < right else (rude, friendly)
        made.append(Pair(f"question {n // 2}", chosen, rejected))
    return made


def test_it_learns_what_is_chosen_and_says_how_surely() -> None:
    head = fit_preference(pairs(80), FakeEncoder())
    assert (head.pairs, head.prompts) == (80, 40)
    assert head.held_out.accuracy > 0.95 and 0.8 < head.held_out.low <= head.held_out.accuracy <= head.held_out.high
    encode = FakeEncoder()
    friendly, rude = head(encode(["question 1"] * 2), encode(["please fact3", "nope fact3"]))
    assert friendly > 0 > rude


def test_where_nothing_is_preferred_the_interval_holds_one_half() -> None:
    held = fit_preference(pairs(200, right=0.5), FakeEncoder()).held_out
    assert held.low < 0.5 < held.high and held.high - held.low < 0.3


def test_the_same_pairs_give_the_same_head_in_whatever_order() -> None:
    made = pairs(40)
    assert fit_preference(made, FakeEncoder()) == fit_preference([*made[::-1], made[0]], FakeEncoder())


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
@settings(max_examples=20)
def test_the_weights_are_where_the_gradient_is_0_and_sides_are_symmetric(seed: int, l2: float) -> None:
    differences = np.random.default_rng(seed).normal(size=(30, 4))
    weights = bradley_terry(differences, l2)
    gradient = -differences.T @ (1 / (1 + np.exp(differences @ weights))) + l2 * weights
    assert np.abs(gradient).max() < 1e-3
    assert bradley_terry(-differences, l2) == pytest.approx(-weights, abs=1e-4)


def test_the_prompt_counts_only_with_its_answer() -> None:
    prompt, answer = np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]])
    assert features(prompt, answer).tolist() == [[0.6, 0.8, 0.6, 0.0]]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (pairs(10), "too few"),
        ([Pair("one prompt", f"a {n}", f"b {n}") for n in range(40)], "too few"),
        ([Pair(f"p {n}", "the same words", "words the same") for n in range(40)], "the same as the rejected"),
    ],
)
def test_pairs_that_cannot_teach_are_refused(made: list[Pair], said: str) -> None:
    with pytest.raises(DataError, match=said):
        fit_preference(made, FakeEncoder())


def test_a_head_is_kept_as_json_and_scores_rows(tmp_path: Path) -> None:
    head = fit_preference(pairs(80), FakeEncoder())
    write_head(tmp_path / "head.json", head)
    assert read_head(tmp_path / "head.json") == head
    rows = [
        row("question 1", "please fact3"),
        row("question 1", "nope fact3"),
        row("no answer"),
        row("q", label="please"),
    ]
    judge = Preference(head="head.json", min=0.0)
    kept, dropped, count = through(judge, rows, context(folder=tmp_path))
    assert [sample.reject_reason for sample in dropped] == ["preference_low"] and len(kept) == 3
    assert kept[0].scores["preference"] > 0 > dropped[0].scores["preference"]
    assert count.figures["unscored"] == 2 and judge.needs == ("models", "encoder") and judge.files == ("head.json",)


def test_a_head_of_another_encoder_is_refused(tmp_path: Path) -> None:
    write_head(tmp_path / "head.json", fit_preference(pairs(40), FakeEncoder(64)))
    with pytest.raises(ConfigError, match="fitted over another encoder"):
        Preference(head="head.json")([row("q", "a")], context(folder=tmp_path))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "other"}', "{" * 4000, "\udcff"])
def test_what_is_no_head_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "head.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match="no preference head"):
        read_head(tmp_path / "head.json")
    with pytest.raises(ConfigError, match="wheelwork review preference"):
        read_head(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "p", "chosen": "a"}', "`rejected` must be text"),
        ('{"prompt": "p", "chosen": "a", "rejected": " "}', "`rejected` is empty"),
        ('{"prompt": "p", "chosen": "A.", "rejected": "a"}', "say the same"),
        ('{"prompt": "p", "chosen": ["a"], "rejected": "b"}', "found a list"),
    ],
)
def test_a_pair_that_is_none_is_told_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"Prompt": "p", "chosen": "a", "rejected": "b"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"pairs\.jsonl:2: .*" + said):
        list(read_pairs(path))


def test_a_head_or_a_model_is_needed_and_not_both() -> None:
    for given_ in ({}, {"head": "a", "model": "b"}):
        with pytest.raises(ValidationError, match="either"):
            Preference.model_validate(given_)


# reward models


def test_a_reward_model_scores_as_a_forward_pass_does(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tiny_reward(tmp_path / "reward", WORDS)
    rows = [row("line down", "yes"), row("line", "no good " * 20), row("bad", "no"), row("line", label="good")]
    judge = Preference(model="reward")
    scores = judge(rows, FunnelContext(None, models=context({"reward": folder}).models)).scores["preference"]
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    for at, sample in enumerate(rows[:3]):
        with torch.no_grad():
            logits = model.eval()(**tokenizer(sample.prompt, sample.completion, return_tensors="pt")).logits
        assert scores[at] == pytest.approx(float(logits[0, 0]), abs=1e-5)
    assert scores[3] is None and judge.needs == ("models",) and judge.scored_by == ("reward",)


def test_what_is_no_reward_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no reward model"):
        Reward.load(found(tiny_bert(tmp_path / "bert", WORDS)))
    with pytest.raises(ModelError, match="has one output, this one has 3"):
        Reward.load(found(tiny_reward(tmp_path / "three", WORDS, outputs=3)))


def test_a_conversation_longer_than_the_model_reads_is_unscored(tmp_path: Path) -> None:
    folder = tiny_reward(tmp_path / "reward", WORDS)
    *_, count = through(Preference(model="reward"), [row("line", "good " * 600)], context({"reward": folder}))
    assert "(too_long 1)" in count.notes[0]
