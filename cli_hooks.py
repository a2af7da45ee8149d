"""`wheelwork hooks`: the secrets of webhooks, what they start, and the notices that go out."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .cli_pool import LoopName
from .core.workspace import home

if TYPE_CHECKING:
    from .core.serving.hooks.secrets import Sender as Name

out = Console(highlight=False, soft_wrap=True)
hooks_app = typer.Typer(help="Webhooks: secrets, what they start, and notices that go out.", no_args_is_help=True)

Sender = Annotated[str, typer.Option(help="Who signs: standard (Standard Webhooks), github or mlflow.")]


@hooks_app.command()
def secret(
    loop: LoopName,
    sender: Sender = "standard",
    alone: Annotated[
        bool, typer.Option("--alone", help="The one before holds no longer, such as a stolen one.")
    ] = False,
) -> None:
    """Make a secret and print it, once. The one before holds too, until `hooks forget`, so that none is lost between.

    A gateway that runs takes it up by itself.
    """
    from .core.naming import loop_name
    from .core.serving.hooks.secrets import Secrets

    name, secrets = loop_name(loop), Secrets(home())
    made = secrets.make(name, _sender(sender), alone=alone)
    print(made)
    holding = len(secrets.of(name).of(_sender(sender)))
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    err.print(f"{name}: give it to the sender, with the path /hooks/{name}. It lies in {secrets.path}.", style="dim")
    if holding > 1:
        err.print(
            f"{holding} secrets of {sender} hold now; when the sender has this one: wheelwork hooks forget {loop} "
            f"--sender {sender}",
            style="dim",
        )


@hooks_app.command()
def forget(loop: LoopName, sender: Sender = "standard") -> None:
    """Take away every secret of a sender but the newest: the end of a rotation."""
    from .core.naming import loop_name
    from .core.serving.hooks.secrets import Secrets

    name = loop_name(loop)
    gone = Secrets(home()).forget(name, _sender(sender))
    out.print(f"{name}: {gone} old {'secret' if gone == 1 else 'secrets'} of {sender} forgotten; the newest holds.")


@hooks_app.command("list")
def list_(loop: LoopName) -> None:
    """Which events start what, who may sign, and how many notices wait. No secret is shown."""
    from .core.loops import read_settings
    from .core.naming import find_loop
    from .core.serving.hooks.outbox import Outbox
    from .core.serving.hooks.secrets import SENDERS, Secrets, variable_of

    settings = read_settings(find_loop(loop))
    hooks, secrets = settings.serve.hooks, Secrets(home()).of(settings.name)
    table = Table("event", "starts", "parameters", box=None, pad_edge=False, header_style="dim")
    for event, rule in hooks.events.items():
        taken = [f"{name} ← {one.field}" for name, one in rule.parameters.items()]
        taken += [f"{name} = {value}" for name, value in rule.fixed.items()]
        table.add_row(escape(event), rule.deployment, escape(", ".join(taken)))
    if hooks.events:
        out.print(table)
    else:
        out.print(f"{settings.name}: no event starts anything; give `serve.hooks.events` in its loop.yaml.")
    for sender in SENDERS:
        held = len(secrets.of(sender))
        allowed = sender == "mlflow" or sender in hooks.senders
        said = "1 secret holds" if held == 1 else f"{held} secrets hold" if held else "no secret"
        out.print(f"{sender}: {said}{'' if allowed else ', not among `serve.hooks.senders`'}", style="dim")
    out.print(f"Secrets may also stand in {variable_of(settings.name)}.", style="dim")
    for receiver in settings.serve.notify:
        out.print(f"tells {escape(receiver.url)} of {', '.join(receiver.events)}", style="dim")
    if counts := Outbox(home()).counts():
        out.print("notices: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())), style="dim")


@hooks_app.command()
def send() -> None:
    """Send the notices that are due and have not arrived yet, of all loops of this state folder."""
    import asyncio

    from .core.serving.hooks.outbox import Outbox
    from .core.serving.hooks.outgoing import Courier

    done = asyncio.run(Courier(Outbox(home())).deliver())
    out.print(f"{done.sent} sent, {done.failed} failed and are tried again later, {done.given_up} given up.")


def _sender(name: str) -> "Name":
    from .core.errors import ConfigError
    from .core.serving.hooks.secrets import SENDERS
    from .core.text import nearest

    for sender in SENDERS:
        if sender == name:
            return sender
    raise ConfigError(f"--sender {name}: there is no such sender; {nearest(name, SENDERS)}")
