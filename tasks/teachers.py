"""The teachers of a loop, those among them too that are kept as Prefect blocks."""

from ..blocks.teacher import resolve_block
from ..core.loops import Loop
from ..core.teachers import Role
from ..core.teaching import Teachers


def teachers_of(loop: Loop, role: Role = "writer") -> Teachers:
    """Who has this role in a loop."""
    return Teachers(loop.settings.teachers(role), loop.embedded, loop.engine_for, resolve_block)
