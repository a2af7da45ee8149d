"""Each cause finds what was planted, and says nothing where it was not."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from wheelwork.core.attribution.attributing import Attributing
from wheelwork.core.attribution.cases import Case
from wheelwork.core.attribution.causes import MissingCoverage
from wheelwork.core.attribution.findings import Attribution, Found
from wheelwork.core.attribution.ground import Ground, Learnt, nearness
from wheelwork.core.attribution.groups import Group
from wheelwork.core.attribution.look import Look
from wheelwork.core.evaluation.scorers import Item
from wheelwork.tests.core.attribution.material import LABELS, even_rows, ground_of, item, suite_of, table, text_of
from wheelwork.tests.fakes import FakeEncoder


def items_of(each: int = 12) -> list[Item]:
    return [item(text_of(label, number, "asked"), label) for label in LABELS for number in range(each)]


def attributed(
    items: list[Item], replies: list[str], ground: Ground, champion: list[str] | None = None, **settings: Any
) -> Attribution:
    suite = suite_of(items, **settings)
    tables = {"base": table(suite, ["?"] * len(items)), "candidate": table(suite, replies)}
    if champion is not None:
        tables["champion"] = table(suite, champion)
    return Attributing()({"holdout": suite}, {"holdout": tables}, ground, FakeEncoder())


def group(found: Attribution, axis: str) -> Found:
    (one,) = [one for _, one in found.found if one.axis == axis]
    return one


def right(items: list[Item]) -> list[str]:
    return [str(one.label) for one in items]


def wrong(items: list[Item], label: str, reply: str, count: int) -> list[str]:
    """Right replies, but for the first `count` items of `label`."""
    replies, left = right(items), count
    for at, one in enumerate(items):
        if one.label == label and left:
            replies[at], left = reply, left - 1
    return replies


def test_a_suite_without_failures_has_no_groups_and_embeds_nothing() -> None:
    items, encoder = items_of(), FakeEncoder()
    suite = suite_of(items)
    found = Attributing()(
        {"holdout": suite}, {"holdout": {"candidate": table(suite, right(items))}}, ground_of(even_rows()), encoder
    )
    assert found.suites["holdout"].groups == () and found.suites["holdout"].failing == 0
    assert encoder.encoded == []


def test_replies_that_are_not_in_form_are_formatting_with_a_change_of_the_template() -> None:
    items = items_of()
    found = group(attributed(items, wrong(items, "speed", "It is about speed.", 6), ground_of(even_rows())), "rule")
    assert found.cause == "formatting" and found.failing == 6 and found.p_value is None
    assert found.evidence[0].said == "in 6 of 6 the reply holds the right answer, but not alone"
    assert [remedy.kind for remedy in found.remedies] == ["template"]
    assert "stands alone" in found.remedies[0].said


def test_a_label_with_few_samples_is_missing_coverage_and_more_are_asked_for() -> None:
    items = items_of()
    rows = [row for row in even_rows(20) if row[1] != "speed"] + [(text_of("speed", 0, "trained"), "speed")]
    ground = ground_of(rows, dropped={"speed": Counter(label_disagrees=14, too_short=2)})
    found = group(attributed(items, wrong(items, "speed", "billing", 9), ground), "confusion")
    assert found.cause == "missing_coverage" and found.name == "speed → billing"
    said = found.evidence[0].said
    assert "1 of 61 training samples are `speed`, an even share is 15" in said
    assert "the funnel dropped 16, mostly for `label_disagrees`" in said
    more = found.remedies[0]
    assert more.kind == "more_samples" and more.category == "speed" and more.count == 36
    assert found.remedies[1].kind == "few_shots"


def test_items_far_from_everything_that_was_trained_on_are_missing_coverage_too() -> None:
    far = [item(f"fibre splice cabinet lorry zz{n} qq{n}", "offline") for n in range(8)]
    items = [*items_of(), *far]
    replies = [*right(items_of()), *["billing"] * 8]
    found = group(attributed(items, replies, ground_of(even_rows(12))), "confusion")
    assert found.cause == "missing_coverage" and found.failing == 8
    (evidence,) = found.evidence
    assert evidence.p_value is not None and evidence.p_value < 1e-4
    assert evidence.figures["cosine"] < evidence.figures["cosine_elsewhere"]
    more, shots = found.remedies
    assert more.kind == "more_samples" and (more.category, more.count) == ("offline", 32)
    assert shots.kind == "few_shots" and all(shot.answer == "offline" for shot in shots.shots)


def test_samples_that_say_the_opposite_are_named() -> None:
    items = items_of()
    # beside each of the first texts of `speed` lies a sample that calls it billing
    bad = [(f"{text_of('speed', number, 'asked')} really", "billing") for number in range(5)]
    found = group(attributed(items, wrong(items, "speed", "billing", 5), ground_of([*even_rows(), *bad])), "confusion")
    assert found.cause == "contradicting_samples"
    assert set(found.evidence[0].samples) == {f"{40 + at:016x}" for at in range(5)}
    (ask,) = found.remedies
    assert ask.kind == "ask_label" and set(ask.labels) == {"speed", "billing"}
    assert [row["answer"] for row in ask.sheet_rows()] == ["billing"] * 5


def test_two_labels_that_lie_among_each_other_are_ambiguous_and_a_person_is_asked() -> None:
    texts = [f"tariff change contract terms m{number} n{number}" for number in range(24)]
    rows = [row for row in even_rows() if row[1] in ("offline", "move_house")]
    rows += [(text, ("billing", "speed")[at % 2]) for at, text in enumerate(texts)]
    items = [one for one in items_of() if one.label in ("offline", "move_house")]
    items += [item(f"tariff change contract terms x{at} y{at}", ("billing", "speed")[at % 2]) for at in range(24)]
    swapped = {"billing": "speed", "speed": "billing"}
    replies = [swapped.get(one, one) if at % 3 else one for at, one in enumerate(right(items))]
    found = [one for _, one in attributed(items, replies, ground_of(rows)).found if one.axis == "confusion"]
    assert {one.name for one in found} == {"billing → speed", "speed → billing"}
    for one in found:
        evidence = next(told for told in one.evidence if told.cause == "ambiguous_label")
        assert evidence.figures["there"] == evidence.figures["back"] == 8 and evidence.figures["overlap"] > 0.15
        assert "the other way round 8 times" in evidence.said
    ask = next(remedy for one in found for remedy in one.remedies)
    assert ask.kind == "ask_label"


def test_what_the_champion_had_right_is_forgotten_and_replayed() -> None:
    items = items_of()
    found = group(
        attributed(items, wrong(items, "speed", "billing", 6), ground_of(even_rows(20)), champion=right(items)),
        "confusion",
    )
    assert found.cause == "forgotten" and found.evidence[0].said == "the champion had 6 of 6 right"
    (replay,) = found.remedies
    assert replay.kind == "replay_more" and replay.of == "replay" and replay.labels == ("speed",)


def test_a_plain_suite_is_rehearsed_and_never_gets_samples_of_the_task() -> None:
    items = [item(f"capital of land{n}", answers=(f"town{n}",), slice=("a", "b")[n % 2]) for n in range(40)]
    suite = suite_of(items, role="guard", margin=0.1, prompt="plain")
    told = [f"town{n}" for n in range(40)]
    fallen = ["dunno" if n % 2 and n < 30 else f"town{n}" for n in range(40)]
    tables = {"base": table(suite, told), "candidate": table(suite, fallen)}
    found = Attributing()({"holdout": suite}, {"holdout": tables}, ground_of(even_rows()), FakeEncoder())
    one = group(found, "slice")
    assert one.cause == "forgotten" and one.name == "b" and one.failing == 15
    assert one.remedies[0].kind == "replay_more" and one.remedies[0].of == "rehearsal"
    assert found.more_samples == []


def test_an_answer_that_no_passage_holds_is_absent_knowledge() -> None:
    passages = {"p1": "Refunds take five working days.", "p2": "Shops open at nine."}
    items = [item(f"how long does a refund take {n}", answers=("five days",), passages=("p1",)) for n in range(30)]
    items += [
        item(f"who runs shop {n}", answers=(f"Mrs Jones{n}",), passages=("p2",), slice="people") for n in range(10)
    ]
    ground = Ground(learnt=(Learnt("0" * 16, "when do you open", "at nine", None, "p2"),), passages=passages)
    found = group(attributed(items, ["five days"] * 30 + ["nobody"] * 10, ground), "slice")
    assert found.cause == "knowledge_absent" and found.evidence[0].figures["absent"] == 10
    (add,) = found.remedies
    assert add.kind == "add_knowledge" and add.passages == ("p2",) and add.slices == ("people",)


def test_a_group_without_support_is_unknown_and_has_no_remedy() -> None:
    items = items_of()
    found = group(attributed(items, wrong(items, "speed", "billing", 6), ground_of(even_rows(20))), "confusion")
    assert (found.cause, found.evidence, found.remedies) == ("unknown", (), ())


def test_failures_that_have_nothing_in_common_are_other() -> None:
    items = items_of()
    replies = right(items)
    for at, label in ((0, "speed"), (13, "billing"), (25, "offline"), (40, "move_house")):
        replies[at] = label
    suite = attributed(items, replies, ground_of(even_rows())).suites["holdout"]
    assert suite.groups == () and len(suite.other) == 4 and suite.failing == 4
    assert "nothing in common" in suite.notes[0]


def test_without_an_encoder_the_rest_is_still_told() -> None:
    items = items_of()
    suite = suite_of(items)
    tables = {"candidate": table(suite, wrong(items, "speed", "It is about speed.", 6))}
    found = Attributing()({"holdout": suite}, {"holdout": tables}, ground_of(even_rows()), None)
    assert [one.cause for _, one in found.found] == ["formatting"]
    assert "nothing was embedded" in found.suites["holdout"].notes[0]


@pytest.mark.parametrize("reply", ["billing", "It is about speed.", ""])
def test_no_text_of_a_suite_is_in_a_remedy_even_where_training_has_it(reply: str) -> None:
    items = items_of()
    leaked = [(one.prompt.upper(), "billing") for one in items if one.label == "speed"]
    rows = [row for row in even_rows() if row[1] != "speed"]
    found = attributed(items, wrong(items, "speed", reply, 9), ground_of([*rows, *leaked]), champion=right(items))
    remedies = [remedy for _, one in found.found for remedy in one.remedies]
    assert remedies
    for remedy in remedies:
        told = (remedy.model_dump_json() + remedy.said).casefold()
        assert not [one.prompt for one in items if one.prompt.casefold() in told]


def test_the_same_given_again_is_the_same_and_survives_json() -> None:
    items = items_of()
    told = [attributed(items, wrong(items, "speed", "billing", 9), ground_of(even_rows())) for _ in range(2)]
    assert told[0] == told[1] == Attribution.model_validate_json(told[0].model_dump_json())


def test_items_that_fail_at_random_lie_too_far_in_at_most_one_group_of_twenty() -> None:
    draw, encode, groups = np.random.default_rng(3), FakeEncoder(), 200
    rows = even_rows(12)
    ground = ground_of(rows, vectors=encode([text for text, _ in rows]))
    texts = [text_of("speed", number, "asked", f"more{number % 7}") for number in range(60)]
    vectors, found = encode(texts), 0
    for _ in range(groups):
        failing = frozenset(draw.choice(60, size=8, replace=False).tolist())
        cases = [Case(id=str(at), text=text, failed=at in failing, label="speed") for at, text in enumerate(texts)]
        near = nearness(cases, range(60), vectors, ground)
        look = Look(cases=cases, ground=ground, near=near, in_task=True, level=0.05)
        found += MissingCoverage()(Group("label", "speed", frozenset(range(60)), failing), look) is not None
    assert found / groups <= 0.05 + 0.03, "which 200 draws of one in twenty exceed once in forty"
