"""A training in a process of its own: how it is treated; child.py is what runs there, watched.py who watches."""

from pydantic import Field

from ...settings import Setting


class ChildProcess(Setting):
    """Train at low priority, so that a service on the same machine answers first, and end what hangs."""

    nice: int = Field(10, ge=0, le=19, description="how much it gives way to other processes; 19 the most")
    hang_after: float = Field(
        600.0, gt=0, description="seconds without a step, after which it is ended and begun again, once"
    )
    hang_steps: float = Field(
        20.0, ge=2, description="and at least so many times what its steps have taken, for slow machines"
    )

    def patience(self, step_seconds: float) -> float:
        """Seconds to wait for the next step, where steps have taken `step_seconds`."""
        return max(self.hang_after, self.hang_steps * step_seconds)
