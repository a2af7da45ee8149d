"""Samples as tokens, and a batch of them as one row that holds their common beginning once.

Samples of one loop begin with the same tokens (system prompt, label list). A batch is laid out as

    prefix | rest of sample 1 | rest of sample 2 | …

where every rest sees the prefix and itself, and its positions go on from the prefix. Samples that begin otherwise
(rehearsal beside a labelled message) form a family of their own in the same row. The loss is the same as that of the
padded batch, for about a third of the work (docs/log.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..samples import Sample

Tokens = list[int]
KIN = 16  # samples whose first tokens agree this far are laid out together
SHARED = -1  # owner of the tokens that a whole family sees


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
        if sample.controls.get("finish") == "length":  # the reply was cut: it must not teach where to end
            completion = turns[-1]["content"]
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
    """One row for the batch, of length L = beginnings shared by families + tokens of each sample's own.

    Returns `input_ids`, `position_ids` (1, L); `attention_mask` (1, 1, L, L), True where a token may look;
    `logits_to_keep` (T,), the positions that predict a completion token; `targets` and `weights` (T,).
    """
    row = _Row()
    for number, family in enumerate(families(batch)):
        row.add(family, number)
    family_of, owner = torch.tensor(row.family), torch.tensor(row.owner)
    length = len(row.ids)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    kin = family_of[:, None] == family_of[None, :]
    mine = (owner[:, None] == owner[None, :]) | (owner[None, :] == SHARED)
    return {
        "input_ids": torch.tensor([row.ids]),
        "position_ids": torch.tensor([row.positions]),
        "attention_mask": (causal & kin & mine)[None, None],
        "logits_to_keep": torch.tensor(row.sources),
        "targets": torch.tensor(row.targets),
        "weights": torch.tensor(row.weights),
    }


def families(batch: Sequence[Encoded]) -> list[list[Encoded]]:
    """The samples of a batch by how they begin, in the order in which each beginning is met first."""
    found: dict[tuple[int, ...], list[Encoded]] = {}
    for one in batch:
        found.setdefault(tuple(one.prompt[:KIN]), []).append(one)
    return list(found.values())


class _Row:
    """A packed row as it grows: tokens, their places, who owns them, and what is to be predicted from where."""

    def __init__(self) -> None:
        self.ids: Tokens = []
        self.positions: list[int] = []
        self.family: list[int] = []
        self.owner: list[int] = []
        self.sources: list[int] = []
        self.targets: Tokens = []
        self.weights: list[float] = []

    def add(self, family: Sequence[Encoded], number: int) -> None:
        """Lay out one family: what its samples share, then the rest of each."""
        shared = common_prefix([one.prompt for one in family])
        self._extend(family[0].prompt[:shared], 0, number, SHARED)
        for owner, one in enumerate(family):
            first = len(self.ids) + len(one.prompt) - shared  # where the completion begins in the row
            self._extend(one.prompt[shared:] + one.completion, shared, number, owner)
            self.sources.extend(range(first - 1, first - 1 + len(one.completion)))
            self.targets.extend(one.completion)
            self.weights.extend([one.weight] * len(one.completion))

    def _extend(self, tokens: Tokens, position: int, family: int, owner: int) -> None:
        self.ids.extend(tokens)
        self.positions.extend(range(position, position + len(tokens)))
        self.family.extend([family] * len(tokens))
        self.owner.extend([owner] * len(tokens))
