"""What the champion, or the base where there is none, makes of each sample before a training begins.

Loss, entropy and the gradient at the logits come from packed rows, where packing holds, without gradients. The
gradient at the update is that of one sample at a time: what samples share in a packed row is read once, so its
gradient is that of all of them together. What is found is kept beside the checkpoints.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ...digests import digest_of
from ...engines.base import Adapter
from ...errors import ModelError
from ...models.pretrained import device, load_whole, loading
from ...models.store import ModelFiles
from ...workspace import write_text
from ..packing import Encoded, Row, alone, completion_logits, on_device, pack, packing_holds
from ..rows import in_rows
from ..settings import Training
from .emphasis import Measure
from .rows import Array

Heard = Callable[[int, int], object]
"""Hears how many measurements are done, of how many."""

Lessons = Sequence[Encoded]  # of one sample, one or more
Numbers = dict[Measure, list[float | None]]  # by sample; None: not measured yet

READING: tuple[Measure, ...] = ("loss", "entropy", "error")  # one reading tells all of these
SAVE_SECONDS = 20.0


class Subject(NamedTuple):
    """What is measured, and with which model: the champion's adapter on the base, or the base."""

    lessons: Sequence[Lessons]
    base: ModelFiles
    champion: Path | None
    settings: Training  # of the update whose gradient is taken
    seed: int  # of that update's A

    @property
    def identity(self) -> str:
        """Names all that the numbers depend on."""
        champion = Adapter.at(self.champion).digest if self.champion else None
        read = [[[one.prompt, one.completion] for one in lessons] for lessons in self.lessons]
        update = [self.settings.rank, self.settings.alpha, self.settings.targets]
        return digest_of([self.base.digest, champion, update, self.seed, read])


def measure(subject: Subject, wanted: Collection[Measure], file: Path, heard: Heard) -> dict[Measure, Array]:
    """Each of `wanted`, and the loss in any case, for each sample: (n,), NaN where it is no number.

    `file` keeps what is found, as it is found. Raises ModelError for a model that cannot be read, or a champion that
    does not fit the base.
    """
    count = len(subject.lessons)
    found = _kept(file, count)
    read = [name for name in READING if name in wanted]
    reads = [at for at in range(count) if any(found[name][at] is None for name in read)]
    steps = [at for at in range(count) if "gradient" in wanted and found["gradient"][at] is None]
    if reads or steps:
        model = _Model(subject)
        saved = time.monotonic()
        for done, _ in enumerate(model.measured(reads, steps, found), 1):
            heard(done, len(reads) + len(steps))
            if time.monotonic() - saved > SAVE_SECONDS:
                _keep(file, found)
                saved = time.monotonic()
        _keep(file, found)
    return {name: np.array(found[name], dtype=np.float64) for name in {"loss", *wanted}}


class _Model:
    """A network that is read and not trained."""

    def __init__(self, subject: Subject) -> None:
        self._lessons = subject.lessons
        self._subject = subject
        self._network = _loaded(subject.base, subject.champion)
        self._packs = packing_holds(self._network, max(len(one) for lessons in subject.lessons for one in lessons))

    def measured(self, reads: Sequence[int], steps: Sequence[int], found: Numbers) -> Iterator[int]:
        """Fill `found`: first by reading the samples `reads`, then by the gradients of `steps`; each as it is done."""
        chosen = {at: self._lessons[at] for at in reads}
        for group in in_rows(chosen) if self._packs else ([at] for at in reads):
            for at, told in zip(group, self._read([chosen[at] for at in group]), strict=True):
                for name, value in zip(READING, told, strict=True):
                    found[name][at] = value
            yield from group
        if steps:
            network = with_update(self._network, self._subject)
            for at in steps:
                found["gradient"][at], found["loss"][at] = self._norm(network, self._lessons[at])
                yield at

    def _read(self, samples: Sequence[Lessons]) -> list[tuple[float, float, float]]:
        """Loss, entropy and error of each sample: means over the completion tokens of its lessons."""
        with torch.inference_mode():
            told = torch.cat(
                [
                    _of_tokens(completion_logits(self._network, row).float(), row["targets"])
                    for row in self._laid_out([one for lessons in samples for one in lessons])
                ]
            )
        parts = torch.split(told.double(), [sum(len(one.completion) for one in lessons) for lessons in samples])
        means = [part.mean(0).tolist() for part in parts]
        return [(loss, entropy, square**0.5) for loss, entropy, square in means]

    def _norm(self, network: Any, lessons: Lessons) -> tuple[float, float]:
        """Norm of the gradient of a sample's loss at the update's B, and that loss; the gradient at A is 0, as B is."""
        tokens = sum(len(one.completion) for one in lessons)
        network.zero_grad(set_to_none=True)
        loss = 0.0
        for row in self._laid_out(lessons):
            losses = F.cross_entropy(completion_logits(network, row).float(), row["targets"], reduction="sum")
            (losses / tokens).backward()  # type: ignore[no-untyped-call]
            loss += float(losses.detach()) / tokens
        squares = [weight.grad.double().square().sum() for weight in network.parameters() if weight.grad is not None]
        return float(torch.stack(squares).sum().sqrt()), loss

    def _laid_out(self, lessons: Lessons) -> Iterator[Row]:
        """`lessons` in rows, in their order."""
        rows = [pack(lessons)] if self._packs and len(lessons) > 1 else map(alone, lessons)
        for row in rows:
            yield on_device(row, self._network)


def with_update(network: Any, subject: Subject) -> Any:
    """`network` with a fresh LoRA update on the layers that are to be trained; B is zero, so it changes nothing.

    The gradient at B is that at the layer's weights times the random Aᵀ: a random projection, whose norm is in
    expectation proportional to that of the whole. The same, whatever the update that is trained is made of.
    """
    from peft import LoraConfig, get_peft_model

    targets = subject.settings.targets
    config = LoraConfig(
        r=subject.settings.rank,
        lora_alpha=subject.settings.alpha,
        target_modules=targets[0] if targets == ("all-linear",) else list(targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(subject.seed)
        try:
            return get_peft_model(network, config).eval()
        except ValueError as error:
            raise ModelError(f"{subject.base.name}: LoRA does not fit `train.targets` {targets}: {error}") from error


def _loaded(base: ModelFiles, champion: Path | None) -> Any:
    """The base, or the base with the champion's update added to its weights, in evaluation mode."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network, _ = load_whole(base, "causal language model", AutoModelForCausalLM, AutoTokenizer)
    if champion is not None:
        from peft import PeftModel

        with loading(str(champion), f"an adapter of {base.name}"):
            network = PeftModel.from_pretrained(network, str(champion)).merge_and_unload()
    return network.to(device()).eval().requires_grad_(False)


def _of_tokens(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, entropy and ‖p − y‖² at each token, (T, 3), of `logits` (T, vocabulary); in nats."""
    log_p = F.log_softmax(logits, -1)
    p = log_p.exp()
    entropy = -(p * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(-1)  # 0 · log 0 is 0, not unknown
    own = log_p.gather(-1, targets[:, None]).squeeze(-1)
    square = (p.square().sum(-1) - 2 * own.exp() + 1).clamp(min=0)
    return torch.stack([-own, entropy, square], -1)


def _kept(file: Path, count: int) -> Numbers:
    """What an earlier run found, as far as it came; JSON's NaN is a number that is none."""
    nothing: Numbers = {name: [None] * count for name in (*READING, "gradient")}
    try:
        found: Numbers = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return nothing
    return found


def _keep(file: Path, found: Numbers) -> None:
    write_text(file, json.dumps(found))
