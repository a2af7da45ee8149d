"""Preference: how much people would like an answer, by a head of their own choices or by a reward model."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ...errors import ConfigError
from ...evaluation.scorers import Score
from ...samples import Sample
from ..context import FunnelContext, Judgements, Need
from ..parts import ANSWER, texts_of
from .bounds import Bounded
from .head import Head, read_head
from .reward import Reward


class Preference(Bounded):
    """Score how good an answer is to a model of preference: `preference`, in nats of odds.

    Two answers to one prompt whose scores differ by 1 are chosen at odds of e to 1 (Bradley & Terry 1952). With `head`
    0 is an average answer of the pairs that it was fitted on; with `model` it is whatever that model calls 0. Rows
    without an answer, or whose answer is a class, are unscored.
    """

    score: ClassVar[str] = "preference"
    least: ClassVar[float] = -math.inf
    most: ClassVar[float] = math.inf

    kind: Literal["preference"] = "preference"
    head: str = Field("", description="file of `wheelwork review preference`, over the encoder; or give `model`")
    model: str = Field("", description="a folder or hub id of a reward model with one output; or give `head`")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.head) == bool(self.model):
            raise ValueError("give either `head`, a file, or `model`, a reward model")
        return self

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it cannot do without."""
        return ("models", "encoder") if self.head else ("models",)

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The models that are asked."""
        return (self.model,) if self.model else ()

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        return (self.head,) if self.head else ()

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        found = [Score.unscored("no_answer")] * len(batch)
        rows = [at for at, sample in enumerate(batch) if next(texts_of(sample, ANSWER), "").strip() and sample.prompt]
        answered = [batch[at] for at in rows]
        if answered:
            values = self._by_head(answered, context) if self.head else self._by_model(answered, context)
            for at, value in zip(rows, values, strict=True):
                found[at] = value
        return self.judged(found)

    def _by_head(self, samples: Sequence[Sample], context: FunnelContext) -> list[Score]:
        head = fitting_head(context.models.folder / self.head, context.encoding)
        prompts = context.embed([sample.prompt for sample in samples])
        answers = context.embed([sample.completion for sample in samples])
        return [Score(float(value)) for value in head(prompts, answers)]

    def _by_model(self, samples: Sequence[Sample], context: FunnelContext) -> list[Score]:
        model = context.models(self.model, Reward.load)
        with context.models.showing(self.kind, len(samples)) as show:
            values = model(samples, show)
        return [Score.unscored(one) if isinstance(one, str) else Score(one) for one in values]


def fitting_head(path: Path, encoder: str) -> Head:
    """The head in `path`. Raises ConfigError where it was fitted over another encoder than that of this name."""
    head = read_head(path)
    if head.encoder != encoder:
        raise ConfigError(
            f"{path}: this preference head was fitted over another encoder than the one in use; fit it again with that "
            "one (`wheelwork review preference PAIRS --out FILE --encoder …`), or use the other"
        )
    return head
