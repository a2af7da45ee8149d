"""`wheelwork keys`: the API keys of the gateway. Each change takes effect within a second, and is written down."""

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .core.workspace import home

KEYS = "keys.json"
keys_app = typer.Typer(help="API keys of the gateway: make, list, replace, end.", no_args_is_help=True)


class Scope(StrEnum):
    """What a key is for."""

    chat = "chat"
    feedback = "feedback"
    admin = "admin"


Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called: letters, digits, `.`, _ and -.")]


@keys_app.command()
def add(
    name: Name,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it is for, may be given again; default: chat and feedback. admin: figures, intents."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Requests a second; default: what the loop allows.")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Requests at once; default: what the loop allows.")
    ] = None,
) -> None:
    """Make a key. It is printed once, and only its hash is kept."""
    from .core.serving.gateway.audit import note
    from .core.serving.gateway.keys import add_key

    scopes = [one.value for one in scope or (Scope.chat, Scope.feedback)]
    token = add_key(home() / KEYS, name, list(dict.fromkeys(scopes)), time.time(), rate, parallel)
    note(home(), "key added", name, scopes=" ".join(scopes))
    _show(token, f"{name}: may {', '.join(scopes)}. Keep it now; it is not shown again.")


@keys_app.command()
def rotate(
    name: Name,
    grace: Annotated[float, typer.Option(min=0, max=720, help="Hours that the old key works on.")] = 24,
) -> None:
    """Make a new key in the place of one; the old one works on for a while, so that nobody is cut off."""
    from .core.serving.gateway.audit import note
    from .core.serving.gateway.keys import rotate_key

    token = rotate_key(home() / KEYS, name, time.time(), grace * 3600)
    note(home(), "key rotated", name, grace_hours=f"{grace:g}")
    _show(token, f"{name}: the old key works for {grace:g} h more. Keep the new one now; it is not shown again.")


@keys_app.command()
def revoke(name: Name) -> None:
    """End a key at once, with what of it works on after a rotation."""
    from .core.serving.gateway.audit import note
    from .core.serving.gateway.keys import revoke_key

    revoke_key(home() / KEYS, name, time.time())
    note(home(), "key revoked", name)
    Console(highlight=False).print(f"{escape(name)}: ended. A gateway that runs refuses it within a second.")


@keys_app.command("list")
def list_() -> None:
    """Every key there is or was; of the keys themselves only the beginning is known."""
    from .core.serving.gateway.keys import read_keys

    keys, now, out = read_keys(home() / KEYS), time.time(), Console(highlight=False)
    if not keys:
        out.print("no keys yet: a gateway answers this machine alone. `wheelwork keys add NAME` makes one")
        return
    table = Table("name", "key", "may", "made", "state", "limits", box=None, pad_edge=False, header_style="dim")
    for key in keys:
        ends = "" if key.ends is None else f" {_day(key.ends)}"
        state = ("works until" if ends else "works") if key.works(now) else "ended"
        limits = [f"{key.rate:g}/s"] if key.rate else []
        limits += [f"{key.parallel} at once"] if key.parallel else []
        table.add_row(key.name, f"{key.prefix}…", " ".join(key.scopes), _day(key.made), state + ends, ", ".join(limits))
    out.print(table)


def _show(token: str, told: str) -> None:
    print(token)  # alone on standard output, for scripts
    Console(stderr=True, highlight=False).print(escape(told), soft_wrap=True)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
