"""A step that does not fit into memory is taken in parts; its batch, its loss and its gradient stay the same."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ...settings import Setting
from .available import available_memory

if TYPE_CHECKING:
    import torch

    from ..packing import Encoded

BACKWARD = 2.0  # memory at the height of a step, over what the forward pass keeps for the backward pass

log = logging.getLogger(__name__)

Rows = dict[str, list[dict[str, Any]]]
Collate = Callable[[Sequence["Encoded"]], Rows]


class MemoryFit(Setting):
    """Take a step in parts where the memory asks for it.

    Before the first step the memory that one sample takes is measured and that of the heaviest step reckoned from it.
    A step for which the memory is too small all the same is taken again in twice the parts, and so are those after it.
    """

    parts: int = Field(1, ge=1, le=4096, description="parts that a step is taken in from the start")
    guess: bool = Field(True, description="reckon the parts before the first step; else only an error tells")
    share: float = Field(0.8, gt=0, le=1, description="share of the available memory that a step may take")


class MicroBatches:
    """The samples of a step, laid out in as many rows as the memory asks for.

    The parts of a step are weighted by their completion tokens, so that their losses and gradients add up to those of
    the whole, whose loss is a mean over completion tokens.
    """

    def __init__(self, collate: Collate, parts: int = 1, most: int | None = None) -> None:
        self.collate = collate
        self.parts = parts
        self._most = most  # 1 where others have to take the same parts, as in several processes
        self.share = 1.0
        """What the loss of the part under way counts for."""
        self.tokens = 0
        """Of all samples read so far, as an unpacked trainer would count them."""

    def gather(self, batch: "Sequence[Encoded]") -> "dict[str, list[Encoded]]":
        """The collator of a data loader: the batch as it is, to be laid out when the step is taken."""
        return {"batch": list(batch)}

    def learn(
        self, batch: "Sequence[Encoded]", backward: Callable[[Rows], "torch.Tensor"], undo: Callable[[], None]
    ) -> "torch.Tensor":
        """The loss of `batch`, whose gradient `backward` adds part by part; `undo` takes back what was added."""
        self.tokens += sum(map(len, batch))
        while True:
            try:
                return self._in_parts(batch, backward)
            except Exception as error:
                if not out_of_memory(error) or not self._double(len(batch)):
                    raise
            undo()  # outside the handler, where the error no longer holds the tensors of the step
            log.warning("the memory is too small for a step of %d samples; taken in %d parts", len(batch), self.parts)

    def _in_parts(self, batch: "Sequence[Encoded]", backward: Callable[[Rows], "torch.Tensor"]) -> "torch.Tensor":
        whole = sum(len(one.completion) for one in batch)
        losses = []
        try:
            for part in chunks(batch, self.parts):
                self.share = sum(len(one.completion) for one in part) / whole
                losses.append(backward(self.collate(part)))
        finally:
            self.share = 1.0
        return sum(losses[1:], start=losses[0])

    def _double(self, samples: int) -> bool:
        most = samples if self._most is None else min(samples, self._most)
        if self.parts >= most:
            return False
        self.parts = min(2 * self.parts, most)
        return True


def chunks(batch: "Sequence[Encoded]", parts: int) -> "list[Sequence[Encoded]]":
    """`batch` in `parts` pieces of nearly the same number of samples, in order; fewer where there are fewer samples."""
    parts = min(parts, len(batch))
    edges = [round(n * len(batch) / parts) for n in range(parts + 1)]
    return [batch[first:last] for first, last in pairwise(edges)]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory is too small, on a GPU or without one."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def recomputes(network: Any) -> bool:
    """Whether `network` computes its layers anew on the way back."""
    return any(getattr(module, "gradient_checkpointing", False) for module in network.modules())


def guessed_parts(
    network: Any,
    micro: MicroBatches,
    lessons: "Sequence[Encoded]",
    batch_size: int,
    fit: MemoryFit,
    loss: Callable[[Rows], "torch.Tensor"],
) -> int:
    """In how many parts a step of the longest lessons has to be taken to fit into the available memory; a power of 2.

    What the forward pass of the longest lesson keeps is counted tensor by tensor; a packed row keeps as much for each
    of its distinct tokens. With gradient checkpointing next to nothing is kept; there only an error tells.
    """
    if not fit.guess or recomputes(network):
        return 1
    longest = sorted(lessons, key=len, reverse=True)[:batch_size]
    one, all_of_them = micro.collate(longest[:1]), micro.collate(longest)
    needed = BACKWARD * kept_by_forward(network, lambda: loss(one)) * _tokens(all_of_them) / _tokens(one)
    available = fit.share * _free(network)
    if needed <= available:
        return 1
    parts = min(len(longest), 1 << math.ceil(math.log2(needed / max(1.0, available))))
    log.info("a step of %d samples is taken in %d parts, for want of memory", len(longest), parts)
    return parts


def kept_by_forward(network: Any, forward: Callable[[], "torch.Tensor"]) -> int:
    """Bytes that the pass `forward` through `network` keeps for the backward pass, but for the weights themselves."""
    import torch

    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    sizes: dict[int, int] = {}
    held = []  # until the end, so that no address is given out twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(storage)
        return tensor

    training = network.training
    network.eval()  # dropout would draw random numbers that the training is to draw
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            forward()
    finally:
        network.train(training)
    return sum(sizes.values())


def _tokens(rows: Mapping[str, list[dict[str, Any]]]) -> int:
    """Distinct tokens of the rows."""
    return sum(row["input_ids"].shape[1] for part in rows.values() for row in part)


def _free(network: Any) -> int:
    import torch

    return int(torch.cuda.mem_get_info()[0]) if network.device.type == "cuda" else available_memory()
