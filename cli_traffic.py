"""`wheelwork traffic` and `wheelwork collect`: what users asked and said, and what a loop learns of it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .cli_pool import LoopName
from .core.errors import DataError, UserError
from .core.workspace import home, locked

if TYPE_CHECKING:
    from .core.loops import LoopSettings
    from .core.traffic.archive import Archive
    from .core.traffic.figures import Figures

out = Console(highlight=False, soft_wrap=True)
traffic_app = typer.Typer(help="What users asked, what they were answered, what they said of it.", no_args_is_help=True)

Since = Annotated[str | None, typer.Option(help="From then on: 2026-11-26T14:00, `2h ago`, `yesterday 14:00`.")]


def collect(loop: LoopName) -> None:
    """Turn traffic into material: corrections, intents, what users disliked and prefer. Done twice it adds nothing."""
    from .blocks.environment import prepare, stoppable
    from .core.loops import load_loop
    from .core.naming import find_loop

    folder = find_loop(loop)
    load_loop(folder)  # a user's mistake ends here, before anything is started
    prepare(home())
    with Console(stderr=True).status("starting Prefect and MLflow"):
        from .flows.collect import collect as flow
    for sentence in stoppable(flow)(str(folder)).sentences:
        out.print(escape(sentence))


@traffic_app.command()
def stats(
    loop: LoopName,
    since: Since = None,
    days: Annotated[bool, typer.Option("--days", help="A row for each day.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, a row for each version and day.")] = False,
) -> None:
    """How users take each version: errors, latency, satisfaction, corrections, recall of intents."""
    from .core.traffic.figures import figures

    start = _moment(since)
    with _archive(loop) as (archive, settings):
        sure = settings.serve.traffic.collect.sure
        rows = figures(archive, settings.name, start, sure, days=days or as_json)
    if as_json:
        import json

        print(json.dumps([row.model_dump() for row in rows], ensure_ascii=False, indent=1))
        return
    if not rows:
        out.print(f"{settings.name}: no exchange is stored{' since then' if since else ''}.")
        return
    out.print(_table(rows, days))
    labels = [(row.version, row.day, one) for row in rows for one in row.labels]
    for version, day, one in labels:
        told = " ".join(filter(None, (f"version {version}", day)))
        out.print(f"{told}: {escape(one.label)} served right {one.right} of {one.asked} times", style="dim")


@traffic_app.command()
def export(
    loop: LoopName,
    to: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .csv, .tsv, .jsonl, .json or .parquet.")],
    since: Since = None,
) -> None:
    """Write the exchanges of a loop for other tools, with the last word of users on each."""
    from .core.rows import kind_of
    from .core.traffic.export import write_traffic

    kind_of(to)
    start = _moment(since)
    with _archive(loop) as (archive, settings):
        count = write_traffic(archive, settings.name, to, start)
    out.print(f"{to}, exchanges: {count:,}.")


@traffic_app.command()
def prune(loop: LoopName) -> None:
    """Delete what is too old or too many by `serve.traffic` of the loop; the gateway does so by itself as well."""
    from .core.traffic.retention import prune as pruned

    with _archive(loop) as (archive, settings):
        count = pruned(archive, settings.name, settings.serve.traffic, time.time())
    out.print(f"{settings.name}, exchanges deleted: {count:,}.")


@traffic_app.command()
def forget(
    loop: LoopName,
    user: Annotated[str, typer.Option(help="The user as the gateway was told: the field `user` of its requests.")],
) -> None:
    """Delete every exchange of a user, with all that was said of it, and say what was learnt of it."""
    from .core.traffic.forgetting import forget as forgotten

    if not user.strip():
        raise DataError("--user is empty; give the user as the gateway was told")
    busy = f"the traffic of `{loop}` is being collected; wait for it, then run the command again"
    with _archive(loop) as (archive, settings), locked(home() / "locks" / f"{settings.name}.collect.lock", busy, 60):
        done = forgotten(home(), archive, settings.name, user)
    out.print(f"{settings.name}, deleted: exchanges {done.exchanges:,}, pairs of answers {done.pairs:,}.")
    if done.samples:
        ids = " ".join(done.samples)
        out.print("The pool has samples of their corrections; this keeps them out of every later round:")
        out.print(f"wheelwork pool exclude {loop} {ids}", markup=False)
    if done.items:
        out.print("The ledger has items of them; for each:")
        for id in done.items:
            out.print(f"wheelwork ledger retire {loop} {id} --why 'the user asked for it'", markup=False)
        out.print("A retired item stays readable in the ledger's history.")


@contextmanager
def _archive(loop: str) -> "Iterator[tuple[Archive, LoopSettings]]":
    """The traffic database, and the settings of the loop that is asked about."""
    from .core.loops import read_settings
    from .core.naming import find_loop
    from .core.traffic.reaching import reached

    settings = read_settings(find_loop(loop))
    with reached(home()) as archive:
        yield archive, settings


def _moment(since: str | None) -> float:
    from .core.registry.when import moment_of

    if since is None:
        return 0.0
    try:
        return moment_of(since, datetime.now(UTC)).timestamp()
    except UserError as error:
        raise DataError(str(error).replace("--at", "--since", 1)) from None


def _table(rows: "Sequence[Figures]", days: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("version", *(["day"] if days else [])):
        table.add_column(name, no_wrap=True)
    for name in ("asked", "errors", "p50, p95 s", "satisfied", "of", "corrected", "recall"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        content = "–"
        if row.satisfaction is not None and row.low is not None and row.high is not None:
            content = escape(f"{row.satisfaction:.0%} [{100 * row.low:.0f}–{100 * row.high:.0f}]")
        table.add_row(
            *(escape(row.version), row.day)[: 1 + days],
            f"{row.exchanges:,}",
            f"{row.errors:,}",
            f"{_number(row.latency_p50, '.2f')} {_number(row.latency_p95, '.2f')}",
            content,
            f"{row.rated:,}",
            _number(row.correction_rate, ".1%"),
            _number(row.recall, ".0%"),
        )
    return table


def _number(value: float | None, how: str) -> str:
    return "–" if value is None else format(value, how)
