"""`wheelwork benchmark`: one model against the suites of a loop, without a round."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from .cli_export import find_source
from .cli_filter import clearing_up, watching
from .cli_pool import LoopName
from .core.errors import ConfigError
from .core.workspace import home

if TYPE_CHECKING:
    from .core.engines.base import Adapter
    from .core.evaluation.benchmark import Answered
    from .core.evaluation.breakdown import Breakdown
    from .core.evaluation.measuring import Measured
    from .core.evaluation.suites import Suite
    from .core.loops import Loop
    from .core.models.progress import Progress
    from .core.models.store import ModelFiles

out = Console(highlight=False, soft_wrap=True)
MOST_PARTS = 20  # of a suite, in the terminal


def benchmark(
    loop: LoopName,
    adapter: Annotated[
        str | None, typer.Option(help="Folder of an adapter, champion, candidate, or a version. Unset: the base.")
    ] = None,
    suite: Annotated[list[str] | None, typer.Option(help="Name of a suite; repeat. Unset: all.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write a row for each item; of several suites a file for each."),
    ] = None,
) -> None:
    """Let one model answer the suites of a loop, and score its answers. Nothing is recorded or promoted.

    Rows of --out are {id, score, slice, group, label, difficulty, suite, scorer, reply, reason}, such as `wheelwork
    gate` reads. Replies are kept, so that a second time they cost nothing; log-likelihoods are read anew.
    """
    from .core.rows import kind_of

    if to is not None:
        kind_of(to)
    with clearing_up("what was answered is kept"), watching() as progress:
        read, base, found = _subject(loop, adapter, progress)
        suites = _chosen(read, suite)
    model, measured = _measured(read, base, found, suites)
    for name, one in suites.items():
        answered = measured.answered[name][model]
        _show(one, answered)
        if to is not None:
            path = to if len(suites) == 1 else to.with_name(f"{to.stem}.{name}{to.suffix}")
            _write(path, one, answered)
            out.print(f"{path}: {len(one.items):,} rows", markup=False, style="dim")


def _subject(ref: str, adapter: str | None, progress: "Progress") -> "tuple[Loop, ModelFiles, Adapter | None]":
    """The loop, its base, and the adapter that is meant."""
    from .core.engines.base import Adapter
    from .core.loops import load_loop
    from .core.models.store import ModelStore
    from .core.naming import find_loop

    if adapter is not None and not Path(adapter).is_dir():
        if adapter not in ("champion", "candidate") and not adapter.isdecimal():
            raise ConfigError(
                f"--adapter {adapter}: there is no such folder; give one, or champion, candidate, or a version's number"
            )
        version = adapter if adapter.isdecimal() else None
        source = find_source(ref, version, None if version else adapter, progress)
        return source.loop, source.base, source.adapter
    loop = load_loop(find_loop(ref))
    base = ModelStore().get(loop.model_ref(loop.settings.model), progress)
    return loop, base, Adapter.at(Path(adapter)) if adapter is not None else None


def _chosen(loop: "Loop", names: list[str] | None) -> "dict[str, Suite]":
    from .core.text import nearest

    for name in names or ():
        if name not in loop.suites:
            raise ConfigError(f"--suite {name}: the loop has no such suite; {nearest(name, loop.suites)}")
    return {name: one for name, one in loop.suites.items() if not names or name in names}


def _measured(
    loop: "Loop", base: "ModelFiles", adapter: "Adapter | None", suites: "dict[str, Suite]"
) -> "tuple[str, Measured]":
    """What the model is called among those that answer, and what was measured."""
    from .core.evaluation.measuring import BASE, CANDIDATE, Contest, measure
    from .core.evaluation.opening import roles_of
    from .core.pace import showing
    from .core.teaching import unresolved

    resolve = unresolved
    asked = [one for role in roles_of(list(suites.values())) for one in loop.settings.teachers(role)]
    if any(teacher.kind == "block" for teacher in asked):
        from .blocks.environment import prepare

        prepare(home())
        from .blocks.teacher import resolve_block as resolve
    model = BASE if adapter is None else CANDIDATE
    adapters = {} if adapter is None else {CANDIDATE: adapter}
    with clearing_up("what was answered is kept"):
        return model, measure(Contest(loop, base, adapters, suites, only=model), home() / "cache", resolve, showing)


def _show(suite: "Suite", answered: "Answered") -> None:
    """A table of the whole suite and its parts, and what should be known of it."""
    from .core.evaluation.breakdown import breakdown

    found = breakdown(suite, answered)
    scored = [value for value in answered.values if value is not None]
    table = Table("suite", "items", "unscored", "score", "95%", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    mean = "–" if answered.mean is None else f"{answered.mean:.3f}"
    table.add_row(suite.name, str(len(scored)), _count(len(answered.values) - len(scored)), mean, "")
    for part in found.parts[:MOST_PARTS]:
        interval = f"{part.low:.2f} to {part.high:.2f}" if part.low is not None and part.high is not None else ""
        mean = "–" if part.mean is None else f"{part.mean:.3f}"
        table.add_row(f"  {part.by} {part.name}", str(part.n), _count(part.unscored), mean, interval)
    out.print(table)
    for line in _remarks(suite, answered, found):
        out.print(line, markup=False, style="dim")
    out.print()


def _remarks(suite: "Suite", answered: "Answered", found: "Breakdown") -> list[str]:
    lines = [f"Scored by {suite.settings.scorer.kind}, measured by the {suite.measured_by}."]
    if left := len(found.parts) - MOST_PARTS:
        lines += [f"{left} more parts stand in the rows of --out."] if left > 0 else []
    if found.confusion is not None and (wrong := found.confusion.mistakes[:3]):
        told = ", ".join(f"{true} as {said} ({count})" for true, said, count in wrong)
        lines.append(f"Most often mistaken: {told}.")
    if found.calibration is not None:
        lines.append(f"Expected calibration error {found.calibration.error:.3f} over {found.calibration.n} items.")
    return [*lines, *answered.notes]


def _count(number: int) -> str:
    return str(number) if number else ""


def _write(path: Path, suite: "Suite", answered: "Answered") -> None:
    import pyarrow as pa

    from .core.rows import write_rows

    named = {"suite": f"{suite.name} {suite.digest[:16]}", "scorer": suite.scored_as}
    rows = (
        {
            "id": item.id,
            "score": score.value,
            "slice": item.slice,
            "group": item.group,
            "label": item.label,
            "difficulty": item.difficulty,
            **named,
            "reply": reply,
            "reason": score.reason or None,
        }
        for item, score, reply in zip(suite.items, answered.scores, answered.replies, strict=True)
    )
    texts = ("slice", "group", "label", "difficulty", "suite", "scorer", "reply", "reason")
    schema = [("id", pa.string()), ("score", pa.float64()), *((name, pa.string()) for name in texts)]
    write_rows(path, rows, pa.schema(schema))
