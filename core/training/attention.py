"""How a packed row reaches the attention that was chosen: as a mask, as blocks of one, or as lengths.

sdpa   the mask (1, 1, L, L) as `pack` makes it
flex   the same mask as a BlockMask, so that blocks without a True are skipped; made as the network is called, so
       that collator, losses and `packing_holds` know nothing of it
flash  no mask: FlashAttention knows sequences one after the other and nothing else, so a prefix cannot be shared;
       transformers tells them apart by their positions, which begin anew
"""

import logging
from collections.abc import Sequence
from typing import Any

import torch

from .hardware import Choice, Hardware
from .packing import Encoded, Lay, families, pack

NAMES = {"flex": "flex_attention", "flash": "flash_attention_2"}  # what transformers calls them
log = logging.getLogger(__name__)


def attend(network: Any, hardware: Hardware) -> Hardware:
    """Let `network` use the attention that was chosen; returns `hardware` with the one that it does use.

    An architecture that does not take it keeps its own, with a mask, and the log says so.
    """
    chosen = hardware.attention.chosen
    if chosen not in NAMES:
        return hardware
    try:
        network.set_attn_implementation(NAMES[chosen])
        taken = network.config._attn_implementation == NAMES[chosen]  # or no more than a word in the library's log
    except (ValueError, ImportError):
        taken = False
    if not taken:
        log.warning("this model does not take attention by %s; a mask is used instead", chosen)
        instead = Choice(chosen="sdpa", why=f"with a mask, since this model does not take {chosen}")
        return hardware.model_copy(update={"attention": instead})
    if chosen == "flex":
        network.register_forward_pre_hook(_in_blocks, with_kwargs=True)
    return hardware


def layout(attention: str) -> Lay:
    """What makes one row of a batch for this attention."""
    return end_to_end if attention == "flash" else pack


def end_to_end(batch: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    """One row that holds each sample whole, one after the other, in the order of `pack`; as `pack`, without a mask."""
    ids: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    ordered = [one for family in families(batch) for one in family]
    for one in ordered:
        first = len(ids) + len(one.prompt)  # where the completion begins
        ids += one.prompt + one.completion
        positions += range(len(one))
        sources += range(first - 1, first - 1 + len(one.completion))
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "logits_to_keep": torch.tensor(sources),
        "targets": torch.tensor([token for one in ordered for token in one.completion]),
        "weights": torch.tensor([one.weight for one in ordered for _ in one.completion]),
    }


def block_mask(mask: torch.Tensor) -> Any:
    """`mask` (1, 1, L, L), True where a token may look, as FlexAttention's BlockMask."""
    from torch.nn.attention.flex_attention import create_block_mask

    seen = mask[0, 0]

    def looks(batch: Any, head: Any, query: Any, key: Any) -> Any:
        return seen[query, key]

    queries, keys = seen.shape
    return create_block_mask(looks, 1, None, queries, keys, device=seen.device)


def _in_blocks(network: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    mask = kwargs.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.dim() == 4:
        kwargs = {**kwargs, "attention_mask": block_mask(mask)}
    return args, kwargs
