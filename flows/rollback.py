"""Go back to the champion before the present one, or to one that is named."""

from prefect import flow

from ..core.registry.moves import Moved
from ..tasks.notify import tell_rollback
from ..tasks.rollback import roll_back


@flow(name="rollback", flow_run_name="rollback {loop}", log_prints=False)
def rollback(loop: str, to: str | None = None, reason: str = "") -> Moved:
    """Put an earlier champion of a loop back into production; done twice it changes nothing.

    Args:
        loop: Folder of the loop (the one with loop.yaml in it), or the name of a scenario.
        to: Version to go to, or `base` for no champion at all; empty: the champion before the present one.
        reason: Why, for whoever reads the history.
    """
    moved = roll_back(loop, to, reason)
    tell_rollback(loop, moved, reason)
    return moved
