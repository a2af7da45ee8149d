"""The sheet in Argilla and Label Studio: what goes out, what comes back, and that both mean what the sheet means."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from wheelwork.core.errors import DataError
from wheelwork.core.pool.annotators import Tool, unwrapped
from wheelwork.core.pool.reviewing import take_in, write_review
from wheelwork.core.pool.sheet import read_sheet
from wheelwork.core.pool.store import Pool
from wheelwork.tests.core.pool.rows import a_pool
from wheelwork.tests.e2e.command import tiny_loop

Answers = list[tuple[str, str, str]]  # person, question, answer


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return a_pool(tmp_path / "home", rows=12)


def exported(pool: Pool, path: Path, tool: Tool) -> list[dict[str, Any]]:
    assert write_review(pool, path, 6, "label_margin", tool=tool) == 6
    records: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return records


def in_argilla(record: Mapping[str, Any], answers: Answers) -> dict[str, Any]:
    """`record` as Argilla writes it once people have answered."""
    responses: dict[str, list[dict[str, str]]] = {}
    for person, question, said in answers:
        responses.setdefault(question, []).append({"value": said, "user_id": person})
    return {**record, "responses": responses, "vectors": {}, "_server_id": "4b1d"}


def in_label_studio(record: Mapping[str, Any], answers: Answers) -> dict[str, Any]:
    """`record` as Label Studio writes it once people have answered."""
    kinds = {"decision": ("choices", "choices"), "new_text": ("textarea", "text"), "new_answer": ("textarea", "text")}
    annotations = []
    for person in dict.fromkeys(person for person, _, _ in answers):
        result = [
            {"from_name": name, "to_name": "text", "type": kinds[name][0], "value": {kinds[name][1]: [said]}}
            for who, name, said in answers
            if who == person
        ]
        annotations.append({"id": 1, "completed_by": {"id": 7, "email": person}, "result": result})
    skipped = {"id": 2, "completed_by": 9, "was_cancelled": True, "result": []}
    return {**record, "id": 31, "annotations": [*annotations, skipped], "predictions": []}


TOOLS = pytest.mark.parametrize(("tool", "answered"), [("argilla", in_argilla), ("label-studio", in_label_studio)])


@TOOLS
def test_answers_come_back_as_decisions(pool: Pool, tmp_path: Path, tool: Tool, answered: Any) -> None:
    folder, path = tiny_loop(tmp_path / "loop", models=False), tmp_path / "out.json"
    records = exported(pool, path, tool)
    first, second, third, *others = records
    text = (second.get("fields") or second["data"])["text"]
    back = [
        answered(first, [("ann", "decision", "reject"), ("bo", "decision", "reject")]),
        answered(second, [("ann", "new_text", "The modem is dead since noon"), ("bo", "decision", "accept")]),
        answered(third, [("ann", "decision", "accept"), ("bo", "decision", "reject")]),
        *(answered(other, []) for other in others),
    ]
    path.write_text(json.dumps(back), encoding="utf-8")
    done = take_in(pool, folder, path)
    assert done.counts == {"accepted": 0, "rejected": 1, "corrected": 1, "undecided": 1, "no decision": 3}
    (pair,) = done.agreement
    assert (pair.one, pair.other, pair.rows, pair.share) == ("ann", "bo", 2, 0.5)
    view = pool.view(pool.head())
    texts = {sample.prompt for sample in pool.samples(view.accepted)}
    assert "The modem is dead since noon" in texts and text not in texts


@TOOLS
def test_without_answers_nothing_is_decided(pool: Pool, tmp_path: Path, tool: Tool, answered: Any) -> None:
    exported(pool, tmp_path / "out.json", tool)
    assert all(not row.votes and not row.new_text for row in read_sheet(tmp_path / "out.json"))


def test_argilla_gets_fields_and_metadata(pool: Pool, tmp_path: Path) -> None:
    for record in exported(pool, tmp_path / "out.json", "argilla"):
        assert set(record) == {"id", "fields", "metadata", "suggestions", "responses"}
        assert set(record["fields"]) == {"before", "text", "answer"} and set(record["metadata"]) == {"chosen", "score"}


def test_label_studio_gets_an_interface_for_its_tasks(pool: Pool, tmp_path: Path) -> None:
    records = exported(pool, tmp_path / "out.json", "label-studio")
    view = ElementTree.fromstring((tmp_path / "out.xml").read_text(encoding="utf-8"))
    shown = {tag.attrib["value"].removeprefix("$") for tag in view.iter("Text")}
    assert all(shown <= set(record["data"]) for record in records)
    texts = {tag.attrib["name"] for tag in view.iter("Text")}
    asked = {tag.attrib["name"]: tag.attrib["toName"] for tag in view if "toName" in tag.attrib}
    assert set(asked) == {"decision", "new_text", "new_answer", "note"} and set(asked.values()) <= texts
    assert [tag.attrib["value"] for tag in view.iter("Choice")] == ["accept", "reject"]


def test_a_number_is_a_name_too() -> None:
    result = [{"from_name": "decision", "value": {"choices": ["accept"]}}, {"from_name": "other", "value": {}}]
    task = {"data": {"id": "a"}, "annotations": [{"completed_by": 3, "result": result}]}
    assert unwrapped(task) == {"id": "a", "decision.3": "accept"}


def test_two_corrections_that_differ_are_told() -> None:
    record = in_argilla({"id": "a", "fields": {}}, [("ann", "new_text", "one"), ("bo", "new_text", "two")])
    with pytest.raises(DataError, match="`new_text` was given twice and not the same; agree on one"):
        unwrapped(record)
    same = in_argilla({"id": "a", "fields": {}}, [("ann", "new_text", "one"), ("bo", "new_text", "one ")])
    assert unwrapped(same)["new_text"] == "one"


@pytest.mark.parametrize(
    "broken",
    [
        {"data": {"id": "a"}, "annotations": [{"result": [{"value": {}}]}]},
        {"data": {"id": "a"}, "annotations": ["x"]},
        {"fields": {}, "id": "a", "responses": {"decision": [{}]}},
        {"fields": {}, "id": "a", "responses": ["decision"]},
    ],
)
def test_a_damaged_record_is_told_with_its_row(tmp_path: Path, broken: dict[str, Any]) -> None:
    (tmp_path / "x.json").write_text(json.dumps([broken]), encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.json:1: this record is none that Argilla or Label Studio exports"):
        read_sheet(tmp_path / "x.json")


def test_a_name_that_is_not_json_is_refused(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"argilla reads JSON; give the file a name that ends in \.json"):
        write_review(pool, tmp_path / "out.csv", 6, "label_margin", tool="argilla")
