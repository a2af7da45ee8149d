"""A reward model: a classifier with one output that says how good an answer is."""

from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import TemplateError

from ...errors import ModelError
from ...models.pretrained import device, load_whole, pad_right
from ...samples import Sample
from .models import Found

BATCH = 16
LONGEST = 2048  # tokens of prompt and answer
Tokens = dict[str, list[int]]


class Reward:
    """A sequence classifier of transformers with one label."""

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self._network = network
        self._tokenizer = tokenizer
        positions = int(getattr(network.config, "max_position_embeddings", None) or LONGEST)
        self.most_tokens = min(LONGEST, positions)

    @classmethod
    def load(cls, found: Found) -> "Reward":
        """The model, on the GPU where there is one. Raises ModelError for what is no reward model."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        files = found.files
        network, tokenizer = load_whole(files, "reward model", AutoModelForSequenceClassification, AutoTokenizer)
        if network.config.num_labels != 1:
            raise ModelError(
                f"{files.name}: a reward model has one output, this one has {network.config.num_labels}; give another"
            )
        pad_right(tokenizer)
        network.config.pad_token_id = tokenizer.pad_token_id  # by it a decoder finds the last token of a row
        return cls(network.to(device()).eval(), tokenizer)

    def __call__(self, samples: Sequence[Sample], heard: Callable[[int], object]) -> list[float | str]:
        """What the model gives the last answer of each sample, a logit, or the reason why it gives none.

        A conversation longer than the model reads is `too_long`: without its end nothing can be said of it.
        """
        import torch

        read = [self._read(sample) for sample in samples]
        found: list[float | str] = [one if isinstance(one, str) else "too_long" for one in read]
        fit = {at: one for at, one in enumerate(read) if not isinstance(one, str) and _length(one) <= self.most_tokens}
        order = sorted(fit, key=lambda at: (_length(fit[at]), at))  # rows of like length share a batch
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            padded = self._tokenizer.pad([fit[at] for at in batch], return_tensors="pt")
            with torch.inference_mode():
                logits = self._network(**padded.to(self._network.device)).logits[:, 0].float()
            for at, logit in zip(batch, logits.tolist(), strict=True):
                found[at] = logit if abs(logit) < float("inf") else "not_finite"
            heard(start + len(batch))
        return found

    def _read(self, sample: Sample) -> Tokens | str:
        """The conversation up to its last answer: by the chat template, or without one as a pair of texts.

        All that the tokenizer gives is kept: BERT must be told which of the two texts a token is of.
        """
        if self._tokenizer.chat_template is None:
            return dict(self._tokenizer(sample.prompt, sample.completion, verbose=False))
        last = max(at for at, turn in enumerate(sample.messages) if turn.role == "assistant")
        turns = [turn.model_dump() for turn in sample.messages[: last + 1]]
        try:
            return {"input_ids": self._tokenizer.apply_chat_template(turns, return_dict=False)}
        except (ValueError, TemplateError):
            return "template_refuses"


def _length(tokens: Tokens) -> int:
    return len(tokens["input_ids"])
