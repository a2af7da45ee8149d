"""The packaged prompts as files: heads, variables, languages side by side, and what a model gets to read."""

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined, meta

ROOT = Path(str(resources.files("wheelwork.prompts")))
LANGUAGES = ("en", "zh")
HEAD_KEYS = {"name", "version", "task", "language", "purpose", "variables", "output"}
WRITTEN = {
    "classify": ("text",),
    "qa": ("question", "answer"),
    "grounded_qa": ("question", "answer", "quote"),
    "summarize": ("text", "summary"),
    "rewrite": ("text", "rewritten"),
    "dialogue": ("messages",),
    "code": ("instruction", "solution", "test"),
}
LABELS = {
    "en": ("Question", "Answer", "Quote", "Text", "Summary", "Rewritten", "Instruction", "Solution", "Test"),
    "zh": ("问题", "回答", "引用", "原文", "摘要", "改写", "任务", "代码", "测试"),
}
AUGMENT = {"clauses", "from_pivot", "paraphrase", "rewrite_code", "stance", "style", "to_pivot", "voice"}
FIRST_LABEL = {"qa": 0, "grounded_qa": 0, "summarize": 3, "rewrite": 3, "code": 6}

# values as long as real ones: where a variable stands in a prompt depends on what is around it
PASSAGE = (
    "Head office staff may begin work between 7:00 and 9:30 and finish between 15:00 and 19:00. Core time, during "
    "which everyone must be reachable, lasts from 9:30 to 15:00; on Fridays it ends at 13:00."
)
TURNS = [("user", "the app does not find it"), ("assistant", "Is Bluetooth on?"), ("user", "it is now")]
SHOT: dict[str, Any] = {
    "text": "We came back from holiday to a dead connection, and the light on the box is red.",
    "question": "Until when must I be reachable on a Friday?",
    "answer": "until 13:00",
    "quote": "on Fridays it ends at 13:00",
    "summary": "The connection is dead and the light is red.",
    "rewritten": "Our connection has been down since our return; the box shows a red light.",
    "messages": [
        {"role": role, "content": content} for role, content in [*TURNS, ("assistant", "Then tap Add device.")]
    ],
    "instruction": "Write a function `double(n)` that returns twice `n`.",
    "solution": "def double(n):\n    return 2 * n",
    "test": "assert double(2) == 4",
}
VALUES: dict[str, Any] = {
    "setting": "Customers of a home broadband provider write to its support line, each about one problem.",
    "instruction": "Read the message of a customer to the support line of a broadband provider.",
    "topic": "no connection at all; the light on the optical unit is red or off",
    "labels": ["modem_offline", "wifi_one_room"],
    "shots": [SHOT, SHOT | {"text": "no internet since this morning", "question": "Which form corrects the clock?"}],
    "rules": ["Length: about 20 words.", "Write in English."],
    "opening": "Good evening, since",
    "passage": PASSAGE,
    "text": "My parcel 4711 has not come, and Mr Weber says that he sent it on Monday.",
    "language": "German",
    "style": "terse",
    "stance": "the agent who answers, instead of the customer",
}
EMPTY: dict[str, Any] = {"topic": "", "shots": [], "rules": [], "opening": "", "passage": ""}
STRICT = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)


@dataclass(frozen=True)
class Packaged:
    """One file: its head, and its turns before they are rendered."""

    head: dict[str, Any]
    turns: tuple[tuple[str, str], ...]

    def render(self, **values: Any) -> str:
        """All turns with `values` filled in, each stripped as an engine gets it."""
        return "\n".join(STRICT.from_string(body).render(**values).strip() for _, body in self.turns)


@cache
def read(path: Path) -> Packaged:
    _, head, body = path.read_text(encoding="utf-8").split("---\n", 2)
    parts = re.split(r"^# (system|user|assistant)\n", body, flags=re.MULTILINE)
    assert not parts[0].strip(), "something stands before the first turn"
    return Packaged(yaml.safe_load(head), tuple(zip(parts[1::2], parts[2::2], strict=True)))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


