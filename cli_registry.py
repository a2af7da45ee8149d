"""`wheelwork history` and `wheelwork rollback`: what was champion when and why, and back to an earlier one."""

import gc
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .cli_pool import LoopName
from .core.errors import DependencyError, RegistryError
from .core.workspace import home

if TYPE_CHECKING:
    from .core.registry.journal import Entry, Journal
    from .core.registry.moves import Moves
    from .core.registry.past import Past


def _out() -> Console:
    """Made when something is said: its width is that of the terminal then."""
    return Console(highlight=False)


WORDS = {
    "start": "found",
    "judge": "judged",
    "promote": "promoted",
    "refuse": "refused",
    "rollback": "rolled back",
    "outside": "moved outside",
    "measure": "measured anew",
    "repair": "repaired",
    "canary": "on trial",
}


def history(
    loop: LoopName,
    at: Annotated[
        str | None,
        typer.Option(help="What was champion then: 2026-11-26T14:00, `2h ago`, `yesterday 14:00`."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every line of the journal as JSON.")] = False,
) -> None:
    """Every move of the loop's champion and candidate: who, what, why, with which figures. The journal is verified.

    What happened outside, such as by hand in MLflow, is written down first. Where MLflow does not answer, the journal
    is shown as it is, and that is said.
    """
    from .core.registry.past import Past
    from .core.registry.when import moment_of

    moment = moment_of(at, datetime.now(UTC)) if at is not None else None
    name, journal = _journal(loop)
    unsure = _caught_up(name)
    entries = list(journal.entries())  # every line is checked against the one before
    past = Past(entries)
    if as_json:
        print(json.dumps(_as_json(name, entries, past, moment, unsure), indent=2, ensure_ascii=False))
        return
    if not entries:
        _out().print(
            f"{name}: nothing was promoted or judged here yet; run `wheelwork improve {loop}`.", soft_wrap=True
        )
    elif moment is not None:
        _show_moment(name, past, moment)
    else:
        _out().print(_table(entries))
        _out().print(f"\n{escape(_champion(name, past))}", soft_wrap=True)
        _out().print(
            f"{len(entries)} lines, each sealed with the one before: {journal.path}", style="dim", soft_wrap=True
        )
    if unsure and entries:
        _out().print(f"[yellow]Not compared with MLflow:[/] {escape(unsure)}", soft_wrap=True)


def rollback(
    loop: LoopName,
    to: Annotated[str | None, typer.Option(help="Version to go to; `base`: no champion at all.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the history.")] = "",
) -> None:
    """Back to the champion before the present one, or to the version that --to names. Twice is as once.

    From the first champion it goes to the base. The next round is judged against who is champion then; giving the
    round again whose adapter was rolled back does not promote it anew.
    """
    started = time.perf_counter()
    name, _ = _journal(loop)
    if not _is_there():
        raise RegistryError(
            f"{name}: has no champion yet, so there is nothing to go back from; run `wheelwork improve {loop}`"
        )
    with _without_collector():
        moved = _moves(name).roll_back(to, reason)
    now = f"version {moved.champion} is champion" if moved.champion else "there is no champion, the base answers"
    if moved.status == "already":
        _out().print(f"{name}: nothing to do, {escape(moved.note)}.", soft_wrap=True)
        return
    before = f"version {moved.before}" if moved.before else "no champion"
    _out().print(f"{name}: {now}; before: {before}.", soft_wrap=True)
    took = time.perf_counter() - started
    _out().print(f"Line {moved.entry} of the journal, in {took:.1f} s. See: wheelwork history {loop}", style="dim")


def _journal(loop: str) -> "tuple[str, Journal]":
    """Name and journal of the loop; its data is not read."""
    from .core.naming import loop_name
    from .core.registry.record import journal_of

    name = loop_name(loop)
    return name, journal_of(home(), name, time.time)


def _is_there() -> bool:
    """Whether there is an MLflow to ask: one of the user's, or the database of this state folder."""
    return "MLFLOW_TRACKING_URI" in os.environ or (home() / "mlflow.db").is_file()


def _moves(name: str) -> "Moves":
    """The moves of a loop; MLflow's import is most of a rollback's time."""
    from .blocks.environment import prepare

    prepare(home())
    from .blocks.registry import moves_of

    return moves_of(name, home())


@contextmanager
def _without_collector() -> Iterator[None]:
    """Imports make many objects and no garbage: looking for it is a sixth of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _caught_up(name: str) -> str:
    """Write down what happened outside; returns why that could not be done, if it could not."""
    if not _is_there():
        return f"there is no {home() / 'mlflow.db'}"
    try:
        with _without_collector():
            _moves(name).catch_up()
    except DependencyError as error:
        return str(error)
    return ""


def _table(entries: "list[Entry]") -> Table:
    """A row for each move; one that was begun and ended is one row."""
    table = Table("", "when", "what", "version", "who", "figures and reason", box=None, pad_edge=False,
                  header_style="dim")  # fmt: skip
    for column in table.columns[:4]:
        column.no_wrap = True
    ended = {entry.begun for entry in entries if entry.begun is not None}
    begun = {entry.sequence: entry for entry in entries if entry.state == "begun"}
    for entry in entries:
        if entry.state == "begun" and entry.sequence in ended:
            continue
        first = begun.get(entry.begun or 0, entry)
        table.add_row(
            str(entry.sequence), f"{first.moment.astimezone():%Y-%m-%d %H:%M:%S}", _what(entry), _from_to(entry),
            escape(first.who.in_words), escape(_why(entry)),
        )  # fmt: skip
    return table


def _what(entry: "Entry") -> str:
    move = entry.move
    word = WORDS[move.kind] if move.kind != "judge" else f"judged {move.verdict}"
    colour = {"promote": "green", "rollback": "yellow", "outside": "yellow", "refuse": "red"}.get(move.kind)
    if entry.state == "withdrawn":
        word += ", withdrawn"
    elif entry.state == "begun":
        word += ", under way"
    return f"[{colour}]{word}[/]" if colour else word


def _from_to(entry: "Entry") -> str:
    move = entry.move
    if move.kind == "refuse":
        return f"{move.alias}: {_short(move.after)}"
    if move.before == move.after or move.kind == "start":
        return f"{move.alias}: {_short(move.after)}"
    return f"{move.alias}: {_short(move.before)} → {_short(move.after)}"


def _why(entry: "Entry") -> str:
    """Figures, reason and note of a line."""
    move = entry.move
    parts = [_figure(suite, figures) for suite, figures in move.figures.items()] if move.kind != "refuse" else []
    if not parts or move.kind in ("rollback", "outside", "start"):
        parts.append(move.reason)
    if move.kind == "canary":
        parts = [move.reason]  # its figures are of users, not of suites; it tells them in words
    if move.kind == "refuse":
        parts.insert(0, f"judged against {_named(move.against)}, which was champion no longer")
    return "; ".join(part for part in (*parts, entry.note) if part)


def _figure(suite: str, figures: "dict[str, float | None]") -> str:
    """Such as `holdout 0.91 (+0.06, p 0.003)`; what is not known is left out."""
    score, delta, p_value = (figures.get(name) for name in ("candidate", "delta", "p_value"))
    told = [f"{delta:+.3f}"] if delta is not None else []
    told += [f"p {p_value:.2g}"] if p_value is not None else []
    shown = "–" if score is None else f"{score:.3f}"
    return f"{suite} {shown}" + (f" ({', '.join(told)})" if told else "")


def _show_moment(name: str, past: "Past", moment: datetime) -> None:
    shown = f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"
    entry = past.at(moment)
    if entry is None:
        first = past.champions[0].moment.astimezone() if past.champions else None
        since = f"; the first that is known of became so {first:%Y-%m-%d %H:%M %Z}" if first else ""
        _out().print(f"{name} at {shown}: no champion is known of{since}.", soft_wrap=True)
        return
    _out().print(f"{name} at {shown}: {escape(_told(past, entry))}", soft_wrap=True)


def _champion(name: str, past: "Past") -> str:
    return f"{name}: no champion yet." if past.last is None else f"{name}: {_told(past, past.last)}"


def _told(past: "Past", entry: "Entry") -> str:
    """Who was champion after an entry, and how that came about."""
    move = entry.move
    since = f"{past.moment_of(entry).astimezone():%Y-%m-%d %H:%M %Z}"
    who = f"version {move.after}" if move.after else "no champion, the base answered"
    noticed = "noticed" if move.kind in ("outside", "start") else "since"
    told = f"{who}, {WORDS[move.kind]} by {entry.who.in_words}, {noticed} {since}"
    return f"{told}. {_why(entry)}".rstrip(". ") + "."


def _as_json(name: str, entries: "list[Entry]", past: "Past", moment: datetime | None, unsure: str) -> dict[str, Any]:
    told: dict[str, Any] = {"loop": name, "verified": True, "champion": past.champion}
    if unsure:
        told["not_compared"] = unsure
    if moment is not None:
        entry = past.at(moment)
        told["at"] = {"time": moment.isoformat(), "champion": entry.move.after if entry else None}
        told["at"] |= {"known": entry is not None, "entry": entry.sequence if entry else None}
    return told | {"entries": [entry.model_dump(mode="json") for entry in entries]}


def _short(version: str | None) -> str:
    return version or "none"


def _named(version: str | None) -> str:
    return f"version {version}" if version else "the base"
