"""`wheelwork pool`: what a loop has learnt from so far, version by version, and what is to stay out of it."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .core.errors import DataError
from .core.workspace import home

if TYPE_CHECKING:
    from .core.pool.store import Pool
    from .core.pool.versions import Entry

SHORT = 12  # characters of a version that are shown
out = Console(highlight=False)
pool_app = typer.Typer(help="The pool of a loop: its samples, versions and exclusions.", no_args_is_help=True)

LoopName = Annotated[str, typer.Argument(metavar="LOOP", help="Folder of the loop, or the name of a scenario.")]
Rows = Annotated[int, typer.Option("--n", min=0, help="How many samples to list.")]
AtVersion = Annotated[str | None, typer.Option("--version", help="Beginning of a version; empty: the present one.")]


@pool_app.command()
def log(loop: LoopName) -> None:
    """Every change of the pool, the latest first."""
    pool = _pool(loop)
    lines = pool.lines()
    table = _table("when", "version", "what", "accepted", "marked", "excluded")
    for line in reversed(lines):
        what = f"round {line.round}" if line.round else line.action
        said = escape(f"{what}: {line.why}" if line.why else what)
        counts = (str(line.accepted), str(line.marked), str(line.excluded))
        table.add_row(line.at.removesuffix("+00:00"), _short(line.version), said, *counts)
    out.print(table if lines else f"The pool of {pool.loop} is empty: no round of it has ended here.")


@pool_app.command()
def show(
    loop: LoopName,
    version: AtVersion = None,
    label: Annotated[str | None, typer.Option(help="Only this label or category.")] = None,
    marked: Annotated[bool, typer.Option("--marked", help="Only samples of rounds that were not promoted.")] = False,
    n: Rows = 10,
) -> None:
    """What the pool holds, by category, and some of its samples."""
    from .core.pool.lookup import version_of

    pool = _pool(loop)
    at = version_of(pool, version)
    view = pool.view(at)
    entries = [
        entry
        for entry in view.entries.values()
        if (label is None or entry.category == label) and (not marked or entry.mark is not None)
    ]
    out.print(_counts(entries))
    chosen = entries[:n]
    texts = {sample.id: sample.prompt for sample in pool.samples(chosen)}
    table = _table("id", "category", "text")
    for entry in chosen:
        table.add_row(entry.id, escape(entry.category), f"{_visible(texts[entry.id])}\n[dim]{escape(_about(entry))}[/]")
    if chosen:
        out.print()
        out.print(table)
    out.print(f"\n{pool.loop} at {at[:SHORT]}: {len(view.accepted)} accepted, {view.marks.total()} marked, "
              f"{len(view.excluded)} excluded.", soft_wrap=True)  # fmt: skip


@pool_app.command()
def diff(
    loop: LoopName,
    earlier: Annotated[str, typer.Argument(help="Beginning of a version, or `empty`.")],
    later: Annotated[str, typer.Argument(help="Beginning of a version; head: the present one.")] = "head",
    n: Rows = 10,
) -> None:
    """What came, left or changed between two versions."""
    from .core.pool.diff import difference

    pool = _pool(loop)
    first, second = (None if name == "empty" else pool.find(name) for name in (earlier, later))
    changed = difference(pool.view(first), pool.view(second))
    table = _table("", "id", "category", "text")
    parts = [
        *(("+", entry, "") for entry in changed.came),
        *(("–", entry, changed.excluded.get(entry.id, "")) for entry in changed.left),
        *(
            ("~", after, f"{before.mark or 'accepted'} → {after.mark or 'accepted'}")
            for before, after in changed.marked
        ),
    ]
    texts = {sample.id: sample.prompt for sample in pool.samples(entry for _, entry, _ in parts[:n])}
    for sign, entry, note in parts[:n]:
        said = _visible(texts[entry.id]) + (f"\n[dim]{escape(note)}[/]" if note else "")
        table.add_row(sign, entry.id, escape(entry.category), said)
    if parts[:n]:
        out.print(table)
    if len(parts) > n:
        out.print(f"… and {len(parts) - n} more; --n shows them", style="dim")
    counts = f"{len(changed.came)} came, {len(changed.left)} left, {len(changed.marked)} changed their mark"
    out.print(f"{_short(first)} → {_short(second)}: {counts}, {len(changed.excluded)} excluded.", soft_wrap=True)


@pool_app.command()
def export(
    loop: LoopName,
    to: Annotated[Path, typer.Option("--out", help="New folder for the data set.")],
    format: Annotated[
        str, typer.Option(help="messages, sharegpt, alpaca, prompt_completion or text_label.")
    ] = "messages",
    version: AtVersion = None,
) -> None:
    """Write the accepted samples with a dataset card and LLaMA-Factory's dataset_info.json."""
    from typing import get_args

    from .core.formats import Format
    from .core.pool import export as exporting
    from .core.pool.lookup import find_pool, version_of
    from .core.text import nearest

    if format not in get_args(Format):
        raise DataError(f"--format {format}: there is no such format; {nearest(format, get_args(Format))}")
    found = find_pool(home(), loop)
    at = version_of(found.pool, version)
    rows = exporting.export(found.pool, at, found.settings, found.folder.resolve().name, format, to)  # type: ignore[arg-type]
    out.print(f"{to}: {rows} samples of version {at[:SHORT]} as {format}, with README.md and dataset_info.json.",
              soft_wrap=True)  # fmt: skip


