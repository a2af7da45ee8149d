"""How a training is watched and steered while it runs."""

from pydantic import Field

from ...settings import Setting
from .fitting import MemoryFit
from .process import ChildProcess
from .rate import VarianceRate
from .stability import Stability
from .validation import Validation
from .worth import Worth


class Control(Setting):
    """What may end a training early, change its steps, or bring it back; see docs/control.md."""

    stability: Stability = Field(Stability(), description="when the loss is taken to explode")
    memory: MemoryFit = Field(MemoryFit(), description="how steps are fitted to the memory")
    validation: Validation | None = Field(None, description="early stopping on samples held back; unset: none")
    rate: VarianceRate | None = Field(None, description="scale the rate by the gradient's variance; unset: as it is")
    worth: Worth | None = Field(None, description="end a round that has nothing to learn; unset: it trains whatever")
    process: ChildProcess | None = Field(
        ChildProcess(), description="a round trains in a process of its own; null: in that of the round"
    )
    checkpoint_seconds: int = Field(
        60, ge=1, description="a checkpoint is written at the latest so long after the last, whatever the steps"
    )
