"""Put the champion before the present one back into production."""

from prefect import task
from prefect.artifacts import create_markdown_artifact

from ..blocks.registry import moves_of
from ..core.loops import read_settings
from ..core.naming import find_loop
from ..core.registry.moves import Moved
from ..core.workspace import home
from .promote import present_run
from .steps import RETRIED, recorded


@task(**recorded("rollback"), **RETRIED)
def roll_back(loop: str, to: str | None, reason: str) -> Moved:
    """Move the alias, write it into the journal, and say on the page what came of it. Twice is as once."""
    name = read_settings(find_loop(loop)).name
    moved = moves_of(name, home(), present_run()).roll_back(to or None, reason)
    now = f"Version {moved.champion} is champion." if moved.champion else "There is no champion: the base answers."
    key = f"{name.lower().replace('_', '-')}-rollback"
    create_markdown_artifact(f"# {name}\n\n{now} {moved.note}", key=key, description=f"{name}: {moved.status}")
    return moved
