"""A batch as a whole: sides, every finding, tables of 80 columns, and the picture."""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from io import StringIO
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console
from wheelwork.core.quality.batch.check import Checked, check
from wheelwork.core.quality.batch.findings import NAMES, BatchReport, Corrected, rows, summary
from wheelwork.core.quality.batch.picture import draw
from wheelwork.core.quality.batch.remembered import Remembered, packed
from wheelwork.core.quality.batch.settings import Batch
from wheelwork.core.quality.batch.sides import Side, with_margins
from wheelwork.core.quality.batch.tables import table, warnings
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder

WORDS = [
    "line", "down", "modem", "red", "bill", "high", "euros", "charge",
    "wireless", "drops", "kitchen", "phone", "slow", "evening", "router", "light",
]  # fmt: skip
ONCE = ("kl", "evenness", "ratio", "coverage", "distance", "cosine_within", "cosine")
CHECKS = Counter({"ks": 2, "psi": 2, **dict.fromkeys(ONCE, 1)})


def said(text: str, label: str | None = None, **rest: Any) -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content=label or "an answer")]
    return Sample.make(turns, task="t", label=label, origin="import", **rest)


def messages(count: int, seed: int, *, labels: int = 6, longer: int = 0, of: list[str] = WORDS) -> list[Sample]:
    """Random messages of 5 to 14 words, `longer` by as many, the labels in turn."""
    rng = np.random.default_rng(seed)
    return [
        said(" ".join(rng.choice(of, int(rng.integers(5, 15)) + longer)), f"label {n % labels}") for n in range(count)
    ]


def looked(kept: list[Sample], reference: list[Sample], settings: Batch | None = None, embed: Any = None) -> Checked:
    settings = settings or Batch()
    ours, theirs = Side.of(kept, settings.rows, 0), Side.of(reference, settings.rows, 0)
    return check(ours, theirs, settings, embed or FakeEncoder(), settings.wanted(theirs.categories), 0)


def outcomes(report: BatchReport) -> dict[str, str]:
    return {f"{one.check} {one.of}": one.outcome for one in report.findings}


# what is compared


def test_a_side_knows_numbers_of_all_rows_and_draws_texts_evenly() -> None:
    samples = [said(f"text {n}", scores={"margin": n} if n % 2 else {}, controls={"year": str(n)}) for n in range(300)]
    times = Counter(text for seed in range(100) for text in Side.of(samples, 60, seed).texts)  # 20 times on average
    assert set(times) == {sample.prompt for sample in samples} and max(times.values()) < 40
    side = Side.of(samples, 30, 0)
    assert (side.rows, len(side.texts)) == (300, 30)
    assert list(side.numbers["margin"]) == list(range(1, 300, 2))
    assert list(side.numbers["year"]) == list(range(300)) and set(side.numbers["answer words"]) == {2}


def test_names_are_no_numbers_and_a_column_does_not_hide_the_words() -> None:
    (numbers,) = [Side.of([said("so it is", controls={"category": "7"}, scores={"words": 99.0})]).numbers]
    assert list(numbers["words"]) == [3] and "category" not in numbers


def test_the_margin_of_a_seed_is_told_without_it() -> None:
    seeds = [said("line down", "line"), said("line red", "line"), said("bill high", "bill"), said("odd", "lone")]
    embed = FakeEncoder()
    found = with_margins(seeds, embed)
    one, other, bill, lone = embed([seed.prompt for seed in seeds])
    assert found[0].scores["label_margin"] == pytest.approx(one @ other - max(one @ bill, one @ lone), abs=1e-5)
    assert [bool(sample.scores) for sample in found] == [True, True, False, False], "alone there is nothing to lie near"
    assert with_margins(found, embed) == found
    assert with_margins(seeds[:2], embed) == seeds[:2]


# the findings


def test_what_is_drawn_alike_is_fine_in_every_check() -> None:
    found = looked(messages(150, 1), messages(100, 2)).report
    assert Counter(one.check for one in found.findings) == CHECKS
    assert set(outcomes(found).values()) == {"fine"}
    assert summary(found) == "Batch: 11 checks of 150 kept beside 100 reference rows, none warns."


def test_what_is_longer_narrower_and_uneven_warns_by_what_it_is() -> None:
    kept = messages(150, 1, longer=9, of=WORDS[:4], labels=2)
    found = outcomes(looked(kept, messages(100, 2)).report)
    warned = {name for name, outcome in found.items() if outcome == "warn"}
    assert warned >= {"ks words", "psi words", "distance embeddings", "kl labels", "coverage labels", "cosine texts"}


def test_too_few_rows_are_unknown_whatever_they_say() -> None:
    found = looked(messages(8, 1, longer=30), messages(100, 2)).report
    told = outcomes(found)
    assert told.pop("coverage labels") == "fine" and set(told.values()) == {"unknown"}
    assert all(one.said for one in found.of("unknown"))
    assert "10 unknown" in summary(found)


def test_nothing_kept_and_no_reference_are_unknown() -> None:
    for kept, reference in (([], messages(100, 2)), (messages(100, 1), []), ([], [])):
        found = looked(kept, reference).report
        assert found.of("unknown") and not [one for one in found.findings if one.check == "distance" and one.value]


