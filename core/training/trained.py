"""What a training reports; apart from the trainer, so that reading it needs no torch."""

from ..settings import Setting


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
    notes: tuple[str, ...] = ()  # what could not be done as the settings say, in sentences
