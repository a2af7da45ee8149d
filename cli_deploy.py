"""`wheelwork deploy`: the deployments on a Prefect server that runs already, such as one in a container."""

import os

from rich.console import Console

from .cli_pool import LoopName
from .core.errors import ConfigError
from .core.workspace import home


def deploy(loop: LoopName) -> None:
    """Make or renew the deployments of a loop, with their schedules and triggers, on the server in PREFECT_API_URL.

    `wheelwork up` does it for its own server. Embedded models that the loop needs are fetched, too.
    """
    from .blocks.environment import prepare
    from .core.loops import load_loop
    from .core.models.store import ModelStore
    from .core.naming import find_loop

    folder = find_loop(loop)
    read = load_loop(folder)
    prepare(home())  # which finds `wheelwork up` for this state folder, if it runs
    api = os.environ.get("PREFECT_API_URL")
    if api is None:
        raise ConfigError("PREFECT_API_URL names no server; set it, such as to http://127.0.0.1:4200/api")
    for name in (read.settings.model, read.settings.encoder):
        ModelStore().get(read.model_ref(name))
    from .blocks import deploying

    deploying.wait_for(api)
    out = Console(highlight=False, soft_wrap=True)
    for name in deploying.deploy(home(), str(folder.resolve()), os.environ):
        out.print(name)
    out.print(f"{read.name}: a worker of the pool `{deploying.POOL}` runs these.", style="dim")
