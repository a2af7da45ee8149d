"""`wheelwork ledger`: the corrections that no later round may undo."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .cli_pool import LoopName
from .core.errors import DataError
from .core.workspace import home, user_name

if TYPE_CHECKING:
    from .core.ledger.entries import Held
    from .core.ledger.store import Ledger

out = Console(highlight=False, soft_wrap=True)
ledger_app = typer.Typer(help="The ledger of a loop: corrections that no later round may undo.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Beginning of an id; `ledger list` shows them.")]
Who = Annotated[str, typer.Option("--by", help="Who does it; by default the user of this machine.")]


@ledger_app.command("list")
def list_(
    loop: LoopName,
    retired: Annotated[bool, typer.Option("--retired", help="Those that somebody retired, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, a list of items.")] = False,
) -> None:
    """What is in the ledger, in the order of its coming."""
    ledger = _ledger(loop)
    held = [one for one in ledger.held().values() if one.active or retired]
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in held], ensure_ascii=False, indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("id", "since", "origin", "", "question"):
        table.add_column(name, no_wrap=name != "question")
    for one in held:
        entry = one.entry
        text = f"{escape(_visible(entry.item.prompt))}\n[dim]{escape(_visible(entry.expected))}[/]"
        table.add_row(entry.id, one.since[:10], escape(_origin(one)), _state(one), text)
    if held:
        out.print(table)
    gone = sum(not one.active for one in ledger.held().values())
    active = len(ledger.held()) - gone
    out.print(f"{ledger.loop}: {active} items, {gone} retired.")


@ledger_app.command()
def show(loop: LoopName, id: Id) -> None:
    """One item, and its whole history."""
    ledger = _ledger(loop)
    found = ledger.held()[ledger.find(id)]
    entry = found.entry
    out.print(f"{entry.id}  {_state(found)}  {escape(_origin(found))}")
    for turn in entry.item.history:
        out.print(f"  {turn.role}: {escape(_visible(turn.content))}")
    out.print(f"  asked: {escape(_visible(entry.item.prompt))}")
    out.print(f"  right: {escape(_visible(entry.expected))}  ({entry.scorer.kind}, {entry.max_tokens} tokens)")
    for line in ledger.history(entry.id):
        said = [line.action, line.who and f"by {line.who}", line.round and f"round {line.round}", line.why]
        if line.entry is not None:
            said.append(f"right: {line.entry.expected}")
        out.print(f"{line.at}  {escape(_visible(' · '.join(part for part in said if part)))}")


@ledger_app.command()
def add(
    loop: LoopName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Rows in the fields of a suite.")],
    suite: Annotated[str | None, typer.Option(help="The suite whose fields, scorer and prompt they have.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of items that say otherwise.")] = False,
    who: Who = "",
    why: Annotated[str, typer.Option(help="The reason, for whoever reads the history.")] = "",
) -> None:
    """Take corrections in, as from users' feedback. The same file twice changes nothing."""
    from .core.ledger.corrections import read_corrections
    from .core.loops import load_loop
    from .core.naming import find_loop

    read = load_loop(find_loop(loop))
    ledger, by = _ledger(loop), who or user_name()
    entries = read_corrections(file, read, suite, by, read.settings.ledger.right_from, ledger.held_out())
    if not replace:
        there = ledger.held()
        for entry in entries:
            before = there.get(entry.id)
            if before is not None and before.entry.right != entry.right:
                raise DataError(
                    f"{file}:{entry.origin.source.rpartition(':')[2]}: item {entry.id} of the ledger gives another "
                    f"answer to this question ({before.entry.expected}); nothing was taken in, --replace takes this one"
                )
    taken = ledger.add(entries, replace=replace, who=by, why=why or file.name)
    out.print(f"{ledger.loop}: {taken.sentence}.")
    for new, kept in taken.against:
        out.print(
            f"Item {new.id} is of a suite and stays as it is ({kept.expected}): mend the suite's row, or retire it."
        )


@ledger_app.command()
def retire(
    loop: LoopName,
    id: Id,
    why: Annotated[str, typer.Option(help="The reason, for whoever asks later.")],
    who: Who = "",
) -> None:
    """Take an item out of the guard, with a reason. It stays in the history, and `restore` takes this back."""
    if not why.strip():
        raise DataError("--why is empty; say why the item need not be right any more")
    ledger = _ledger(loop)
    found = ledger.find(id)
    done = ledger.retire(found, who=who or user_name(), why=why.strip())
    out.print(f"{ledger.loop}: {found} is retired." if done else f"{ledger.loop}: {found} was retired before.")


@ledger_app.command()
def restore(
    loop: LoopName, id: Id, why: Annotated[str, typer.Option(help="The reason, if there is one.")] = "", who: Who = ""
) -> None:
    """Take a retirement back."""
    ledger = _ledger(loop)
    found = ledger.find(id)
    done = ledger.restore(found, who=who or user_name(), why=why.strip())
    out.print(f"{ledger.loop}: {found} guards again." if done else f"{ledger.loop}: {found} was not retired.")


def _ledger(loop: str) -> "Ledger":
    from .core.ledger.store import Ledger
    from .core.loops import read_settings
    from .core.naming import find_loop

    return Ledger(home(), read_settings(find_loop(loop)).name)


def _state(held: "Held") -> str:
    return "retired" if not held.active else "was right" if held.once_right else "open"


def _origin(held: "Held") -> str:
    origin = held.entry.origin
    return " ".join(part for part in (origin.kind, origin.round, origin.by and f"by {origin.by}") if part)


def _visible(text: str) -> str:
    """`text` in one line, without what would steer a terminal."""
    return "".join(sign if sign.isprintable() else "·" for sign in " ".join(text.split()))
