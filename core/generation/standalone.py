"""Generation by itself: from files and a few words to a file of samples, without a loop and without any server."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from ..engines.llamacpp import LlamaCpp
from ..engines.transformers import Transformers
from ..errors import ConfigError
from ..formats import read_labelled, write_samples
from ..models.store import ModelStore
from ..samples import Sample, read_parquet, write_parquet
from ..settings import Setting, parse
from ..teachers import EmbeddedTeacher, Teacher
from ..teaching import Teachers
from .material import Material
from .planning import Generation
from .tasks import AnyTask

ALSO = ("id", "task", "origin", "parent_id", "controls")  # what a file for people says of a sample besides its turns
BASE = "smollm2-135m-instruct"  # the embedded teacher that needs no fetching


class Outcome(NamedTuple):
    """What became of the rows: how many were made, how many dropped by reason, and where those are."""

    made: int
    dropped: dict[str, int]
    dropped_path: Path


class Asked(Setting):
    """What the options of `wheelwork generate` amount to."""

    task: AnyTask = Field(description="the task and its settings")
    generate: Generation = Field(description="how samples are written")
    teacher: Teacher = Field(description="who writes them")

    @classmethod
    def from_options(
        cls, task: dict[str, Any], generate: dict[str, Any], teacher: dict[str, Any], seeds: Path | None
    ) -> "Asked":
        """A `classify` without labels takes those of its seeds. Raises ConfigError and DataError as a loop does."""
        if task["kind"] == "classify" and "labels" not in task:
            if seeds is None:
                raise ConfigError("--task classify needs --labels, a YAML file of `label: description`, or --seeds")
            found = sorted({row.label for row in read_labelled(seeds)})
            task = task | {"labels": {label: label.replace("_", " ") for label in found}}
        return parse(cls, {"task": task, "generate": generate, "teacher": teacher}, "wheelwork generate")

    def material(self, seeds: Path | None, language: str) -> Material:
        """What samples are made from; paths are relative to the working directory."""
        template = "continue" if self.teacher.kind == "embedded" else "write"
        here, options = Path.cwd(), Path("wheelwork generate")
        return Material(
            here, self.task, self.generate, seeds=seeds, language=language, template=template, config=options
        )

    def teachers(self) -> Teachers:
        def model(teacher: EmbeddedTeacher) -> Any:
            return ModelStore().get(teacher.model or BASE)

        return Teachers((self.teacher,), model, lambda files: LlamaCpp() if files.gguf else Transformers())


def write_file(rows: Iterable[Sample], out: Path, *, keep_cut: bool = False) -> Outcome:
    """Stream `rows` to `out` and those with a `reject_reason` to `<stem>.dropped` beside it.

    There is no funnel here, so what the token limit cut is dropped at once, as a round would; not with `keep_cut`.

    The ending of `out` chooses the kind of file. Parquet holds whole samples; the others the conversation as
    `messages`, with id, task, origin and controls. Each file appears whole or not at all.
    """
    dropped_path = out.with_name(f"{out.stem}.dropped{out.suffix}")
    with tempfile.TemporaryDirectory(prefix="wheelwork-") as folder:
        spool = Path(folder) / "rows.parquet"  # the rows come once, and go to two files
        write_parquet(spool, rows if keep_cut else map(_whole_or_dropped, rows))
        made = _write(out, (row for row in read_parquet(spool) if row.reject_reason is None), ALSO)
        dropped = Counter(row.reject_reason for row in read_parquet(spool) if row.reject_reason is not None)
        if dropped:
            _write(dropped_path, (row for row in read_parquet(spool) if row.reject_reason), (*ALSO, "reject_reason"))
        else:
            dropped_path.unlink(missing_ok=True)  # what an earlier run of this name dropped
    return Outcome(made, {str(reason): count for reason, count in dropped.items()}, dropped_path)


def _whole_or_dropped(row: Sample) -> Sample:
    return row.rejected("cut_off") if row.cut_off and row.reject_reason is None else row


def _write(path: Path, samples: Iterator[Sample], also: tuple[str, ...]) -> int:
    return write_parquet(path, samples) if path.suffix == ".parquet" else write_samples(path, samples, "messages", also)