REVIEW: dict[str, dict[str, Any]] = {
    "judge": {"instruction": "Be brief.", "question": "How long is the notice?", "answer": "three months"},
    "verify": {
        "knowledge": PASSAGE,
        "question": "Until when?",
        "answer": "until 13:00",
        "terms": ["HR-9", "Lindqvist"],
    },
    "compare": {"instruction": "Be brief.", "question": "How long?", "first": "three months", "second": "one"},
}
FIELDS = {"judge": ("accuracy", "structure", "truthfulness"), "verify": ("claims",), "compare": ("reason", "better")}
EVERY = sorted(ROOT.rglob("*.md"))
OURS = [path for path in EVERY if path.parent.name in {*WRITTEN, "augment"}]  # others have variables of their own
WRITING = [path for path in OURS if path.stem in ("write", "continue")]


# heads


@pytest.mark.parametrize("path", EVERY, ids=named)
def test_a_head_has_every_key_and_agrees_with_the_place_of_the_file(path: Path) -> None:
    head = read(path).head
    assert set(head) == HEAD_KEYS
    assert (head["name"], head["task"], head["language"]) == (path.stem, path.parent.name, path.parts[-3])
    assert isinstance(head["version"], int) and head["version"] >= 1
    assert head["purpose"].strip() and "\n" not in head["purpose"]


@pytest.mark.parametrize("path", EVERY, ids=named)
def test_head_and_body_name_the_same_variables(path: Path) -> None:
    template = read(path)
    used = set().union(*(meta.find_undeclared_variables(STRICT.parse(body)) for _, body in template.turns))
    assert set(template.head["variables"]) == used
    assert len(template.head["variables"]) == len(used)


