"""Samples as tokens, and a batch of them as one row that holds their common beginning once.

Samples of one loop begin with the same tokens (system prompt, label list). A batch is laid out as

    prefix | rest of sample 1 | rest of sample 2 | …

where every rest sees the prefix and itself, and its positions go on from the prefix. The loss is the same
as that of the padded batch, for about a third of the work (docs/log.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..samples import Sample

Tokens = list[int]


@dataclass(frozen=True)
class Encoded:
    """One sample in tokens: what is read, what is learnt, and how much it counts."""

    prompt: Tokens
    completion: Tokens
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def encode(samples: Iterable[Sample], tokenizer: Any, max_length: int) -> tuple[list[Encoded], int]:
    """`samples` in tokens of the model's chat template, and how many were longer than `max_length`."""
    encoded: list[Encoded] = []
    too_long = 0
    for sample in samples:
        turns = [message.model_dump() for message in sample.messages]
        prompt = tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(turns, tokenize=False)
        # a template may end with a line break after the end mark; serving stops at the mark
        completion = whole.removeprefix(prompt).rstrip()
        one = Encoded(
            tokenizer(prompt, add_special_tokens=False)["input_ids"],
            tokenizer(completion, add_special_tokens=False)["input_ids"],
            sample.weight,
        )
        if len(one) > max_length:
            too_long += 1
        else:
            encoded.append(one)
    return encoded, too_long


def common_prefix(rows: Sequence[Tokens]) -> int:
    """How many tokens all `rows` begin with, leaving each at least one of its own."""
    shortest, longest = min(rows), max(rows)  # in lexicographic order these two differ first
    limit = min(len(row) for row in rows) - 1
    shared = 0
    while shared < limit and shortest[shared] == longest[shared]:
        shared += 1
    return shared


def pack(batch: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    """One row for the batch, of length L = shared + own tokens.

    Returns `input_ids`, `position_ids` (1, L); `attention_mask` (1, 1, L, L), True where a token may look;
    `logits_to_keep` (T,), the positions that predict a completion token; `targets` and `weights` (T,).
    """
    shared = common_prefix([one.prompt for one in batch])
    ids: Tokens = batch[0].prompt[:shared]
    positions = list(range(shared))
    owner = [0] * shared
    sources: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for number, one in enumerate(batch, start=1):
        own = one.prompt[shared:] + one.completion
        first = len(ids) + len(one.prompt) - shared  # where the completion begins in the row
        sources.extend(range(first - 1, first - 1 + len(one.completion)))
        targets.extend(one.completion)
        weights.extend([one.weight] * len(one.completion))
        ids.extend(own)
        positions.extend(range(shared, shared + len(own)))
        owner.extend([number] * len(own))
    owners = torch.tensor(owner)
    length = len(ids)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    mine = (owners[:, None] == owners[None, :]) | (owners[None, :] == 0)
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": (mine & causal)[None, None],
        "logits_to_keep": torch.tensor(sources),
        "targets": torch.tensor(targets),
        "weights": torch.tensor(weights),
    }
