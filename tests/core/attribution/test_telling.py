"""An attribution as people read it: few lines in a terminal, a table on the page, JSON in the report."""

import json

from wheelwork.core.attribution.findings import Attribution, Evidence, Found, SuiteAttribution
from wheelwork.core.attribution.remedies import AskLabel, MoreSamples, Shown
from wheelwork.core.attribution.telling import COLUMNS, lines_of, markdown_of, summary_of, table_rows


def found_of(name: str, failing: int, known: bool = True) -> Found:
    evidence = Evidence(cause="missing_coverage", strength=0.9, said="1 of 61 training samples are `speed`")
    return Found(
        axis="confusion",
        name=name,
        members=failing,
        failing=failing,
        p_value=None,
        items=tuple(f"{name}-{at}" for at in range(failing)),
        cause="missing_coverage" if known else "unknown",
        evidence=(evidence,) if known else (),
        remedies=(MoreSamples(category="speed", controls={"difficulty": "4"}, count=36),) if known else (),
    )


def attribution(*groups: Found, other: int = 2, **more: object) -> Attribution:
    failing = sum(group.failing for group in groups) + other
    suite = SuiteAttribution(
        role="target", scored=312, unscored=0, failing=failing, tried=12, groups=groups,
        other=tuple(f"o{at}" for at in range(other)),
    )  # fmt: skip
    return Attribution(suites={"holdout": suite.model_copy(update=more)})


def test_a_terminal_gets_one_line_a_group_and_six_at_most() -> None:
    found = attribution(found_of("speed → billing", 9), found_of("move → billing", 4, known=False))
    assert lines_of(summary_of(found, None)) == [
        "Fails 15 of 312 items of holdout (2 in no group):",
        "- 9× speed → billing: missing coverage; write about 36 more samples of `speed`, difficulty 4",
        "- 4× move → billing: cause unknown",
    ]
    many = lines_of(summary_of(attribution(*(found_of(f"g{at}", 3) for at in range(9))), None))
    assert len(many) == 6 and "(4 smaller groups, 2 in no group)" in many[0]


def test_what_has_no_groups_is_one_sentence_and_what_does_not_fail_none() -> None:
    (line,) = lines_of(summary_of(attribution(), None))
    assert line == "Fails 2 of 312 items of holdout; they have nothing in common that was looked for."
    assert lines_of(summary_of(attribution(other=0), None)) == [] == lines_of({})


def test_the_page_has_every_group_and_escapes_what_would_break_its_table() -> None:
    page = markdown_of(summary_of(attribution(found_of("a|b → c", 9), notes=("a note",)), None))
    assert "- holdout: 11 of 312 items fail, 2 of them in no group.\n- holdout: a note.\n" in page
    assert "| holdout | a\\|b → c (confusion) | 9 of 9 | – | missing coverage | 1 of 61 training samples" in page
    assert markdown_of({}) == ""


def test_a_report_holds_it_as_json_and_what_the_plan_followed() -> None:
    summary = summary_of(attribution(found_of("speed → billing", 9)), "f" * 64)
    assert json.loads(json.dumps(summary)) == summary
    assert summary["followed"] == "f" * 64 and summary["suites"]["holdout"]["other"] == 2
    assert list(summary["groups"][0]) == COLUMNS
    assert summary_of(None, None) == {} and summary_of(None, "f" * 64) == {"followed": "f" * 64}


def test_targets_come_before_guards_and_large_groups_before_small_ones() -> None:
    guard = attribution(found_of("retained", 20)).suites["holdout"].model_copy(update={"role": "guard"})
    target = attribution(found_of("small", 3), found_of("large", 5)).suites["holdout"]
    rows = table_rows(Attribution(suites={"retention": guard, "holdout": target}))
    assert [row["group"] for row in rows] == ["large", "small", "retained"]


def test_a_question_is_rows_of_a_review_sheet() -> None:
    ask = AskLabel(labels=("a", "b"), question="which?", samples=(Shown(id="1" * 16, text="hi", answer="a"),))
    assert ask.sheet_rows() == [
        {"id": "1" * 16, "before": "", "text": "hi", "answer": "a", "chosen": "doubted", "score": ""}
    ]
    assert ask.said == f"ask a person: which? ({'1' * 16})"
