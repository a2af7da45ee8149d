"""Files of scores for the gate by itself: rows `{id, score, slice?, group?, suite?, scorer?}` of one model.

`suite` and `scorer` say what the scores were taken with: in every row, or once in a first row that has no `id`. What
is wrong is a DataError that names the file and the line (in .json and .parquet the row).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from ..digests import digest_of
from ..errors import DataError
from ..rows import Row, naming, not_empty, read_rows
from ..text import in_words
from .scores import LARGEST, SuiteScores


@dataclass(frozen=True)
class ScoreFile:
    """The scores of one model by id, in the order of the file; None is unscored."""

    path: Path
    scores: dict[str, float | None]
    lines: dict[str, int]
    slices: dict[str, str]
    groups: dict[str, str]
    suite: str = ""
    scorer: str = ""

    @property
    def digest(self) -> str:
        """Names what the scores were taken with; empty where the file does not say."""
        return " ".join(name for name in (self.suite, self.scorer) if name)


def read_scores(path: Path) -> ScoreFile:
    """Read and check one file of any of five kinds. Raises DataError."""
    file = ScoreFile(path, {}, {}, {}, {})
    stamp: dict[str, str] | None = None
    columns: set[str] = set()
    for line, row in not_empty(path, read_rows(path)):
        with naming(path, line):
            told = {what: _name(row, what) for what in ("suite", "scorer")}
            if stamp is None and any(told.values()) and not _name(row, "id") and row.get("score") in (None, ""):
                stamp = told
                continue
            stamp = stamp or told
            for what, name in told.items():
                if name and name != stamp[what]:
                    above = f"it is `{stamp[what]}`" if stamp[what] else "there is none"
                    raise DataError(f"`{what}` is `{name}`, above {above}; give each its own file")
            _add(file, line, row)
        columns.update(row)
    if not file.scores:
        raise DataError(f"{path}: the file has no rows with an `id` and a `score`; add some")
    if "score" not in columns:
        found = ", ".join(f"`{name}`" for name in sorted(columns))
        raise DataError(f"{path}: no row has a `score` (columns: {found}); give each item one")
    return ScoreFile(path, file.scores, file.lines, file.slices, file.groups, **(stamp or {}))


def _add(file: ScoreFile, line: int, row: Row) -> None:
    item = _name(row, "id")
    if not item:
        columns = ", ".join(f"`{name}`" for name in row) or "none"
        raise DataError(f"the row has no `id` (columns: {columns}); name each item, the same way in every file")
    if item in file.lines:
        raise DataError(f"the id `{item}` stands in line {file.lines[item]} too; ids must be unique")
    file.scores[item], file.lines[item] = _score(item, row.get("score")), line
    for what, kept in (("slice", file.slices), ("group", file.groups)):
        if name := _name(row, what):
            kept[item] = name


def _score(item: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    if not isinstance(value, bool | int | float | str):
        raise DataError(f"the score of item `{item}` must be a number, found {in_words(value)}; mend it")
    try:
        score = float(value)
    except (ValueError, OverflowError):
        raise DataError(f"the score of item `{item}` is {str(value)[:40]!r}, which is no number; mend it") from None
    if not isfinite(score) or abs(score) > LARGEST:
        raise DataError(f"the score of item `{item}` is {score}, which is no score; write null where nobody can say")
    return score


def _name(row: Row, column: str) -> str:
    """A name in a column, as text; empty where there is none."""
    value = row.get(column)
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"`{column}` must be text, found {in_words(value)}; mend it")


def suite_of(
    name: str,
    role: Literal["target", "guard"],
    champion: Path,
    candidate: Path,
    base: Path | None = None,
    *,
    margin: float = 0.0,
    floor: float | None = None,
) -> SuiteScores:
    """One suite from the files of each model, in the order of the champion's. Raises DataError for files that differ.

    Slices and groups may stand in any of the files; where several have them, they must be the same.
    """
    paths = {"champion": champion, "candidate": candidate} | ({"base": base} if base is not None else {})
    files = {who: read_scores(path) for who, path in paths.items()}
    first = files["champion"]
    for file in files.values():
        _same_items(first, file)
        _same_origin(first, file)
    ids = tuple(first.scores)
    slices, groups = (_common(files, what) for what in ("slices", "groups"))
    digest = first.digest or digest_of(sorted(ids))
    columns = {who: tuple(file.scores[item] for item in ids) for who, file in files.items()}
    return SuiteScores(
        name=name,
        role=role,
        digest=digest,
        ids=ids,
        groups=tuple(groups.get(item, f"item {item}") for item in ids),
        base=columns.get("base"),
        champion=columns["champion"],
        candidate=columns["candidate"],
        margin=margin,
        floor=floor,
        slices=tuple(slices.get(item) for item in ids) if slices else (),
        digests={who: file.digest or digest for who, file in files.items()},
    )


def _same_items(one: ScoreFile, other: ScoreFile) -> None:
    for here, there in ((one, other), (other, one)):
        for item, line in here.lines.items():
            if item not in there.lines:
                raise DataError(
                    f"{here.path}:{line}: the id `{item}` is not in {there.path}; both must hold the same items"
                )


def _same_origin(one: ScoreFile, other: ScoreFile) -> None:
    for what in ("suite", "scorer"):
        ours, theirs = getattr(one, what), getattr(other, what)
        if ours != theirs:
            said = [f"{what} `{name}`" if name else f"no `{what}` that is told" for name in (theirs, ours)]
            raise DataError(
                f"{other.path}: the scores were taken with {said[0]}, those of {one.path} with {said[1]}; "
                "score both models with the same one"
            )


def _common(files: Mapping[str, ScoreFile], what: Literal["slices", "groups"]) -> dict[str, str]:
    """Slice or group by id, from the files that have any."""
    told: dict[str, str] = {}
    by: dict[str, ScoreFile] = {}
    for file in files.values():
        for item, name in (file.slices if what == "slices" else file.groups).items():
            if told.setdefault(item, name) != name:
                place = f"{by[item].path}:{by[item].lines[item]}"
                raise DataError(
                    f"{file.path}:{file.lines[item]}: item `{item}` is of {what[:-1]} `{name}`, in {place} of "
                    f"`{told[item]}`; give it one"
                )
            by.setdefault(item, file)
    return told
