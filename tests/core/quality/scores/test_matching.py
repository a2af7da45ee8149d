"""BERTScore, beside a computation that takes each token by itself."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError
from wheelwork.core.models.encoder import Encoder
from wheelwork.core.quality.scores.matching import BertScore, greedy_match
from wheelwork.tests.core.quality.scores.rows import context, found, row, through
from wheelwork.tests.tiny import tiny_bert

WORDS = [
    "the",
    "a",
    "line",
    "is",
    "down",
    "again",
    "modem",
    "red",
    "light",
    "shows",
    "nothing",
    "works",
    "bill",
    "high",
]
PAIRS = [
    ("the line is down", "a line is down again"),
    ("modem shows red light", "the modem shows a red light again"),
    ("bill", "the bill is high"),
    ("nothing works", "nothing works"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert") / "encoder", WORDS)


def states(folder: Path, text: str, layer: int) -> list[list[float]]:
    """Each token of one text, without [CLS] and [SEP], straight from transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        hidden = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[layer]
    return [[float(value) for value in token] for token in hidden[0, 1:-1]]


def by_hand(folder: Path, answer: str, reference: str, layer: int) -> tuple[float, float, float]:
    def cosine(one: list[float], other: list[float]) -> float:
        dot = sum(a * b for a, b in zip(one, other, strict=True))
        return float(dot / (sum(a * a for a in one) * sum(b * b for b in other)) ** 0.5)

    said, wanted = states(folder, answer, layer), states(folder, reference, layer)
    precision = sum(max(cosine(one, other) for other in wanted) for one in said) / len(said)
    recall = sum(max(cosine(one, other) for other in said) for one in wanted) / len(wanted)
    return precision, recall, 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize(("setting", "layer"), [(None, 2), (1, 1)])
def test_it_is_what_a_computation_token_by_token_finds(folder: Path, setting: int | None, layer: int) -> None:
    rows = [row("q", answer, reference=reference) for answer, reference in PAIRS]  # of four lengths, in one batch
    scores = BertScore(layer=setting)(rows, context({"encoder": folder})).scores
    for at, pair in enumerate(PAIRS):
        expected = by_hand(folder, *pair, layer)
        names = ("bert_precision", "bert_recall", "bert_score")
        assert [scores[name][at] for name in names] == pytest.approx(expected, abs=1e-5)
    assert scores["bert_score"][3] == pytest.approx(1.0, abs=1e-6)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_answer_and_reference_change_places_with_precision_and_recall(n: int, m: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(n + m, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    one, other = greedy_match(rows[:n], rows[n:]), greedy_match(rows[n:], rows[:n])
    assert (one.precision, one.recall) == pytest.approx((other.recall, other.precision), abs=1e-6)
    assert one.f1 == pytest.approx(other.f1, abs=1e-6)
    assert min(one[:2]) - 1e-6 <= one.f1 <= max(one[:2]) + 1e-6 and -1 <= one.f1 <= 1


def test_empty_texts_are_unscored_and_long_ones_cut_and_both_told(folder: Path) -> None:
    rows = [
        row("q", "", reference="line"),
        row("q", "line", reference=" "),
        row("q", "line " * 600, reference="line"),
        row("q", "line", reference="line"),
    ]
    kept, _, count = through(BertScore(), rows, context({"encoder": folder}))
    assert ["bert_score" in sample.scores for sample in kept] == [False, False, True, True]
    assert count.notes == (
        "bert_score: 1 of 4 rows were cut at 256 tokens.",
        "bert_score: 2 of 4 rows could not be scored (no_answer 1, no_reference 1) and were kept.",
    )


def test_a_layer_that_there_is_not_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="beyond the 2 layers of encoder"):
        BertScore(layer=3)([row("q", "a", reference="a")], context({"encoder": folder}))


def test_a_text_without_tokens_has_no_rows(folder: Path) -> None:
    encoder = Encoder.load(found(folder).files)
    empty, said = encoder.by_token(["", "line down"])
    assert empty.rows.shape == (0, 32) and said.rows.shape == (2, 32) and not said.cut
    assert encoder.by_token([]) == []
