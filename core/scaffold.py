"""A new loop, from the user's own labelled rows or from the example scenario."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

import yaml

from .digests import digest_of
from .errors import ConfigError, DataError
from .formats import LabelledText, read_labelled
from .labelled import check_labels, distinct, refuse_leaks, require_known
from .loops import Loop, load_loop
from .naming import CONFIG
from .text import nearest, normalised
from .workspace import writing

EXAMPLE = "home_broadband"
EXAMPLES = {"classify": EXAMPLE, "grounded_qa": "policy_qa", "dialogue": "support_dialogue"}  # by task
GENERAL = ("retention.jsonl", "rehearsal.jsonl")  # what every scenario takes from the first
SHARED_AT_MOST = 0.1  # of the held-out rows; beyond this the two files are not what the user thinks
SHARE_HELD_OUT = 5  # one row in this many is set aside when there is no held-out file


def make_loop(folder: Path, task: str, rows: Path | None, holdout: Path | None) -> Loop:
    """Write a loop into `folder` and read it back, checked.

    Raises ConfigError when the folder is taken or the task unknown, and what reading the rows raises, in the user's
    own files and lines; nothing is left behind then.
    """
    if task not in EXAMPLES:
        raise ConfigError(f"--task {task}: there is no example of this task; {nearest(task, EXAMPLES)}")
    if task != "classify" and rows is not None:
        raise ConfigError(f"--from: rows make a loop of the task classify; for {task} copy the example, then its files")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists already and is not empty; give the name of a new folder")
    if folder.resolve() == Path.cwd():  # it would be replaced beneath the user's feet
        raise ConfigError(f"{folder}: is the folder you are in; give the name of a new one")
    if rows is None and holdout is not None:
        raise ConfigError("--holdout goes with --from: give the rows to start from as well")
    given = None if rows is None else _seeds_and_held_out(rows, holdout)
    folder = folder.resolve()
    with writing(folder) as made, resources.as_file(resources.files("wheelwork.scenarios")) as scenarios:
        made.mkdir()
        if rows is None or given is None:
            _copy_example(scenarios / EXAMPLES[task], made, folder.name)
        else:
            _write_loop(made, folder.name, rows, *given)
        for general in GENERAL:
            shutil.copy(scenarios / EXAMPLE / general, made / general)
        load_loop(made)
    return load_loop(folder)


def _seeds_and_held_out(path: Path, holdout: Path | None) -> tuple[list[LabelledText], list[LabelledText]]:
    """The user's rows, checked as a loop checks its own, but before there is one.

    Real files often share a few rows by accident: those are taken out of the seeds. Many are a mistake: LeakError.
    """
    rows = distinct(read_labelled(path), path)
    labels = {row.label for row in rows}
    check_labels(labels, path)
    if holdout is None:
        return _split(rows, path)
    held_out = distinct(read_labelled(holdout), holdout)
    require_known(held_out, labels, holdout)
    texts = {normalised(row.text) for row in held_out}
    seeds = [row for row in rows if normalised(row.text) not in texts]
    if len(rows) - len(seeds) > SHARED_AT_MOST * len(held_out):
        refuse_leaks([(row.line, row.text) for row in held_out], holdout, rows, path)
    return seeds, held_out


def _copy_example(example: Path, made: Path, name: str) -> None:
    """The scenario under a name of its own, with the files that it shares with others beside it."""
    shutil.copytree(example, made, dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md", "__pycache__"))
    text = (made / CONFIG).read_text(encoding="utf-8")
    text = text.replace(f"name: {example.name}\n", _line("name", loop_name(name)), 1)
    (made / CONFIG).write_text(text.replace(f"../{EXAMPLE}/", ""), encoding="utf-8")


def _write_loop(
    made: Path, name: str, path: Path, seeds: Sequence[LabelledText], held_out: Sequence[LabelledText]
) -> None:
    _write_rows(made / "seeds.jsonl", seeds)
    _write_rows(made / "holdout.jsonl", held_out)
    labels = sorted({row.label for row in seeds})
    described = {label: label.replace("_", " ").replace("-", " ").strip() for label in labels}
    (made / "labels.yaml").write_text(
        "# label: what belongs under it, in one line; the teacher reads this\n"
        + yaml.safe_dump(described, allow_unicode=True, sort_keys=False, width=200),
        encoding="utf-8",
    )
    (made / CONFIG).write_text(_config(name, path), encoding="utf-8")


def _config(name: str, path: Path) -> str:
    """The configuration of a loop from rows: only what a user is likely to change; the rest are defaults."""
    return f"""{_line("name", loop_name(name))}{_line("description", f"Made from {path.name}.")}task:
  kind: classify
  instruction: Read the message.
  setting: People write short messages to a service.  # who writes; the teacher reads it
  labels: labels.yaml
seeds: seeds.jsonl
rehearsal: rehearsal.jsonl  # general prompts that the base answers itself, so that training does not erase them
suites:
  holdout:  # must get better
    role: target
    path: holdout.jsonl
  retention:  # general questions that the model must not forget
    role: guard
    path: retention.jsonl
    scorer: {{ kind: matches }}
    prompt: plain
    max_tokens: 40
    margin: 0.1
"""


def _line(key: str, value: str) -> str:
    # a name such as 2024 or no is a number or a truth in YAML unless it is quoted
    return yaml.safe_dump({key: value}, allow_unicode=True, width=1000)


def _split(rows: Sequence[LabelledText], path: Path) -> tuple[list[LabelledText], list[LabelledText]]:
    """Seeds and held-out rows: of each label every fifth, by the hash of the text and not by its place.

    Raises DataError when no label has five rows.
    """
    by_label: dict[str, list[LabelledText]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: digest_of(row.text)):
        by_label[row.label].append(row)
    held_out = {id(row) for group in by_label.values() for row in group[SHARE_HELD_OUT - 1 :: SHARE_HELD_OUT]}
    if not held_out:
        raise DataError(
            f"{path}: no label has {SHARE_HELD_OUT} different rows, so none can be set aside to measure on; "
            "add rows, or give a file of others as --holdout"
        )
    return [row for row in rows if id(row) not in held_out], [row for row in rows if id(row) in held_out]


def _write_rows(path: Path, rows: Iterable[LabelledText]) -> None:
    lines = [json.dumps({"text": row.text, "label": row.label}, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def loop_name(folder: str) -> str:
    """A loop's name from its folder's: letters, digits, _ and -."""
    cleaned = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "-" for sign in folder)
    return cleaned.strip("-_")[:63] or "loop"