@pool_app.command()
def exclude(
    loop: LoopName,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of samples; `pool show` lists them.")],
    why: Annotated[str, typer.Option(help="The reason, for whoever reads the log.")] = "",
) -> None:
    """Keep samples out for ever: they leave the pool, and are dropped when they are generated again or are seeds."""
    from .core.digests import SHORT as LENGTH

    for id in ids:
        if len(id) != LENGTH or set(id) - set("0123456789abcdef"):
            raise DataError(f"{id}: is no id of a sample; ids have {LENGTH} digits 0-9a-f, as `pool show` lists them")
    pool = _pool(loop)
    line = pool.exclude(dict.fromkeys(ids, why))
    if line is None:
        out.print(f"{pool.loop}: nothing to do, these were excluded before.")
    else:
        out.print(f"{pool.loop} at {_short(line.version)}: {line.accepted} accepted, {line.excluded} excluded.")


@pool_app.command()
def undo(loop: LoopName) -> None:
    """Go back to the version before the present one. Nothing is lost: the log keeps both."""
    line = _pool(loop).undo()
    out.print(f"{loop}: back at {_short(line.version)}, with {line.accepted} accepted and {line.excluded} excluded.")


def _pool(loop: str) -> "Pool":
    from .core.pool.lookup import find_pool

    return find_pool(home(), loop).pool


def _counts(entries: "Iterable[Entry]") -> Table:
    """Entries by category: accepted, marked, and who wrote them."""
    table = _table("category", "accepted", "marked", "written by")
    by_category: dict[str, list[Entry]] = {}
    for entry in entries:
        by_category.setdefault(entry.category, []).append(entry)
    for category, there in sorted(by_category.items()):
        accepted = sum(entry.mark is None for entry in there)
        writers = ", ".join(f"{origin} {count}" for origin, count in Counter(entry.origin for entry in there).items())
        table.add_row(escape(category or "–"), str(accepted), str(len(there) - accepted), writers)
    return table


def _about(entry: "Entry") -> str:
    """All else that the pool knows of a sample, in one line."""
    known = [
        entry.mark,
        f"from {entry.source}" if entry.source else None,
        f"first in round {entry.first_round}" if entry.first_round else "by a person",
        f"last in {entry.last_round}" if entry.last_round != entry.first_round else None,
        f"since version {entry.version[:SHORT]}",
        f"weight {entry.weight:g}",
        f"made of {entry.parent_id}" if entry.parent_id else None,
        *(f"{name} {score:.3f}" for name, score in sorted(entry.scores.items())),
    ]
    return " · ".join(part for part in known if part)


def _visible(text: str) -> str:
    """`text` without what would steer a terminal."""
    return escape("".join(sign if sign.isprintable() or sign == "\n" else "·" for sign in text))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:  # what is copied from a table stays whole, whatever its width
        table.add_column(name, no_wrap=name not in ("what", "text"))
    return table


def _short(version: str | None) -> str:
    return version[:SHORT] if version else "empty"
