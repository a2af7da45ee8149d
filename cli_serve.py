"""`wheelwork serve`: the gateway in this terminal, for one loop or several."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from .cli_keys import KEYS
from .core.errors import ConfigError
from .core.memory import uncollected
from .core.workspace import home

if TYPE_CHECKING:
    from .blocks.background import ServedLoop

PORT = 8090


def serve(
    loops: Annotated[list[str], typer.Argument(metavar="LOOP…", help="Folders of loops, or names of scenarios.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the gateway.")] = PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than this machine's own need an API key.")
    ] = "127.0.0.1",
) -> None:
    """Serve the champion of a loop, or of several, as OpenAI serves models. Ctrl-C ends it, requests in flight first.

    A promotion is served within seconds, a rollback too. Without a champion the base answers.
    """
    from .core.serving.gateway.keys import StoredKeys
    from .core.serving.gateway.server import bound, is_loopback, run
    from .core.serving.gateway.settings import Door

    near = is_loopback(host)
    keys = StoredKeys(home() / KEYS, time.time, always=not near)
    if not near and not keys.any_works():
        raise ConfigError(
            f"{host} can be reached from elsewhere, and there is no API key yet: `wheelwork keys add NAME` makes one"
        )
    socket = bound(host, port)
    served = _read(loops)
    from .blocks.environment import prepare

    prepare(home())
    from .blocks.gateway import opened

    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def ready() -> None:
        names = ", ".join(one.loop.name for one in served)
        needed = "with an API key" if keys.needed else "from this machine, without a key"
        console.print(f"gateway   http://{host}:{port}/v1   {escape(names)}; {needed}")
        console.print("Ctrl-C ends it, after the requests under way.", style="dim")

    run(socket, Door(), lambda: opened(served, home(), keys), ready)
    console.print("gateway: ended", style="dim")


@uncollected()  # it imports hundreds of modules, and they leave no garbage
def _read(loops: list[str]) -> "list[ServedLoop]":
    """The loops with their bases, fetched if need be. Raises ConfigError for a name that comes twice."""
    from .blocks.background import ServedLoop
    from .core.loops import load_loop
    from .core.models.store import ModelStore
    from .core.naming import find_loop

    served: list[ServedLoop] = []
    for ref in loops:
        loop = load_loop(find_loop(ref))
        if any(loop.name == one.loop.name for one in served):
            raise ConfigError(f"two loops are called `{loop.name}`; give one another `name` in its loop.yaml")
        base = ModelStore().get(loop.model_ref(loop.settings.model))
        served.append(ServedLoop(loop, base, str(Path(find_loop(ref)).resolve())))
    return served
