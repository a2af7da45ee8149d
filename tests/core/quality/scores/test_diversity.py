"""Diversity: what is counted, and a sample that hangs on nothing but the texts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.passes import judge_all
from wheelwork.core.quality.scores.diversity import Diversity, Drawn, distinct, self_bleu
from wheelwork.core.quality.verdicts import Batch
from wheelwork.core.samples import Sample
from wheelwork.tests.core.quality.scores.rows import context, row, through

WORDS = [f"word{n}" for n in range(400)]


class Rows(list[Sample]):
    """A batch."""

    def samples(self, rows: list[int]) -> list[Sample]:
        return [self[at] for at in rows]


def varied(count: int, seed: int = 0) -> list[Sample]:
    draw = random.Random(seed)
    return [row(" ".join(draw.sample(WORDS, 8))) for _ in range(count)]


def test_distinct_counts_different_ngrams_by_all() -> None:
    texts = [["a", "b", "a", "b"], ["a", "b"]]
    assert distinct(texts, 1) == pytest.approx(2 / 6)
    assert distinct(texts, 2) == pytest.approx(2 / 4)
    assert distinct(texts, 5) is None


def test_self_bleu_is_100_for_copies_and_low_for_strangers() -> None:
    assert self_bleu(["the line is down again"] * 3) == pytest.approx(100)
    assert self_bleu(["one two three four", "five six seven eight"]) == 0
    assert self_bleu(["alone"]) is None


def test_alike_texts_are_told_and_kept() -> None:
    kept, dropped, count = through(Diversity(), [row(f"the line is down again {n % 2}") for n in range(30)], context())
    assert len(kept) == 30 and not dropped
    assert count.figures["texts"] == 30 and count.figures["distinct_2"] < 0.1 and count.figures["self_bleu"] > 90
    assert [note.split(":")[0] for note in count.notes] == ["diversity", "diversity"]


def test_varied_texts_need_no_remark() -> None:
    *_, count = through(Diversity(), varied(40), context())
    assert count.figures["distinct_2"] > 0.9 and count.figures["self_bleu"] < 30 and count.notes == ()


def test_only_what_the_filters_before_kept_is_measured() -> None:
    rows = [
        row("the line is down again now"),
        row("The line is down again now!"),
        row("quite another matter over here"),
    ]
    funnel = Funnel.model_validate({"filters": [{"kind": "exact_duplicates"}, {"kind": "diversity"}]})
    *_, counts = funnel.split(rows, context())
    assert counts[1].figures["texts"] == 2 and counts[1].figures["distinct_2"] == 1.0


def test_figures_are_the_same_in_whatever_batches_and_order_the_rows_come() -> None:
    rows, judge = varied(300), Diversity(sample=50, self_bleu_sample=10)

    def figures(batches: list[Batch]) -> dict[str, float]:
        _, (tally,) = judge_all([judge], batches, FunnelContext(None))
        return tally.figures

    whole = figures([Rows(rows)])
    shuffled = random.Random(1).sample(rows, len(rows))
    assert whole == figures([Rows(shuffled[at : at + 7]) for at in range(0, 300, 7)])
    assert whole["texts"] == 50


@given(st.lists(st.text(max_size=5), max_size=30), st.integers(0, 30), st.integers(1, 10))
def test_two_samples_make_the_sample_of_both(texts: list[str], cut: int, size: int) -> None:
    named = [(str(at), text) for at, text in enumerate(texts)]
    both = Drawn.of(named[:cut], size, 0) + Drawn.of(named[cut:], size, 0)
    assert both == Drawn.of(named, size, 0) and len(both.texts) == min(size, len(texts))


def test_another_seed_draws_others() -> None:
    named = [(str(at), str(at)) for at in range(100)]
    assert Drawn.of(named, 10, 0).texts != Drawn.of(named, 10, 1).texts


def test_nothing_is_measured_where_nothing_is_said() -> None:
    *_, count = through(Diversity(of="answer"), [row("a question without an answer")], context())
    assert count.figures == {"texts": 0.0} and count.notes == ()
