"""The scorer of a task of EleutherAI's lm-eval, whose prompts, filters and metrics are its own."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from .item import Scoring


class LmEval(Scoring):
    """What lm-eval's own code says of each item of a task; `path` of the suite is the task's YAML file.

    Replies (`generate_until`) come from the serving engine, log-likelihoods (`multiple_choice`, `loglikelihood`,
    `loglikelihood_rolling`) from the training stack. With `chat` the prompt goes through the model's chat template; a
    reply always does, as that is how the model is served.
    """

    bounded: ClassVar[bool] = False

    kind: Literal["lm_eval"] = Field("lm_eval", description="a task of lm-eval, by its YAML file")
    metric: str | None = Field(None, description="which of the task's metrics is the score; unset: the first")
    filter: str | None = Field(None, description="which of the task's filters; unset: the first")
    chat: bool = Field(False, description="log-likelihoods: prompts in the chat template; replies are always in it")
    limit: int | None = Field(None, ge=1, description="items from the first on; unset: all")
    lower_is_better: bool = Field(False, description="negate the metric")

    def files(self, folder: Path) -> tuple[Path, ...]:
        return ()  # the items and the task's own file are a part of the digest
