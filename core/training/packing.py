"""Samples as tokens, and a batch of them as one row that holds their common beginning once.

Samples of one loop begin with the same tokens (system prompt, label list). A batch is laid out as

    prefix | rest of sample 1 | rest of sample 2 | …

where every rest sees the prefix and itself, and its positions go on from the prefix. Samples that begin otherwise
form a family of their own in the same row; rehearsal has a row of its own, as its loss is another one (losses.py).
The loss is the same as that of the padded batch, for about a third of the work (docs/log.md), wherever the model takes
such a mask: `packing_holds`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError

from ..errors import ModelError
from ..samples import REHEARSAL, Sample

Tokens = list[int]
KIN = 16  # samples whose first tokens agree this far are laid out together
SHARED = -1  # owner of the tokens that a whole family sees


@dataclass(frozen=True)
class Encoded:
    """One sample in tokens: what is read, what is learnt, how much it counts, and whether the base is to be kept to."""

    prompt: Tokens
    completion: Tokens
    weight: float = 1.0
    rehearsal: bool = False

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def encode(samples: Iterable[Sample], tokenizer: Any, max_length: int) -> tuple[list[Encoded], int]:
    """`samples` in tokens of the model's chat template, and how many were longer than `max_length`.

    Every turn of the assistant is one to learn, after all that was said before it; packing reads that only once.
    Raises ModelError for a model without a chat template, or with one that does not take these conversations.
    """
    encoded: list[Encoded] = []
    too_long = 0
    for sample, turns in _lessons(samples):
        cut = sample.controls.get("finish") == "length"  # such a reply must not teach where to end
        one = Encoded(*turn_tokens(turns, tokenizer, cut=cut), sample.weight, sample.task == REHEARSAL)
        if len(one) > max_length:
            too_long += 1
        elif one.completion:  # a reply that was cut before its first visible token teaches nothing
            encoded.append(one)
    return encoded, too_long


def turn_tokens(turns: list[dict[str, str]], tokenizer: Any, *, cut: bool = False) -> tuple[Tokens, Tokens]:
    """What is read before the last of `turns`, and that turn with the mark that ends it, unless it was `cut`.

    Raises ModelError as `encode` does.
    """
    prompt = _rendered(tokenizer, turns[:-1], add_generation_prompt=True)
    completion = turns[-1]["content"] if cut else _completion(tokenizer, turns, prompt)
    read, learnt = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, completion))
    return read, learnt


def _lessons(samples: Iterable[Sample]) -> Iterator[tuple[Sample, list[dict[str, str]]]]:
    """Each sample with its turns up to one of the assistant's, for every such turn."""
    for sample in samples:
        turns = [message.model_dump() for message in sample.messages]
        for number, turn in enumerate(turns, 1):
            if turn["role"] == "assistant" and number > 1:
                yield sample, turns[:number]


def _completion(tokenizer: Any, turns: list[dict[str, str]], prompt: str) -> str:
    """What the template writes after `prompt`, up to the mark that ends an answer."""
    whole = _rendered(tokenizer, turns)
    if not whole.startswith(prompt):
        raise ModelError(
            f"{tokenizer.name_or_path}: the chat template writes an answer otherwise than it asks for one, "
            "so there is nothing to train towards; choose another model"
        )
    # a template may end with a line break after the end mark; serving stops at the mark
    return whole.removeprefix(prompt).rstrip()


def _rendered(tokenizer: Any, turns: list[dict[str, str]], **options: Any) -> str:
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, **options))
    except (ValueError, TemplateError) as error:
        raise ModelError(
            f"{tokenizer.name_or_path}: the model's chat template does not take such a conversation ({error}); "
            "choose a chat model"
        ) from error


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


def alone(one: Encoded) -> dict[str, torch.Tensor]:
    """The row of one sample by itself, which any causal model takes: `input_ids` (1, L), `targets`, `weights` (T,)."""
    return {
        "input_ids": torch.tensor([one.prompt + one.completion]),
        "targets": torch.tensor(one.completion),
        "weights": torch.full((len(one.completion),), one.weight),
    }


def completion_logits(model: Any, row: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Logits (T, vocabulary) that predict the completion tokens of a row of `pack` or `alone`."""
    inputs = {name: value for name, value in row.items() if name not in ("targets", "weights")}
    logits: torch.Tensor = model(**inputs, use_cache=False).logits[0]
    return logits if "logits_to_keep" in row else logits[-len(row["targets"]) - 1 : -1]


def packing_holds(model: Any, longest: int) -> bool:
    """Whether `model` gives packed samples the logits that it gives each alone, tried on four random ones.

    Some architectures pass over a mask in four dimensions or over positions, or carry state from token to token; they
    would be trained on something else, silently. A sliding window below `longest` tokens, the longest sample's, does
    not hold either: the mask of a packed row has no window.
    """
    window = getattr(model.config, "sliding_window", None)
    if window is not None and window < longest:
        return False
    random = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().weight.shape[0]

    def tokens(count: int) -> Tokens:
        return torch.randint(vocabulary, (count,), generator=random).tolist()

    head = tokens(KIN)
    kin = [Encoded(head + tokens(count), tokens(3)) for count in (1, 5, 2)]
    batch = [kin[0], Encoded(tokens(KIN), tokens(2)), *kin[1:]]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            expected = torch.cat([completion_logits(model, _on(model, alone(one))) for one in in_rows(batch)])
            found = completion_logits(model, _on(model, pack(batch)))
    except Exception:  # what an architecture does with arguments it does not know is its own affair
        return False
    finally:
        model.train(training)
    return found.shape == expected.shape and bool((found - expected).abs().max() <= 1e-3 * expected.abs().max())


def in_rows(batch: Sequence[Encoded]) -> list[Encoded]:
    """The samples of a batch in the order in which `pack` lays them out."""
    return [one for family in families(batch) for one in family]


def _on(model: Any, row: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.to(model.device) for name, value in row.items()}