def test_every_language_has_the_same_files() -> None:
    files = {
        language: {path.relative_to(ROOT / language) for path in (ROOT / language).rglob("*")} for language in LANGUAGES
    }
    assert files["en"] == files["zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_task_can_be_written_continued_and_answered(language: str) -> None:
    there = {(path.parent.name, path.stem) for path in OURS if path.parts[-3] == language}
    assert there == {(task, name) for task in WRITTEN for name in ("write", "continue", "answer")} | {
        ("augment", name) for name in AUGMENT
    }


@pytest.mark.parametrize("path", OURS, ids=named)
def test_the_output_holds_the_written_fields_of_the_task(path: Path) -> None:
    output, task = read(path).head["output"], path.parent.name
    if path.stem == "continue" and task != "classify":
        assert output == "fields"
    elif path.stem == "write" and task != "classify":
        keys = output["properties"] if "type" in output else output
        assert tuple(keys) == WRITTEN[task]
        told = read(path).render(**given(path))
        assert all(f"`{key}`" in told or f'{{"{key}"' in told for key in keys)
    else:
        assert output == "text"


@pytest.mark.parametrize("path", WRITING, ids=named)
def test_rules_are_for_those_who_obey(path: Path) -> None:
    assert ("rules" in read(path).head["variables"]) == (path.stem == "write")


# what is read


def given(path: Path, **other: Any) -> dict[str, Any]:
    """A value for each variable of a template."""
    return {name: (VALUES | other)[name] for name in read(path).head["variables"]}


@pytest.mark.parametrize("path", OURS, ids=named)
def test_every_value_is_shown_and_nothing_is_left_of_the_template(path: Path) -> None:
    text = read(path).render(**given(path))
    for name, value in given(path).items():
        if name != "shots":
            for part in value if isinstance(value, list) else [value]:
                assert part in text, f"`{name}` is not shown"
    for debris in ("{{", "{%", "%}", "None", "Undefined", "\n\n\n"):
        assert debris not in text, debris


@pytest.mark.parametrize("path", WRITING, ids=named)
def test_every_field_of_a_shot_is_shown(path: Path) -> None:
    text = read(path).render(**given(path))
    for key in WRITTEN[path.parent.name]:
        for part in [turn["content"] for turn in SHOT[key]] if key == "messages" else [SHOT[key]]:
            assert part in text, f"`{key}` is not shown"


@pytest.mark.parametrize("missing", [*EMPTY, "everything"])
@pytest.mark.parametrize("path", WRITING, ids=named)
def test_what_is_not_given_leaves_no_trace(path: Path, missing: str) -> None:
    if missing == "passage" and path.parent.name == "grounded_qa":
        return  # it has a passage always
    empty = dict(EMPTY) if missing == "everything" else {missing: EMPTY[missing]}
    text = read(path).render(**given(path, **empty))
    assert not any(debris in text for debris in ("\n\n\n", " .", ":.", "，。", "：。", "。。"))
    if path.stem == "write":
        assert text.rstrip()[-1] not in ":：", "a sentence is left without its end"


@pytest.mark.parametrize("path", WRITING, ids=named)
def test_what_varies_most_stands_last(path: Path) -> None:
    text = read(path).render(**given(path))
    assert text.endswith(VALUES["opening"])
    if "passage" in read(path).head["variables"]:
        # the output format comes before it: only the opening, or the open label, follows
        assert text.index(PASSAGE) + len(PASSAGE) >= len(text) * 3 / 4


@pytest.mark.parametrize("path", [path for path in WRITING if path.stem == "continue"], ids=named)
def test_a_list_that_is_gone_on_with_ends_with_an_open_item(path: Path) -> None:
    language, task = path.parts[-3:-1]
    # a line of dashes ends each record, so that what is written after one can be told from it
    assert read(path).render(**given(path)).count("\n---\n") == (0 if task == "classify" else len(VALUES["shots"]))
    role, body = read(path).turns[-1]
    assert role == "assistant"
    last = STRICT.from_string(body).render(**{"shots": [], "passage": PASSAGE, "opening": ""}).strip().splitlines()[-1]
    if task in FIRST_LABEL:
        label = LABELS[language][FIRST_LABEL[task]]
        assert last == {"en": f"{label}:", "zh": f"【{label}】："}[language]
    else:
        assert last == {"classify": "-", "dialogue": {"en": "Customer:", "zh": "客户："}[language]}[task]


@pytest.mark.parametrize("path", [path for path in OURS if path.parent.name == "augment"], ids=named)
def test_the_text_to_be_changed_stands_last_and_its_label_is_not_told(path: Path) -> None:
    template = read(path)
    assert template.render(**given(path)).endswith(VALUES["text"])
    assert template.head["variables"][-1] == "text" and "label" not in template.head["variables"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", WRITTEN)
def test_what_is_served_is_short_and_ends_with_what_the_user_says(task: str, language: str) -> None:
    template = read(ROOT / language / task / "answer.md")
    assert [role for role, _ in template.turns] == (["system"] if task == "dialogue" else ["system", "user"])
    assert "text" in template.head["variables"] or task == "dialogue"
    bare = template.render(**dict.fromkeys(template.head["variables"], ""))
    assert len(bare) < 120  # read for every request


def test_a_message_is_classified_as_it_always_was() -> None:
    said = read(ROOT / "en/classify/answer.md").render(instruction="Read it.", labels=["a", "b"], text="hi")
    assert said == "Read it. Answer with exactly one of these labels: a, b.\nhi"


def test_a_message_is_written_as_it_always_was() -> None:
    shots = [{"text": "one"}, {"text": "two"}]
    values = {"setting": "People write.", "topic": "no light", "shots": shots, "opening": "I am"}
    assert read(ROOT / "en/classify/write.md").render(**values, rules=[]) == (
        "People write. You write one such message at a time, as a real person would: own words, own circumstances, "
        "no quotation marks, no explanation. Stay on the topic that you are given and never name it as a category.\n"
        "Topic: no light.\n\nMessages on this topic that exist already:\n- one\n- two\n\nWrite one new message on the "
        "same topic that differs from all of them in wording and circumstances. Begin it with: I am"
    )
    assert read(ROOT / "en/classify/continue.md").render(**values) == (
        "People write.\nList 6 different messages, each from another person. Every one is about the same thing: no "
        "light.\n- one\n- two\n- I am"
    )


# reviewers

every_review = pytest.mark.parametrize("path", [path for path in EVERY if path.parent.name == "review"], ids=named)


@pytest.mark.parametrize("language", LANGUAGES)
def test_samples_can_be_judged_verified_and_compared(language: str) -> None:
    assert {path.stem for path in EVERY if path.parts[-3:-1] == (language, "review")} == set(REVIEW)


@every_review
def test_a_reviewer_sees_every_value_the_sample_last_and_its_material_marked(path: Path) -> None:
    template, values = read(path), REVIEW[path.stem]
    assert set(template.head["variables"]) == set(values)
    assert [role for role, _ in template.turns] == ["system", "user"]  # what is the same for all rows stands first
    assert not any(name in template.turns[0][1] for name in ("{{", "{%"))
    text = template.render(**values)
    for name, value in values.items():
        for part in value if isinstance(value, list) else [value]:
            assert part in text, f"`{name}` is not shown"
    shown = template.turns[1][1]
    assert all(re.search(rf"<[^<>/]+>\n{{{{ {name} }}}}\n</", shown) for name in values if name != "terms")


@every_review
def test_a_reviewer_is_told_the_fields_of_its_schema(path: Path) -> None:
    template = read(path)
    schema, told = template.head["output"], template.render(**REVIEW[path.stem])
    assert set(schema["required"]) == set(schema["properties"]) >= set(FIELDS[path.stem])
    keys = schema["properties"]["claims"]["items"]["properties"] if path.stem == "verify" else schema["properties"]
    assert all(f"`{key}`" in told or f'"{key}"' in told for key in keys)


@every_review
def test_what_a_reviewer_is_not_given_leaves_no_trace(path: Path) -> None:
    empty = {name: [] if name == "terms" else "" for name in ("instruction", "terms")}
    text = read(path).render(**REVIEW[path.stem] | {k: v for k, v in empty.items() if k in REVIEW[path.stem]})
    assert not any(debris in text for debris in ("<instruction>", "<指令>", "in particular", "特别留意", "\n\n\n"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_judge_gives_its_reason_before_its_grade(language: str) -> None:
    keys = list(read(ROOT / language / "review" / "judge.md").head["output"]["properties"])
    assert keys == [key for name in FIELDS["judge"] for key in (f"{name}_reason", name)]


# sentences


RULES = {
    "forbidden": {"words": ["refund", "sorry"]},
    "length": {"length": "about 20 words"},
    "tone": {"tone": "polite"},
    "style": {"style": "terse"},
    "language": {"language": "German"},
    "fields": {"fields": ["question", "answer"]},
    "opening": {"opening": "Good evening"},
    "boundary": {},
}


def rules_of(language: str) -> dict[str, Any]:
    rules: dict[str, Any] = yaml.safe_load((ROOT / language / "rules.yaml").read_text(encoding="utf-8"))
    return rules


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_rule_is_one_line_with_its_values(language: str) -> None:
    rules = rules_of(language)
    assert set(rules) == {*RULES, "difficulty", "languages"}
    for name, values in RULES.items():
        sentence = STRICT.from_string(rules[name]).render(**values)
        assert meta.find_undeclared_variables(STRICT.parse(rules[name])) == set(values)
        assert "\n" not in sentence
        for value in values.values():
            assert all(part in sentence for part in (value if isinstance(value, list) else [value]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_difficulty_has_five_grades_and_languages_have_names(language: str) -> None:
    rules = rules_of(language)
    assert list(rules["difficulty"]) == [1, 2, 3, 4, 5]
    assert len(set(rules["difficulty"].values())) == 5
    assert list(rules["languages"]) == ["en", "zh", "de", "fr", "es", "ja"]


@pytest.mark.parametrize("path", [path for path in EVERY if path.parts[-3] == "zh"], ids=named)
def test_chinese_prompts_have_chinese_punctuation(path: Path) -> None:
    prose = "".join(
        re.sub(r"```.*?```|`[^`]*`|\{[{%#].*?[}%#]\}|\{.*\}", "", body, flags=re.DOTALL) for _, body in read(path).turns
    )
    assert not re.search(r"[\u4e00-\u9fff][,;:?!.]", prose)
