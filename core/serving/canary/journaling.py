"""What a canary does to the registry: its decisions into the journal, and the alias back where it has to go."""

from ...registry.moves import Moves
from ..exchange import BASE
from .canary import RollBack, WriteDown
from .trial import Decision


def through(moves: Moves) -> tuple[RollBack, WriteDown]:
    """The two effects that a Canary is given. Both raise as the methods of Moves do.

    The alias is moved only while the candidate still is champion: who promotes another one meanwhile is not undone.
    """

    def roll_back(candidate: str, stable: str, reason: str) -> bool:
        moved = moves.roll_back(to=stable, reason=f"canary: {reason}", leaving=candidate)
        return (moved.champion or BASE) == stable

    def write_down(decision: Decision) -> None:
        moves.tell_canary(decision.candidate, decision.sentence, decision.figures)

    return roll_back, write_down
