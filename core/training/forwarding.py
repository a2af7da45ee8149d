"""A module that computes something else for a while."""

from collections.abc import Callable
from typing import Any


def forward_by(module: Any, forward: Callable[..., Any]) -> Callable[[], None]:
    """Let `module` compute `forward`; returns what undoes it, also where it had a way of its own (fused.py)."""
    own = vars(module).get("forward")
    module.forward = forward

    def undo() -> None:
        if own is None:
            del module.forward
        else:
            module.forward = own

    return undo