def test_without_an_encoder_what_needs_one_is_unknown_and_says_why() -> None:
    checked = looked(messages(150, 1), messages(100, 2), embed="there is no encoder here")
    unknown = checked.report.of("unknown")
    assert {one.check for one in unknown} == {"distance", "cosine_within", "cosine"}
    assert {one.said for one in unknown} == {"there is no encoder here"}
    assert "not known" in draw(checked.plot, "")


def test_the_same_seed_finds_the_same_and_many_rows_are_drawn_from_and_told() -> None:
    few = Batch(rows=100)
    once, again = (looked(messages(400, 1), messages(90, 2), few) for _ in range(2))
    assert once.report.findings == again.report.findings and once.plot == again.plot
    assert once.report.notes == ("Embeddings are those of 100 of 400 kept rows, drawn by the seed.",)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"target": {"a": 0}}, "no label or category has a share"),
        ({"target": {"a": -1}}, "greater than or equal to 0"),
        ({"target": "seeds"}, "reference"),
        ({"sample": {}}, "size"),
        ({"class_weights": {"largest": 1}}, "greater than 1"),
        ({"alpha": 0}, "greater than 0"),
        ({"ks": 0.1}, "Extra inputs"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Batch.model_validate(wrong)


def test_the_target_is_the_plan_of_a_loop_else_the_reference_unless_it_is_said() -> None:
    counts, plan = {"a": 3, "b": 1}, {"a": 1.0, "b": 1.0, "c": 2.0}
    assert Batch().wanted(counts, plan) == ({"a": 0.25, "b": 0.25, "c": 0.5}, None)
    assert Batch().wanted(counts) == Batch(target="reference").wanted(counts, plan) == ({"a": 0.75, "b": 0.25}, counts)
    assert Batch(target="even").wanted(counts, plan).shares == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert Batch(target={"a": 9, "b": 1}).wanted(counts, plan) == ({"a": 0.9, "b": 0.1}, None)


# what is shown


def test_a_terminal_of_80_columns_shows_what_warns_and_one_sentence() -> None:
    report = looked(messages(150, 1, longer=9), messages(100, 2)).report
    report = report.model_copy(update={"corrections": (Corrected(kind="sample", figures={}, said="60 of 150"),)})
    console = Console(width=80, record=True, file=StringIO())
    console.print(*warnings(report), sep="\n")
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("KS") and "words" in line for line in lines)
    quiet = {NAMES[one.check] for one in report.findings} - {NAMES[one.check] for one in report.of("warn")}
    assert quiet and not any(line.startswith(name) for line in lines for name in quiet)
    assert any(line.startswith("Batch: 11 checks of 150 kept") for line in lines) and "sample: 60 of 150." in lines
    fine = looked(messages(150, 1), messages(100, 2)).report
    assert len(warnings(fine)) == 1


def test_a_table_has_a_row_for_each_finding_and_a_dash_for_what_is_not_known() -> None:
    report = looked(messages(8, 1), messages(100, 2)).report
    cells = rows(report.findings)
    assert len(cells) == len(report.findings) == table(report.findings).row_count
    assert all(row[2:5] == ["–", "–", "–"] for row in cells if row[5] == "unknown")


def test_the_picture_is_well_formed_whatever_labels_are_called_and_the_same_again(
    recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ["<b>&", "$x$", "宽带故障", "a very long name of a label that goes on", *map(str, range(20))]
    names += names[:4]  # the commonest
    kept = [said(f"{WORDS[n % 16]} {n}", names[n % len(names)]) for n in range(200)]
    plot = looked(kept, messages(100, 2)).plot
    picture = draw(plot, "Kept & $reference$ <1>")
    assert draw(plot, "Kept & $reference$ <1>") == picture
    texts = "".join(ElementTree.fromstring(picture).itertext())
    assert all(name in texts for name in ("<b>&", "$x$", "宽带故障", "Kept & $reference$ <1>", "a very long name of"))
    assert "kept (200)" in texts and "reference (100)" in texts and "principal component" in texts
    assert not recwarn.list and capfd.readouterr() == ("", "")


# what the funnel remembers


def test_what_the_funnel_embedded_is_not_embedded_again() -> None:
    funnel, later = FakeEncoder(), FakeEncoder()
    context = FunnelContext(funnel)
    context.embed(["one text", "another text"])
    asked = ["one text", "a third text", "another text", "one text"]
    loaded: list[FakeEncoder] = []

    def load() -> FakeEncoder:
        loaded.append(later)
        return later

    embed = Remembered(packed(asked, context), load)
    assert (embed(["another text", "one text"]) == funnel(["another text", "one text"])).all() and not loaded
    assert (embed(asked) == FakeEncoder()(asked)).all()
    embed(asked)
    assert later.encoded == ["a third text"] and len(loaded) == 1


def test_a_funnel_that_embedded_nothing_hands_on_nothing() -> None:
    asked = ["one text", "another text"]
    embed = Remembered(packed(asked, FunnelContext(None)), FakeEncoder)
    assert (embed(asked) == FakeEncoder()(asked)).all()
    assert packed([], FunnelContext(None))


def test_embeddings_are_found_by_their_texts_wherever_those_stand() -> None:
    context = FunnelContext(FakeEncoder())
    context.embed(["one text", "another text", "a third text"])
    embed = Remembered(packed(["one text", "another text", "a third text"], context), later := FakeEncoder)
    left = ["a third text", "one text, corrected", "another text"]
    assert (embed(left) == later()(left)).all(), "people took one out, and corrected one"
    assert packed(left, context) == packed(left, context)
