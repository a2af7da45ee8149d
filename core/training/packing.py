"""Samples as tokens, and a batch of them as one row that holds every common beginning once.

Samples of one loop begin with the same tokens (system prompt, label list, what was said before), and some of them go on
alike for longer than others. A batch is laid out as the tree of these beginnings, such as

    sample 1 | rest of sample 2, which begins as 1 does | rest of sample 3, which goes on as 2 does for a while

where a token sees those on its way from the root, and its position is their number (tree.py). The loss is the same as
that of the padded batch, for about a third of the work (docs/log.md), wherever the model takes such a mask:
`packing_holds`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from accelerate.utils import send_to_device
from jinja2 import TemplateError

from ..errors import ModelError
from ..samples import REHEARSAL, Sample
from .blocks import Blocks
from .tree import Tokens, Tree

Row = dict[str, Any]  # tensors, the blocks of a tree, and which samples were laid out
BESIDE = ("samples", "targets", "weights", "teacher_ids", "teacher_logs", "teacher_settings")  # not for the model


@dataclass(frozen=True)
class Encoded:
    """One sample in tokens: what is read, what is learnt, how much it counts, and whose answers it is to be kept to."""

    prompt: Tokens
    completion: Tokens
    weight: float = 1.0
    rehearsal: bool = False
    replayed: bool = False  # kept to the champion's answers

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)

    @property
    def read(self) -> Tokens:
        """What the model reads: nothing is predicted from the last token."""
        return (self.prompt + self.completion)[:-1]


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


def pack(batch: Sequence[Encoded], *, by_piece: bool = False) -> Row:
    """One row for the batch, of length L = tokens that differ from what another sample has at the same place.

    The last token of a sample is not read, as nothing is predicted from it. Returns `input_ids`, `position_ids` (1, L);
    `attention_mask` (1, 1, L, L), True where a token may look; and in the order of the batch, `samples`,
    `logits_to_keep` (T,), the positions that predict a completion token, with their `targets` and `weights` (T,).
    `by_piece` adds `blocks`, which attention by piece (attention.py) needs.
    """
    tree = Tree([one.read for one in batch])
    sources = [way[len(one.prompt) - 1 :] for way, one in zip(tree.ways, batch, strict=True)]
    return {
        "input_ids": torch.tensor([tree.ids]),
        "position_ids": torch.tensor([tree.positions]),
        "attention_mask": tree.mask()[None, None],
        "samples": list(batch),
        "logits_to_keep": torch.tensor(list(chain(*sources))),
        "targets": torch.tensor(list(chain(*(one.completion for one in batch)))),
        "weights": torch.tensor([one.weight for one in batch for _ in one.completion]),
        **({"blocks": Blocks(tree.pieces)} if by_piece else {}),
    }


def alone(one: Encoded) -> Row:
    """The row of one sample by itself, which any causal model takes: as `pack` without mask, positions and places."""
    return {
        "input_ids": torch.tensor([one.read]),
        "samples": [one],
        "targets": torch.tensor(one.completion),
        "weights": torch.full((len(one.completion),), one.weight),
    }


def on_device(row: Row, model: Any) -> Row:
    """`row` where the weights of `model` are."""
    return send_to_device(row, model.device)  # type: ignore[no-any-return]


def completion_logits(model: Any, row: Row) -> torch.Tensor:
    """Logits (T, vocabulary) that predict the completion tokens of a row of `pack` or `alone`."""
    inputs = {name: value for name, value in row.items() if name not in BESIDE}
    logits: torch.Tensor = model(**inputs, use_cache=False).logits[0]
    return logits if "logits_to_keep" in row else logits[-len(row["targets"]) :]


def packing_holds(model: Any, longest: int, make: Callable[[Sequence[Encoded]], Row] = pack) -> bool:
    """Whether `model` gives samples in a row of `make` the logits that it gives each alone, tried on a few random ones.

    Some architectures pass over a mask in four dimensions or over positions, or carry state from token to token; they
    would be trained on something else, silently. A sliding window below `longest` tokens, the longest sample's, does
    not hold either: the mask of a packed row has no window.
    """
    window = getattr(model.config, "sliding_window", None)
    if window is not None and window < longest:
        return False
    random = torch.Generator().manual_seed(0)
    weights = model.get_input_embeddings().weight
    vocabulary, tolerance = model.config.get_text_config().vocab_size, 1e-3 if weights.dtype == torch.float32 else 5e-2

    def tokens(count: int) -> Tokens:
        return torch.randint(vocabulary, (count,), generator=random).tolist()

    head, way = tokens(12), tokens(10)
    begins = (head + tokens(1), head + way + tokens(5), tokens(4), head + way + tokens(2), head + way + tokens(9))
    batch = [Encoded(begin, tokens(3)) for begin in begins]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            expected = torch.cat([completion_logits(model, on_device(alone(one), model)) for one in batch])
            found = completion_logits(model, on_device(make(batch), model))
    except Exception:  # what an architecture does with arguments it does not know is its own affair
        return False
    finally:
        model.train(training)
    return found.shape == expected.shape and bool((found - expected).abs().max() <= tolerance * expected.abs().max())
