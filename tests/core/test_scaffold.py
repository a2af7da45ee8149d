"""A new loop: from one's own rows or from the example, and every mistake in one's own files and lines."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError, DataError, LeakError, UserError
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.scaffold import EXAMPLES, loop_name, make_loop

Pairs = list[tuple[str, str]]
TEN: Pairs = [(f"{label} message number {n}", label) for n in range(10) for label in ("money", "line")]


def table(path: Path, rows: Pairs, header: tuple[str, str] = ("text", "label")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def complaint(kind: type[UserError], folder: Path, rows: Path | None, holdout: Path | None = None) -> str:
    before = sorted(path.name for path in folder.parent.iterdir())
    with pytest.raises(kind) as caught:
        make_loop(folder, "classify", rows, holdout)
    assert type(caught.value) is kind
    assert sorted(path.name for path in folder.parent.iterdir()) == before, "something was left behind"
    return str(caught.value)


def texts(loop: Loop) -> tuple[set[str], set[str]]:
    return {seed.text for seed in loop.seeds}, {item.prompt for item in loop.suites["holdout"].items}


def test_rows_and_a_holdout_become_a_loop(tmp_path: Path) -> None:
    rows = table(tmp_path / "train.csv", TEN, header=("Message", "Intent"))
    holdout = tmp_path / "test.jsonl"
    holdout.write_text(json.dumps({"text": "pay", "label": "money"}) + "\n", encoding="utf-8")
    loop = make_loop(tmp_path / "mine", "classify", rows, holdout)
    assert (loop.name, loop.folder) == ("mine", tmp_path / "mine")
    assert loop.labels == {"line": "line", "money": "money"}
    assert texts(loop) == ({text for text, _ in TEN}, {"pay"})
    assert loop.suites["retention"].settings.role == "guard"
    assert load_loop(tmp_path / "mine").digest == loop.digest
    assert loop.settings.description == "Made from train.csv."


def test_without_a_holdout_a_fifth_of_each_label_is_set_aside(tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "mine", "classify", table(tmp_path / "rows.csv", TEN), None)
    seeds, held_out = texts(loop)
    assert seeds | held_out == {text for text, _ in TEN}
    assert not seeds & held_out
    assert sorted(str(item.label) for item in loop.suites["holdout"].items) == ["line"] * 2 + ["money"] * 2


def test_what_is_set_aside_does_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    one = make_loop(tmp_path / "one", "classify", table(tmp_path / "a.csv", TEN), None)
    other = make_loop(tmp_path / "other", "classify", table(tmp_path / "b.csv", TEN[::-1]), None)
    assert texts(one) == texts(other)


def test_repeats_are_left_out(tmp_path: Path) -> None:
    rows = table(tmp_path / "rows.csv", [*TEN, (TEN[0][0].upper() + "!", TEN[0][1])])
    holdout = table(tmp_path / "held.csv", [("pay", "money"), ("Pay!", "money")])
    loop = make_loop(tmp_path / "mine", "classify", rows, holdout)
    assert texts(loop) == ({text for text, _ in TEN}, {"pay"})


def test_awkward_texts_and_labels_are_kept_as_they_are(tmp_path: Path) -> None:
    rows = [('a "b",\nc', "no"), ("光猫 坏了", "2024"), ("\u2028 x: y #z", "plan: new?"), ("null", "~")]
    holdout = table(tmp_path / "held.csv", [("- [1]", label) for _, label in rows[:1]])
    loop = make_loop(tmp_path / "mine", "classify", table(tmp_path / "rows.csv", rows), holdout)
    assert {(seed.text, seed.label) for seed in loop.seeds} == set(rows)
    assert set(loop.labels) == {label for _, label in rows}


@pytest.mark.parametrize("folder", ["2024", "no", "null", "1e3", "my loop!", "光"])
@pytest.mark.parametrize("rows", ["a: b.csv", "#1.csv", "- 'x.csv", None])
def test_any_name_of_a_folder_or_a_file_will_do(tmp_path: Path, folder: str, rows: str | None) -> None:
    path = None if rows is None else table(tmp_path / rows, TEN)
    loop = make_loop(tmp_path / folder, "classify", path, None)
    assert loop.name == loop_name(folder)
    assert rows is None or rows in loop.settings.description


@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_name_is_always_one_that_a_loop_may_have(folder: str) -> None:
    name = loop_name(folder)
    assert name[0].isalnum() and len(name) <= 63
    assert all(sign.isascii() and (sign.isalnum() or sign in "_-") for sign in name)


def test_from_nothing_it_is_the_example_under_its_own_name(tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "support", "classify", None, None)
    assert loop.name == "support"
    assert len(loop.labels) == 12
    assert yaml.safe_load((loop.folder / "loop.yaml").read_text())["name"] == "support"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert make_loop(tmp_path / "mine", "classify", None, None).name == "mine"


def test_a_path_may_be_relative_or_have_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert make_loop(Path("../mine"), "classify", None, None).folder == tmp_path / "mine"


# mistakes


def test_a_folder_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("precious")
    for taken in (tmp_path / "taken", tmp_path / "taken" / "mine.txt"):
        assert "exists already and is not empty; give the name of a new folder" in complaint(ConfigError, taken, None)
    assert (tmp_path / "taken" / "mine.txt").read_text() == "precious"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ConfigError, match="is the folder you are in"):
        make_loop(Path(), "classify", None, None)
    assert Path.cwd().is_dir()


def test_an_unknown_task(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--task clasify: there is no example of this task; did you mean `classify`"):
        make_loop(tmp_path / "mine", "clasify", None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_holdout_without_rows(tmp_path: Path) -> None:
    assert "--holdout goes with --from" in complaint(
        ConfigError, tmp_path / "mine", None, table(tmp_path / "h.csv", TEN)
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    rows = table(tmp_path / "rows.csv", TEN)
    assert "none.csv: there is no such file" in complaint(DataError, tmp_path / "mine", tmp_path / "none.csv")
    assert "none.csv: there is no such file" in complaint(DataError, tmp_path / "mine", rows, tmp_path / "none.csv")


def test_a_held_out_row_that_is_also_in_the_rows_names_the_users_files_and_lines(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = table(tmp_path / "data" / "train.csv", [("two\nlines", "money"), *TEN])
    holdout = table(tmp_path / "test.csv", [("pay", "money"), (TEN[1][0].upper(), "line")])
    assert complaint(LeakError, tmp_path / "mine", rows, holdout) == (
        f"{holdout}:3: this held-out row also stands in {rows}:5, which is trained on; "
        "keep each row in one of the files, then run the command again"
    )


def test_a_held_out_label_that_the_rows_lack_names_the_users_file_and_line(tmp_path: Path) -> None:
    rows, holdout = table(tmp_path / "train.csv", TEN), table(tmp_path / "test.csv", [("a", "line"), ("b", "monney")])
    says = complaint(DataError, tmp_path / "mine", rows, holdout)
    assert says == f"{holdout}:3: unknown label `monney`; did you mean `money`?"


def test_one_text_under_two_labels_names_the_users_lines(tmp_path: Path) -> None:
    twice = table(tmp_path / "rows.csv", [*TEN, (TEN[0][0].upper(), "line")])
    says = f"{twice}:22: the same text has the label `money` in line 2 and `line` here; keep one of them"
    assert complaint(DataError, tmp_path / "mine", twice) == says
    good = table(tmp_path / "good.csv", [("x", "money"), ("y", "line")])
    assert complaint(DataError, tmp_path / "mine", good, twice) == says


@pytest.mark.parametrize(
    ("rows", "kind", "says"),
    [
        ([("a", "money"), ("b", "line")], DataError, "no label has 5 different rows, so none can be set aside"),
        ([(f"{n}", "money") for n in range(9)], ConfigError, "a classifier needs at least two labels, found 1"),
        ([*TEN, ("x", "a, b")], ConfigError, "the label 'a, b' is empty or has a comma or a line break; rename it"),
        ([*TEN, ("x", "")], DataError, ":22: `label` is empty"),
        ([], DataError, "the file has no rows"),
    ],
)
def test_rows_that_make_no_loop_are_told_with_the_users_file(
    tmp_path: Path, rows: Pairs, kind: type[UserError], says: str
) -> None:
    path = table(tmp_path / "rows.csv", rows)
    told = complaint(kind, tmp_path / "mine", path)
    assert told.startswith(str(path))
    assert says in told


def test_init_takes_a_few_shared_rows_out_of_the_seeds(tmp_path: Path) -> None:
    rows = [(f"message number {number} about {label}", label) for label in ("red", "blue") for number in range(10)]
    held_out = [(f"another {number} about {label}", label) for label in ("red", "blue") for number in range(9)]
    for name, some in (("rows.csv", rows), ("held.csv", [*held_out, ("Message number 3 about RED.", "red")])):
        (tmp_path / name).write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in some))

    made = make_loop(tmp_path / "loop", "classify", tmp_path / "rows.csv", tmp_path / "held.csv")

    assert len(made.seeds) == 19
    assert "message number 3 about red" not in {seed.text for seed in made.seeds}
    assert len(made.suites["holdout"].items) == 19
    assert len(made.rehearsal) == 64


@pytest.mark.parametrize("task", EXAMPLES)
def test_each_example_stands_alone_once_it_is_copied(tmp_path: Path, task: str) -> None:
    made = make_loop(tmp_path / "mine", task, None, None)
    assert made.name == "mine" and made.settings.task.kind == task
    assert set(made.suites) == {"holdout", "retention"} and made.rehearsal
    assert ".." not in (tmp_path / "mine" / "loop.yaml").read_text(encoding="utf-8")


def test_rows_make_a_loop_of_labels_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows make a loop of the task classify"):
        make_loop(tmp_path / "mine", "dialogue", tmp_path / "rows.csv", None)
