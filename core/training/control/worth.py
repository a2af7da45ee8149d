"""Whether a round has anything to learn: samples that are new, or that the champion does not know the answer to."""

from collections.abc import Sequence

from pydantic import Field

from ...settings import Setting


class Expectation(Setting):
    """What was found on the samples that a round kept; a `reason` where training on them is not worth it."""

    rows: int
    new: int  # unlike every seed and every sample of the pool
    hard: int  # whose answer the champion does not foresee, or of which that could not be told
    teaching: int  # either
    reason: str = ""


class Worth(Setting):
    """End a round before it trains when too few of its samples would teach the champion anything.

    A sample teaches something that is unlike every seed and every accepted sample, or whose answer surprises the
    champion. What could not be measured counts as teaching: a round is not ended on what nobody knows. Its thresholds
    hang on encoder and task, so it is off unless a loop asks for it.
    """

    max_cosine: float = Field(0.9, ge=-1, le=1, description="a sample is new below this cosine to the nearest known")
    max_loss: float = Field(0.05, gt=0, description="nats per token of the answer; the champion knows what is below")
    least: float = Field(0.05, gt=0, le=1, description="share of the samples that has to teach something")

    def __call__(self, nearest: Sequence[float | None], losses: Sequence[float | None]) -> Expectation:
        """Judge samples by their cosine to the nearest known text and by the champion's loss on their answers."""
        new = [cosine is None or cosine < self.max_cosine for cosine in nearest]
        hard = [loss is None or loss >= self.max_loss for loss in losses]
        teaching = sum(one or other for one, other in zip(new, hard, strict=True))
        found = Expectation(rows=len(new), new=sum(new), hard=sum(hard), teaching=teaching)
        if teaching >= self.least * len(new) and teaching:
            return found
        reason = (
            f"no improvement was expected, so nothing was trained: of {len(new)} samples that were kept {sum(new)} are "
            f"new (cosine below {self.max_cosine:g}) and {sum(hard)} the champion does not know (loss of "
            f"{self.max_loss:g} or more), and `train.control.worth.least` asks for a share of {self.least:g}"
        )
        return found.model_copy(update={"reason": reason})
