"""Reading YAML into settings: every mistake is named by file, line or key, with what was probably meant."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError
from wheelwork.core.errors import ConfigError
from wheelwork.core.loops import LoopSettings
from wheelwork.core.settings import Setting, parse, read_yaml


class Round(Setting):
    kind: Literal["round"] = "round"
    radius: float = Field(1.0, gt=0, description="how far")
    colour: str | None = None


class Square(Setting):
    kind: Literal["square"] = "square"
    length: float = Field(1.0, gt=0, description="how long")


Shape = Annotated[Round | Square, Field(discriminator="kind")]


class Drawing(Setting):
    title: str
    main: Shape = Round()
    other: Shape | None = None
    row: tuple[Shape, ...] = ()
    heap: list[Round] = Field([])
    named: dict[str, Square] = Field({})
    layers: dict[str, list[Shape]] = Field({})
    plain: Square | None = None
    sides: tuple[Literal["left", "right"], ...] = Field(("left",), min_length=1)


def complaint(data: Any, model: type[Setting] = Drawing) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(model, data, "d.yaml")
    assert str(caught.value).startswith("d.yaml: ")
    return str(caught.value).removeprefix("d.yaml: ")


def test_what_is_valid_becomes_the_settings() -> None:
    drawing = parse(Drawing, {"title": "t", "row": [{"kind": "square", "length": 2}]}, "d.yaml")
    assert drawing == Drawing(title="t", row=(Square(length=2),))
    with pytest.raises(ValidationError, match="frozen"):
        drawing.title = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"titel": "t"}, "unknown key `titel`; did you mean `title`?"),
        ({"main": {"kind": "round", "radios": 1}}, "unknown key `main.round.radios`; did you mean `radius`?"),
        ({"main": {"kind": "square", "lenght": 1}}, "unknown key `main.square.lenght`; did you mean `length`?"),
        ({"main": {"kind": "square", "radius": 1}}, "unknown key `main.square.radius`; known here: kind, length"),
        ({"other": {"kind": "round", "color": "red"}}, "unknown key `other.round.color`; did you mean `colour`?"),
        ({"row": [{"kind": "round"}, {"kind": "square", "len": 1}]}, "`row.1.square.len`; did you mean `length`?"),
        ({"heap": [{"radis": 1}]}, "unknown key `heap.0.radis`; did you mean `radius`?"),
        ({"named": {"a": {"lengths": 1}}}, "unknown key `named.a.lengths`; did you mean `length`?"),
        ({"named": {"kind": {"lengths": 1}}}, "unknown key `named.kind.lengths`; did you mean `length`?"),
        ({"named": {"length": {"x": 1}}}, "unknown key `named.length.x`; known here: kind, length"),
        ({"layers": {"a": [{"kind": "round", "colr": ""}]}}, "`layers.a.0.round.colr`; did you mean `colour`?"),
        ({"plain": {"lenth": 1}}, "unknown key `plain.lenth`; did you mean `length`?"),
    ],
)
def test_an_unknown_key_comes_with_the_nearest_that_may_stand_there(data: dict[str, Any], says: str) -> None:
    assert says in complaint({"title": "t"} | data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "`title` is missing"),
        ({"title": 4}, "`title`: input should be a valid string (found 4)"),
        ({"title": "t", "main": {"radius": 0}}, "`main.kind` is missing"),
        ({"title": "t", "main": {"kind": "round", "radius": 0}}, "input should be greater than 0 (found 0)"),
        ({"title": "t", "main": {"kind": "oval"}}, "`main.kind`: there is no `oval`; known here: "),
        ({"title": "t", "row": [{"kind": "squar"}]}, "`row.0.kind`: there is no `squar`; did you mean `square`?"),
        ({"title": "t", "heap": {"a": 1}}, "`heap`: input should be a valid list"),
        (None, "expected `key: value` settings, found nothing"),
        (["title"], "expected `key: value` settings, found a list"),
        ("title", "expected `key: value` settings, found text"),
    ],
)
def test_a_wrong_value_is_named(data: Any, says: str) -> None:
    assert says in complaint(data)


def test_a_list_is_too_short_only_where_no_entry_of_it_is_wrong() -> None:
    assert complaint({"title": "t", "sides": ["lft"]}) == "`sides.0`: input should be 'left' or 'right' (found 'lft')"
    assert "`sides`: tuple should have at least 1 item" in complaint({"title": "t", "sides": []})


def test_every_mistake_is_told_at_once() -> None:
    assert complaint({"heap": [{"radius": -1}], "x": 1}).count("; ") >= 2


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (["nam"], "did you mean `name`?"),
        (["train", "learning_rat"], "did you mean `learning_rate`?"),
        (["generate", "sample"], "did you mean `samples`?"),
        (["suites", "holdout", "roll"], "did you mean `role`?"),
        (["suites", "path", "rolle"], "did you mean `role`?"),
        (["gate", "alfa"], "did you mean `alpha`?"),
    ],
)
def test_the_settings_of_a_loop_know_their_keys(path: list[str], says: str) -> None:
    data: Any = {path[-1]: 1}
    for key in reversed(path[:-1]):
        data = {key: data}
    assert f"unknown key `{'.'.join(path)}`; {says}" in complaint(data, LoopSettings)


def test_a_task_of_a_loop_knows_its_keys() -> None:
    says = complaint({"task": {"kind": "classify", "label": 1}}, LoopSettings)
    assert "unknown key `task.classify.label`; did you mean `labels`?" in says


def test_a_filter_of_a_loop_knows_its_keys() -> None:
    filters = [{"kind": "rules"}, {"kind": "novelty", "max_cosin": 0.9}]
    says = complaint({"funnel": {"filters": filters}}, LoopSettings)
    assert "unknown key `funnel.filters.1.novelty.max_cosin`; did you mean `max_cosine`?" in says


def test_a_filter_that_there_is_not_is_told_with_the_nearest() -> None:
    says = complaint({"funnel": {"filters": [{"kind": "rulez"}, {}]}}, LoopSettings)
    assert "`funnel.filters.0.kind`: there is no `rulez`; did you mean `rules`?" in says
    assert "`funnel.filters.1.kind` is missing" in says


def test_a_default_that_hangs_on_a_wrong_value_is_no_mistake_of_its_own() -> None:
    says = complaint({"funnel": {"filters": [{"kind": "rules", "language": "xx"}]}}, LoopSettings)
    assert "`funnel.filters.0.rules.language`: input should be 'en' or 'zh' (found 'xx')" in says
    assert "banned" not in says


# files


def written(folder: Path, content: bytes) -> Path:
    path = folder / "loop.yaml"
    path.write_bytes(content)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, "a: [1, 光]\n".encode())) == {"a": [1, "光"]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: 1\nb: [1, 2\nc: 3\n", r":3: this is not valid YAML"),
        (b"a: 1\n\tb: 2\n", r":2: this is not valid YAML"),
        (b"a: b: c\n", r":1: this is not valid YAML: mapping values are not allowed here"),
        (b"a: *nobody\n", r":1: this is not valid YAML: found undefined alias"),
        (b"a: !!python/object/apply:os.system ['true']\n", r":1: this is not valid YAML: could not determine"),
        (b"a: 1\nb: \x07\n", r":2: this is not valid YAML: .*not allowed"),
        (b"a: 2020-13-45\n", r": this is not valid YAML: month must be in 1\.\.12"),
        (b"a: 1\na: 2\n", r":2: this is not valid YAML: the key `a` stands twice"),
        (b"a:\n  b: 1\n  c: {d: 1, d: 2}\n", r":3: this is not valid YAML: the key `d` stands twice"),
        (b"\xff\xfea", r": cannot be read as UTF-8 text"),
        (b"a: \xe9\n", r": cannot be read as UTF-8 text"),
    ],
)
def test_what_is_no_yaml_is_named_by_its_line(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=rf"loop\.yaml{says}"):
        read_yaml(written(tmp_path, content))


def test_a_missing_file_or_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: there is no such file; `wheelwork init` makes a loop"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "file" / "loop.yaml")
