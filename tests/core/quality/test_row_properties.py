"""Filters of rows on many of them: precision and recall where defects are planted, and what holds for every text."""

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.funnel import Filter, Funnel
from wheelwork.core.quality.rows.advertising import Advertising
from wheelwork.core.quality.rows.debris import TemplateDebris
from wheelwork.core.quality.rows.dialogue import DialogueChecks
from wheelwork.core.quality.rows.fields import Fields
from wheelwork.core.quality.rows.language import Language
from wheelwork.core.quality.rows.outliers import Outliers
from wheelwork.core.quality.rows.repetition import Repetition
from wheelwork.core.quality.rows.structure import Structure
from wheelwork.core.samples import Sample
from wheelwork.tests.core.quality import row_plants
from wheelwork.tests.core.quality.row_texts import (
    chinese,
    context,
    conversation,
    english,
    precision_and_recall,
    sample,
    written,
)

# planted defects

ZH_RULES = Rules(language="zh", min_words=4, max_words=90, banned_words=("total muppet",), max_repetition=0.5)
BOTH_RULES = Rules(
    min_words=4, max_words=90, banned=(*Rules().banned, *ZH_RULES.banned), banned_words=("total muppet",)
)


@pytest.mark.parametrize(
    ("judge", "plant"),
    [
        (BOTH_RULES, row_plants.rules),
        (TemplateDebris(), row_plants.debris),
        (TemplateDebris(), row_plants.echo),
        (Repetition(), row_plants.repetition),
        (Language(allowed=("en", "zh")), row_plants.language),
        (Structure(), row_plants.structure),
        (Advertising(), row_plants.advertising),
    ],
    ids=lambda value: getattr(value, "kind", getattr(value, "__name__", "")),
)
def test_what_is_planted_is_found_and_little_else(judge: Filter, plant: row_plants.Plant) -> None:
    draw = random.Random(3)
    clean = [sample(*row) for row in written(500)]
    planted = [sample(*plant(row, draw)) for row in written(150, 1)]
    precision, recall = precision_and_recall(judge, clean, planted)
    assert precision >= 0.98
    assert recall >= 0.95


def test_each_language_alone_is_told_from_the_other() -> None:
    theirs, others = [[sample(*row) for row in written(200, 0, writer)] for writer in (english, chinese)]
    assert precision_and_recall(Language(allowed=("en",)), theirs, others) == (1, 1)
    assert precision_and_recall(Language(allowed=("zh",)), others, theirs) == (1, 1)


# what holds for every text

JUDGES: list[Filter] = [
    Rules(judges=("prompt", "answer", "history"), banned_words=("x y",), min_chars=2),
    Rules(language="zh"),
    TemplateDebris(),
    Repetition(),
    Language(allowed=("en",)),
    *(Structure(format=name, judges=("prompt", "answer")) for name in ("any", "json", "markdown", "code")),
    Advertising(),
    Fields(required={"n": "number"}, optional={"d": "date"}),
    Outliers(fields=("n",), min_rows=4),
    DialogueChecks(min_turns=1),
]
PIECES = st.sampled_from(
    (
        "`", "```", "\n", "|", "---", "[", "](", ")", "（", "”", '"', "**", "{", "{{name}}", "<", "网络", "の", "é",
        "٣", "İ", "buy now ", "http://a.bc ", "your name? my name ", "User: ", "no ", "1", "[NAME]", "\u0301",
        "\U0001f600",
    )
)  # fmt: skip
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.lists(PIECES, max_size=14).map("".join)
)


@st.composite
def rows(draw: st.DrawFn) -> Sample:
    turns = draw(st.lists(TEXT, min_size=1, max_size=5))
    controls = {name: draw(TEXT | st.floats().map(str)) for name in draw(st.sets(st.sampled_from("nd")))}
    return conversation(turns, system=draw(TEXT), controls=controls, task=draw(st.sampled_from(["qa", "code"])))


@settings(deadline=None, max_examples=60)
@given(st.lists(rows(), max_size=6), st.randoms(use_true_random=False))
def test_no_text_breaks_a_filter_and_neither_order_nor_company_changes_its_answer(
    batch: Sequence[Sample], draw: random.Random
) -> None:
    order = list(range(len(batch)))
    draw.shuffle(order)
    for judge in JUDGES:
        judged, shuffled = judge(batch, context()), judge([batch[row] for row in order], context())
        assert [judged.reasons[row] for row in order] == shuffled.reasons
        assert [judged.scores_of(row) for row in order] == [shuffled.scores_of(place) for place in range(len(batch))]
        if judge.kind != "outliers":
            assert [reason for row in batch for reason in judge([row], context()).reasons] == judged.reasons


@settings(deadline=None, max_examples=40)
@given(st.lists(rows(), max_size=6))
def test_what_a_filter_keeps_it_keeps_again(batch: Sequence[Sample]) -> None:
    for judge in JUDGES:
        if judge.kind != "outliers":  # whose statistics are of the rows that are left
            kept, _, _ = Funnel(filters=(judge,)).split(batch, context())
            assert Funnel(filters=(judge,)).split(kept, context())[:2] == (kept, [])


@pytest.mark.parametrize(
    "unit",
    ["[", "](", "a`", "{{ ", "<a ", "//", "\\", "a_", "x@", "your x? ", '"', "| a ", "a b ", "作为", "buy now ", "(a"],
)
def test_no_long_text_takes_long(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    batch = [conversation([text, text])]
    Language(allowed=("en",))([sample("the model is loaded once, before the clock starts")], context())
    started = time.perf_counter()
    for judge in JUDGES:
        judge(batch, context())
    assert time.perf_counter() - started < 10  # what grows with the square takes minutes
