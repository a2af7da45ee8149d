"""Suites: fixed sets of questions, read with their line numbers and named by their content."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ..digests import digest_file, digest_of
from ..errors import ConfigError, DataError
from ..formats import read_labelled
from ..labelled import require_known
from ..rows import naming, read_rows
from ..settings import Setting
from .questions import part_of, question
from .scorers import ExactLabel, Item, LmEval, Plain, Scorer


class SuiteSettings(Setting):
    """One benchmark set of a loop."""

    role: Literal["target", "guard"] = Field(description="target: must get better; guard: must not get worse")
    path: str = Field(description="the rows, JSONL or CSV, relative to the loop; of `lm_eval` the task's YAML file")
    reserve: str | None = Field(None, description="more rows of its kind, for `wheelwork suite rotate`")
    scorer: Scorer = Field(ExactLabel(), description="how one answer is scored")
    prompt: Literal["task", "plain"] = Field("task", description="task: in the loop's prompt; plain: as it stands")
    margin: float = Field(0.0, ge=0, allow_inf_nan=False, description="guard: the damage still tolerated, in scores")
    floor: float | None = Field(None, description="target: the least mean score of a candidate; unset: none")
    max_tokens: int = Field(24, ge=1, le=4096, description="length of an answer at most")
    repeats: int = Field(1, ge=1, le=64, description="how often each item is asked; its scores are averaged first")
    temperature: float = Field(0.0, ge=0, le=2, description="0: greedy; above, replies are drawn, with fixed seeds")

    @property
    def tells_alone(self) -> bool:
        """Whether a reply is told right from itself and its item, and the same each time: greedy, without a judge."""
        return callable(self.scorer) and self.temperature == 0

    @model_validator(mode="after")
    def _margin_fits_role(self) -> "SuiteSettings":
        if self.role == "guard" and self.margin == 0:
            raise ValueError("a guard needs a `margin` above 0, such as 0.1")
        if self.role == "target" and self.margin != 0:
            raise ValueError("a target has no `margin`; it must get better")
        if self.role == "guard" and self.floor is not None:
            raise ValueError("a guard has no `floor`; its `margin` says what it may lose")
        if self.margin >= 1 and self.scorer.bounded:
            raise ValueError("scores lie between 0 and 1, and so must the `margin`")
        return self

    @model_validator(mode="after")
    def _repeats_differ(self) -> "SuiteSettings":
        if self.repeats > 1 and self.temperature == 0:
            raise ValueError("`repeats` of a greedy answer are all the same; set a `temperature` above 0, or leave it")
        if self.temperature > 0 and (self.scorer.measured_by == "training stack" or self.scorer.kind == "lm_eval"):
            raise ValueError(f"the scorer `{self.scorer.kind}` draws no replies; leave `temperature` and `repeats` out")
        return self


@dataclass(frozen=True)
class Suite:
    """A suite that was read: its items, the line each stands in, and the digest of questions and keys.

    `labels` are the labels that the loop knows.
    """

    name: str
    settings: SuiteSettings
    path: Path
    items: tuple[Item, ...]
    lines: tuple[int, ...]
    digest: str
    labels: tuple[str, ...] = ()

    @property
    def measured_by(self) -> str:
        """`serving engine` for replies, `training stack` for log-likelihoods."""
        if isinstance(self.settings.scorer, LmEval):
            from .lm_eval_task import answers_with

            return answers_with(self.path)
        return self.settings.scorer.measured_by

    @property
    def scored_as(self) -> str:
        """Kind and version of the scorer."""
        return f"{self.settings.scorer.kind} {self.settings.scorer.version}"

    @property
    def plain(self) -> bool:
        """Whether a reply and its item are all that the scorer looks at."""
        return isinstance(self.settings.scorer, Plain)


def read_suite(name: str, settings: SuiteSettings, folder: Path, labels: tuple[str, ...]) -> Suite:
    """Read and check the rows of one suite, and that what its scorer needs is there.

    Raises DataError naming file and line, ConfigError for the scorer.
    """
    path = folder / settings.path
    scorer = settings.scorer
    try:
        scorer.ready(folder)
        if isinstance(scorer, ExactLabel):
            settings = settings.model_copy(update={"scorer": (scorer := scorer.knowing(labels))})
    except (ConfigError, DataError) as error:
        raise ConfigError(f"{folder / 'loop.yaml'}: `suites.{name}.scorer`: {error}") from None
    numbered = _items(path, settings, labels)
    seen: dict[str, int] = {}
    for line, item in numbered:
        with naming(path, line):
            scorer.check(item)
        if item.id in seen:
            raise DataError(f"{path}:{line}: the same row as line {seen[item.id]}; remove one of them")
        seen[item.id] = line
    items, lines = tuple(item for _, item in numbered), tuple(line for line, _ in numbered)
    return Suite(name, settings, path, items, lines, _digest(items, settings, folder), labels)


def _digest(items: tuple[Item, ...], settings: SuiteSettings, folder: Path) -> str:
    """Names items, scorer and how they are asked. What is as it was before a setting came is not named."""
    scorer = settings.scorer
    told = scorer.model_dump(mode="json", exclude_defaults=True, exclude={"kind", "workers"})  # how fast, not what
    files = [digest_file(path) for path in scorer.files(folder)]
    content: dict[str, Any] = {
        "items": [item.identity for item in items],
        "scorer": [scorer.kind, scorer.version, *([told] if told else []), *files],
        "prompt": settings.prompt,
        "max_tokens": settings.max_tokens,
    }
    if settings.temperature > 0:
        content["drawn"] = [settings.temperature, settings.repeats]
    return digest_of(content)


def _items(path: Path, settings: SuiteSettings, labels: tuple[str, ...]) -> list[tuple[int, Item]]:
    if isinstance(settings.scorer, LmEval):
        from .lm_eval_task import read_items

        return read_items(path, settings.scorer)
    if isinstance(settings.scorer, ExactLabel):
        return _labelled(path, labels)
    numbered = []
    for line, row in read_rows(path):
        with naming(path, line):
            numbered.append((line, question(row, settings.scorer.kind)))
    if not numbered:
        raise DataError(f"{path}: has no rows; a suite needs at least one")
    return numbered


def _labelled(path: Path, labels: tuple[str, ...]) -> list[tuple[int, Item]]:
    rows = read_labelled(path)
    require_known(rows, labels, path)
    columns = dict(read_rows(path))
    numbered = []
    for row in rows:
        # `kind` is a column like any other here
        part = {"slice": row.label} | part_of(columns[row.line] | {"kind": None})
        numbered.append((row.line, Item(id=digest_of(row.text)[:16], prompt=row.text, label=row.label, **part)))
    return numbered
