"""How a batch becomes rows, and which attention reads them: the first of a few ways that the network takes.

by_piece  the pieces of the tree in blocks that meet only what they see (blocks.py, attention.py)
sdpa      the mask (1, 1, L, L) as `pack` makes it
flex      the same mask as a BlockMask, so that blocks without a True are skipped; made as the network is called, so
          that collator, losses and `packing_holds` know nothing of it
flash     no mask: FlashAttention knows sequences one after the other and nothing else, so nothing is shared;
          transformers tells them apart by their positions, which begin anew
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from .attention import NAME as BY_PIECE
from .hardware import Choice, Hardware
from .packing import Encoded, Row, alone, pack, packing_holds

Layout = Callable[[Sequence[Encoded]], list[Row]]

NAMES = {"by_piece": BY_PIECE, "flex": "flex_attention", "flash": "flash_attention_2"}  # what transformers calls them
log = logging.getLogger(__name__)


def fitted(network: Any, hardware: Hardware, longest: int, name: str) -> tuple[Layout, Hardware]:
    """The layout that gives `network` what it makes of each sample alone, and `hardware` with the attention it has.

    The attention that was chosen comes first, then a mask, then samples of at most `longest` tokens one at a time. What
    is not taken is said in the log, but for attention by piece, to which a mask is no more than a slower way.
    """
    chosen = hardware.attention.chosen
    for attention in dict.fromkeys((chosen, "sdpa")):
        make, undo = row_of(attention), attend(network, attention)
        if undo is not None:
            if packing_holds(network, longest, make):
                return partial(_together, make=make), _with(hardware, attention)
            undo()
        if attention in ("flex", "flash"):
            log.warning("%s does not take attention by %s; a mask is used instead", name, attention)
    log.warning("%s does not take packed samples; it is trained on one at a time, which is slower", name)
    return one_by_one, _with(hardware, "its own")


def one_by_one(batch: Sequence[Encoded]) -> list[Row]:
    """A row for each sample, which any model takes."""
    return [alone(one) for one in batch]


def row_of(attention: str) -> Callable[[Sequence[Encoded]], Row]:
    """What makes one row of a batch for this attention."""
    if attention == "flash":
        return end_to_end
    return partial(pack, by_piece=True) if attention == "by_piece" else pack


def end_to_end(batch: Sequence[Encoded]) -> Row:
    """One row that holds each sample whole, one after the other; as `pack`, without a mask."""
    ids: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    for one in batch:
        first = len(ids) + len(one.prompt)  # where the completion begins
        ids += one.read
        positions += range(len(one.read))
        sources += range(first - 1, first - 1 + len(one.completion))
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "samples": list(batch),
        "logits_to_keep": torch.tensor(sources),
        "targets": torch.tensor([token for one in batch for token in one.completion]),
        "weights": torch.tensor([one.weight for one in batch for _ in one.completion]),
    }


def block_mask(mask: torch.Tensor) -> Any:
    """`mask` (1, 1, L, L), True where a token may look, as FlexAttention's BlockMask."""
    from torch.nn.attention.flex_attention import create_block_mask

    seen = mask[0, 0]

    def looks(batch: Any, head: Any, query: Any, key: Any) -> Any:
        return seen[query, key]

    queries, keys = seen.shape
    return create_block_mask(looks, 1, None, queries, keys, device=seen.device)


def attend(network: Any, attention: str) -> Callable[[], None] | None:
    """Let `network` use an attention; returns what undoes it, or None where its architecture does not take it."""
    model = network.get_base_model() if hasattr(network, "get_base_model") else network
    usual = model.config._attn_implementation
    if attention not in NAMES:
        return lambda: None
    if attention == "by_piece" and not model._supports_sdpa:  # such as one whose attention has sinks
        return None
    try:
        model.set_attn_implementation(NAMES[attention])
    except (ValueError, ImportError):
        return None
    if model.config._attn_implementation != NAMES[attention]:  # refused with no more than a word in the library's log
        return None
    hook = network.register_forward_pre_hook(_in_blocks, with_kwargs=True) if attention == "flex" else None

    def undo() -> None:
        model.set_attn_implementation(usual)
        if hook is not None:
            hook.remove()

    return undo


def _in_blocks(network: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    mask = kwargs.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.dim() == 4:
        kwargs = {**kwargs, "attention_mask": block_mask(mask)}
    return args, kwargs


def _together(batch: Sequence[Encoded], make: Callable[[Sequence[Encoded]], Row]) -> list[Row]:
    return [make(batch)]


def _with(hardware: Hardware, attention: str) -> Hardware:
    if attention == hardware.attention.chosen:
        return hardware
    why = f"this model does not take {hardware.attention.chosen}"
    return hardware.model_copy(update={"attention": Choice(chosen=attention, why=why)})
