"""What samples are made from: tasks, topics, passages and seeds of a folder, checked row by row."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from wheelwork.core.errors import ConfigError, DataError, UserError
from wheelwork.core.generation.material import Material
from wheelwork.core.generation.planning import Generation
from wheelwork.core.generation.tasks import AnyTask
from wheelwork.core.loops import load_loop
from wheelwork.core.naming import find_loop

HANDBOOK = "# Travel\nA mile driven is paid with 45 pence.\n## Hotels\nUp to 90 pounds a night are paid.\n"
GROUNDED = {"kind": "grounded_qa", "documents": {"path": "docs"}}
DIALOGUE = {"kind": "dialogue", "topics": {"pairing": "joining", "battery": "power"}, "min_turns": 1}
QUESTION = {"question": "What does a mile pay?", "answer": "45 pence", "quote": "paid with 45 pence"}
TALK = [{"role": "user", "content": "it is dead"}, {"role": "assistant", "content": "Press the button."}]


def material(folder: Path, task: dict[str, Any], rows: list[dict[str, Any]] | None = None, **changes: Any) -> Material:
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "travel.md").write_text(HANDBOOK, encoding="utf-8")
    seeds = folder / "seeds.jsonl"
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows or []), encoding="utf-8")
    return Material(
        folder,
        TypeAdapter(AnyTask).validate_python(task),
        Generation.model_validate(changes),
        seeds=seeds if rows is not None else None,
        language="en",
        template="write",
        config=folder / "loop.yaml",
    )


def complaint(folder: Path, task: dict[str, Any], rows: list[dict[str, Any]], **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        material(folder, task, rows, **changes)
    assert isinstance(caught.value, ConfigError | DataError)
    return str(caught.value).replace(f"{folder}/", "")


def test_the_categories_of_a_folder_of_documents_are_its_files(tmp_path: Path) -> None:
    made = material(tmp_path, GROUNDED, [QUESTION | {"passage": "travel#travel"}])
    assert made.categories == {"travel": "travel"}
    assert set(made.passages) == {"travel#travel", "travel#hotels"}
    (seed,) = made.seeds
    assert (seed.category, seed.passage, seed.quote) == ("travel", "travel#travel", "paid with 45 pence")
    (sample,) = made.seed_samples()
    assert "45 pence" in sample.messages[0].content and sample.source == "seeds.jsonl:1"


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"controls": {"difficulty": [1, 5]}}, "controls.difficulty"),
        ({"controls": {"style": ["terse"]}, "tone": "polite"}, "controls.style"),
        ({"tone": "polite"}, "tone"),
        ({"forbidden": ["asap"]}, "forbidden"),
    ],
)
def test_what_no_template_would_tell_the_teacher_is_refused(tmp_path: Path, asked: dict[str, Any], named: str) -> None:
    said = complaint(tmp_path, DIALOGUE, [], templates={"write": 1, "continue": 1}, **asked)
    assert said.startswith(f"loop.yaml: `generate.{named}` is told to the teacher as a rule")
    assert "the template `continue` takes none" in said and "`generate.templates: {write: 1}`" in said
    assert material(tmp_path, DIALOGUE, [], templates={"write": 1, "continue": 0}, **asked).settings.wishes
    assert material(tmp_path, DIALOGUE, [], templates={"write": 1}, **asked).settings.wishes[0] == named
    assert material(tmp_path, DIALOGUE, [], templates={"continue": 1}).settings.wishes == []


def test_each_order_is_about_a_passage_of_its_category(tmp_path: Path) -> None:
    made = material(tmp_path, GROUNDED, [])
    passages = [order.passage.id for order in made.orders({"travel": 4}, 1, 0) if order.passage]
    assert sorted(passages) == ["travel#hotels"] * 2 + ["travel#travel"] * 2


def test_a_task_with_neither_topics_nor_seeds_is_one_category(tmp_path: Path) -> None:
    made = material(tmp_path, {"kind": "qa"}, None)
    assert made.categories == {"any": ""} and made.seeds == [] and made.seed_samples() == []
    assert sum(order.choices for order in made.orders(made.next_wave({}, 0, 0), 8, 0)) == made.settings.samples


def test_a_conversation_is_read_with_its_history(tmp_path: Path) -> None:
    turns = [*TALK, {"role": "user", "content": "done"}, {"role": "assistant", "content": "Good."}]
    (seed,) = material(tmp_path, DIALOGUE, [{"messages": turns, "category": "battery"}]).seeds
    assert (seed.text, seed.answer, len(seed.history), seed.category) == ("done", "Good.", 2, "battery")


def test_the_digest_tells_what_samples_are_made_from(tmp_path: Path) -> None:
    rows = [QUESTION]
    one = material(tmp_path, GROUNDED, rows).digest
    assert material(tmp_path, GROUNDED, rows).digest == one
    assert material(tmp_path, GROUNDED, [QUESTION | {"answer": "45 pence a mile"}]).digest != one
    assert material(tmp_path, GROUNDED | {"instruction": "Answer."}, rows).digest != one


@pytest.mark.parametrize(
    ("task", "rows", "says"),
    [
        ({"kind": "qa"}, [{"question": "When?"}], "seeds.jsonl:1: `answer` is missing or empty"),
        ({"kind": "qa"}, [{"question": "When?", "answer": " "}], "seeds.jsonl:1: `answer` is missing or empty"),
        (GROUNDED, [QUESTION | {"passage": "travel#hotel"}], "passage `travel#hotel`; did you mean `travel#hotels`?"),
        (DIALOGUE, [{"messages": TALK, "category": "pairng"}], "unknown category `pairng`; did you mean `pairing`?"),
        (DIALOGUE, [{"messages": TALK[:1]}], "seeds.jsonl:1: `messages` must be a list of turns"),
        (DIALOGUE, [{"messages": TALK[::-1]}], "seeds.jsonl:1: turn 1 must be said by the user"),
        (DIALOGUE | {"topics": "none.yaml"}, [], "none.yaml: there is no such file"),
        (GROUNDED | {"documents": {"path": "nowhere"}}, [], "nowhere"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_file_and_line(
    tmp_path: Path, task: dict[str, Any], rows: list[dict[str, Any]], says: str
) -> None:
    assert says in complaint(tmp_path, task, rows)


def test_a_quota_for_no_category_is_told(tmp_path: Path) -> None:
    assert "`generate.quotas.bills` is no category" in complaint(tmp_path, DIALOGUE, [], quotas={"bills": 2})


@pytest.mark.parametrize("name", ["policy_qa", "support_dialogue"])
def test_a_packaged_scenario_is_read_whole(name: str) -> None:
    loop = load_loop(find_loop(name))
    assert len(loop.seeds) >= 32 and len(loop.suites["holdout"].items) >= 96
    material = loop.material
    for item in loop.suites["holdout"].items[:5]:
        asked = material.writing.ask(item.prompt, item.history, material.passage_text(item.passages))
        assert asked[-1].content == item.prompt
        assert len(asked) == 2 + len(item.history)
    assert not loop.acknowledged
