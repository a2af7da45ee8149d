"""Base and adapters in the training stack, for log-likelihoods: one network in memory, whose adapter is switched."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..engines.base import Adapter
from ..models.store import ModelFiles
from ..samples import Message, Sample
from .benchmark import Answered, Render
from .scorers import Likely
from .suites import Suite

if TYPE_CHECKING:
    from ..quality.scores.likelihood import Heard, Likelihood

LONGEST = 32_768  # tokens of prompt and answer; the model's own limit counts as well


class TrainingStack:
    """A base with its adapters, as a training has them: transformers and PEFT, float32 on a CPU."""

    def __init__(self, network: Any, likelihood: "Likelihood", adapters: Sequence[str]) -> None:
        self._network = network
        self._likelihood = likelihood
        self._adapters = adapters

    def model(self, adapter: str | None) -> "Likelihood":
        """The adapter of this name, or the base; what was given before answers as this one too, from now on."""
        from ..engines.peft_adapters import switch

        switch(self._network, self._adapters, adapter)
        return self._likelihood


@contextmanager
def training_stack(base: ModelFiles, adapters: Mapping[str, Adapter]) -> Iterator[TrainingStack]:
    """Load `base` once and every adapter beside it, until the block ends. Raises ModelError where they do not fit."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ..engines.peft_adapters import with_adapters
    from ..models.pretrained import device, load_whole
    from ..models.progress import quiet_transformers
    from ..quality.scores.likelihood import Likelihood

    network, tokenizer = load_whole(base, "causal language model", AutoModelForCausalLM, AutoTokenizer)
    with quiet_transformers():
        network = with_adapters(network, list(adapters.values())).to(device()).eval()
    yield TrainingStack(network, Likelihood(network, tokenizer), list(adapters))


def read_suite_likelihoods(suite: Suite, model: "Likelihood", render: Render, heard: "Heard") -> Answered:
    """Score a suite of log-likelihoods under `model`; `heard` hears how many readings are done."""
    scorer = suite.settings.scorer
    assert isinstance(scorer, Likely)
    samples, sizes = [], []
    for item in suite.items:
        replies = scorer.readings(item)
        messages = render(suite, item)
        samples += [_lesson(messages, reply, scorer.end_mark) for reply in replies]
        sizes.append(len(replies))
    read = iter(model.of_completions(samples, LONGEST, heard))
    judged = [scorer.judge(item, [next(read) for _ in range(n)]) for item, n in zip(suite.items, sizes, strict=True)]
    return Answered(tuple(reply for reply, _ in judged), tuple(score for _, score in judged))


def readings(suite: Suite) -> int:
    """How many replies are read for a suite of log-likelihoods; of lm-eval at least its items."""
    scorer = suite.settings.scorer
    return sum(len(scorer.readings(item)) if isinstance(scorer, Likely) else 1 for item in suite.items)


def _lesson(messages: Sequence[Message], reply: str, end_mark: bool) -> Sample:
    turns = [*messages, Message(role="assistant", content=reply)]
    return Sample.make(turns, task="benchmark", origin="import", controls={} if end_mark else {"finish": "length"})
