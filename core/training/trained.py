"""What a training reports; apart from the trainer, so that reading it needs no torch."""

from ..settings import Setting
from .focus.record import FocusRecord


class Trained(Setting):
    """What a training did: sizes, speed, and the loss at every step."""

    samples: int
    too_long: int
    tokens: int  # of the samples, over all epochs, as an unpacked trainer would count them
    seconds: float
    tokens_per_second: float
    final_loss: float  # mean of the last tenth of the steps
    losses: tuple[float, ...]
    resumed_at: int = 0
    packed: bool = True  # False: the architecture took no packed rows, samples went one at a time
    validation: tuple[tuple[int, float], ...] = ()  # step and loss on what was held back; empty: nothing was
    step: int = 0  # the one whose weights the adapter has; 0: not told
    stopped: str = ""  # why the training ended before its last step
    parts: int = 1  # in which the steps were taken in the end, for want of memory
    hardware: tuple[str, ...] = ()  # what was chosen by what the machine has, and why
    notes: tuple[str, ...] = ()  # what a reader of these figures should know
    focus: FocusRecord | None = None  # how samples were weighted, chosen and ordered; None where nothing was asked
