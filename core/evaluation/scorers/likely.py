"""Scorers of log-likelihoods: which choice a model finds likeliest, and how likely the right answer.

They come from the training stack (transformers, float32 on a CPU), not from the engine that serves: an engine that
rounds to 8 bits is about 0.1 nats off.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ...errors import DataError
from .item import Item, Score, Scoring, Stack, best

if TYPE_CHECKING:
    from ...quality.scores.likelihood import Surprise


class MultipleChoice(Scoring):
    """Whether the likeliest of the item's choices is the right one: 1.0 or 0.0.

    Each choice is read as the whole reply to the prompt. `by` says what is compared: the log-likelihood of all its
    tokens (`sum`), by tokens, or by characters, as the `acc_norm` of lm-eval. With `score: probability` the score is
    the share of the right choice, a softmax over what is compared.
    """

    fields: ClassVar[tuple[str, ...]] = ("choices",)
    measured_by: ClassVar[Stack] = "training stack"

    kind: Literal["multiple_choice"] = Field("multiple_choice", description="the likeliest choice is the right one")
    by: Literal["sum", "token", "character"] = Field("sum", description="log-likelihood as it is, or by length")
    score: Literal["accuracy", "probability"] = Field("accuracy", description="right or wrong, or how likely right")
    end_mark: bool = Field(True, description="that the reply ends after the choice is a part of it")

    def check(self, item: Item) -> None:
        if len(item.choices) < 2 or item.choice is None:
            raise DataError(
                f"suite item `{item.id}` needs at least two `choices` and the right one as `answer` for the scorer "
                "`multiple_choice`"
            )

    def readings(self, item: Item) -> tuple[str, ...]:
        """The replies whose likelihood is read."""
        return item.choices

    def judge(self, item: Item, found: "Sequence[Surprise | str]") -> tuple[str, Score]:
        """The choice that is likeliest, and the score; `found` are the readings, or why one could not be read."""
        assert item.choice is not None
        likely = []
        for one, text in zip(found, item.choices, strict=True):
            if isinstance(one, str) or one.cut:
                return "", Score.unscored(one if isinstance(one, str) else "too_long")
            likely.append(-self._per(one.nats, one.tokens, text))
        top = max(likely)
        weights = [math.exp(value - top) for value in likely]
        chosen = likely.index(top)
        value = weights[item.choice] / sum(weights) if self.score == "probability" else float(chosen == item.choice)
        return item.choices[chosen], Score(value, confidence=weights[chosen] / sum(weights))

    def _per(self, nats: float, tokens: int, text: str) -> float:
        return nats / {"sum": 1, "token": tokens, "character": len(text)}[self.by]


class AnswerPerplexity(Scoring):
    """How likely the right answer is after the prompt: −ln of its perplexity, the mean log-likelihood of a token.

    Higher is better, 0 the most; no lower bound, so that a guard's `margin` is in nats. Of several answers the
    likeliest counts. The mark that ends an answer is a part of it.
    """

    fields: ClassVar[tuple[str, ...]] = ("answers",)
    measured_by: ClassVar[Stack] = "training stack"
    bounded: ClassVar[bool] = False

    kind: Literal["perplexity"] = Field("perplexity", description="−ln perplexity of the right answer")
    end_mark: bool = Field(True, description="that the reply ends after the answer is a part of it")

    def readings(self, item: Item) -> tuple[str, ...]:
        """The replies whose likelihood is read."""
        return item.answers

    def judge(self, item: Item, found: "Sequence[Surprise | str]") -> tuple[str, Score]:
        """Nothing is said; the score from the readings, or why there is none."""
        return "", best([_mean(one) for one in found])


def _mean(read: "Surprise | str") -> Score:
    """The mean log-likelihood of a token, of an answer that was read whole."""
    if isinstance(read, str) or read.cut:
        return Score.unscored(read if isinstance(read, str) else "too_long")
    return Score(-read.nats / read.tokens)
