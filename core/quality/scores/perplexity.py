"""Perplexity: how much a language model is surprised by an answer after its prompt, or by a text."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ...evaluation.scorers import Score
from ...samples import Sample
from ..context import FunnelContext, Judgements, Need
from .bounds import Bounded
from .likelihood import Likelihood, Surprise
from .models import BASE


class Perplexity(Bounded):
    """Score how likely a causal model finds a row.

    Scores `perplexity`, e to the nats per token, which differs from model to model with its tokens, and
    `bits_per_byte`, bits by bytes of UTF-8, which does not. Of a completion it is that after its prompt, with the mark
    that ends it: what a training would begin with. High means strange or wrong, very low means that nothing is to be
    learnt from it. A label is a completion too.
    """

    needs: ClassVar[tuple[Need, ...]] = ("models",)
    score: ClassVar[str] = "perplexity"
    least: ClassVar[float] = 1.0
    most: ClassVar[float] = math.inf

    kind: Literal["perplexity"] = "perplexity"
    model: str = Field(
        BASE, min_length=1, description="`base` or `champion` of the loop, a catalogue name, folder, .gguf or hub id"
    )
    of: Literal["completion", "text"] = Field(
        "completion",
        description="the last answer after what was said before it, or where there is none the text; or always the "
        "text that the user said last, by itself",
    )
    max_tokens: int = Field(1024, ge=8, le=32_768, description="tokens of prompt and answer that are read")

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The models that are asked."""
        return (self.model,)

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        model = context.models(self.model, Likelihood.load)
        answered = [self.of == "completion" and _has_answer(sample) for sample in batch]
        texts = [one.completion if has else one.prompt for one, has in zip(batch, answered, strict=True)]
        completions = [one for one, has in zip(batch, answered, strict=True) if has]
        alone = [text for text, has in zip(texts, answered, strict=True) if not has]
        with context.models.showing(self.kind, len(batch)) as show:
            read = iter(model.of_completions(completions, self.max_tokens, show))
            heard = iter(model.of_texts(alone, self.max_tokens, lambda done: show(len(completions) + done)))
        found = [next(read if has else heard) for has in answered]
        cut = sum(isinstance(one, Surprise) and one.cut for one in found)
        remarks = {f"were cut at {self.max_tokens} tokens": cut} if cut else {}
        if model.remark:
            remarks[model.remark] = len(batch)
        return self.judged(
            [_perplexity(one) for one in found],
            {"bits_per_byte": [_bits(one, text) for one, text in zip(found, texts, strict=True)]},
            remarks,
        )


def _has_answer(sample: Sample) -> bool:
    """Whether the assistant answered something with something."""
    return bool(sample.completion) and any(turn.role == "assistant" for turn in sample.messages[1:])


def _perplexity(found: Surprise | str) -> Score:
    if isinstance(found, str):
        return Score.unscored(found)
    try:
        return Score(math.exp(found.nats / found.tokens))
    except OverflowError:
        return Score.unscored("not_finite")


def _bits(found: Surprise | str, text: str) -> float | None:
    """Unknown where only a part of the text was read."""
    if isinstance(found, str) or found.cut or not text:
        return None
    return found.nats / math.log(2) / len(text.encode())
