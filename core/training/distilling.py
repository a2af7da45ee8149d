"""Learning from a teacher's own distribution: what it thought likely for each token, not only the token that it chose.

The teacher reads every answer once. For each token its `k` likeliest next tokens are kept, with the logarithm of their
probabilities at the temperature of the training, and the logarithm of what all other tokens have together. The loss is
the divergence of these k + 1 outcomes between teacher and student:

    T² · Σ_i p_i (log p_i − log q_i),   i over the k tokens and "any other"

T² keeps the size of the gradients whatever T is (Hinton, Vinyals & Dean 2015, section 2). The rest counts as one
outcome, so a student that puts weight on tokens outside the k is drawn back, and how it spreads that weight is left to
it. With k the whole vocabulary it is the divergence itself; with less it is never above it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..digests import SHORT, digest_of
from ..errors import ModelError
from ..models.progress import Progress, silent
from ..workspace import writing
from .packing import Encoded, Row, alone, completion_logits, on_device

SOFT = 1
"""Raise it when what is kept of a teacher changes; it is a part of the name under which it is kept."""

IDS, LOGS = "teacher_ids", "teacher_logs"
Rows = dict[str, list[Row]]


def likeliest(logits: torch.Tensor, k: int, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of logits (T, V): the `k` likeliest tokens (T, k), and log-probabilities (T, k + 1), the last of all others."""
    logs, ids = torch.topk(F.log_softmax(logits.float() / temperature, -1), min(k, logits.shape[-1]))
    return ids, torch.cat([logs, _log_rest(logs, logits.shape[-1])], -1)


def divergence(logits: torch.Tensor, ids: torch.Tensor, logs: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(teacher ‖ student) of each token (T,), in nats: student's logits (T, V), teacher's `likeliest`."""
    ours = F.log_softmax(logits / temperature, -1).gather(-1, ids.long())
    ours = torch.cat([ours, _log_rest(ours, logits.shape[-1])], -1)
    chances = logs.to(ours.dtype).exp()
    told = chances > 0  # where the teacher sees nothing, nothing is asked, and −∞ must not meet a gradient
    apart = torch.where(told, logs.to(ours.dtype), 0) - torch.where(told, ours, 0)
    return (chances * apart).sum(-1) * temperature**2


def _log_rest(logs: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """log(1 − Σ exp(logs)) (T, 1): what tokens other than these have; −∞ where there are no others."""
    if logs.shape[-1] >= vocabulary:
        return torch.full_like(logs[..., :1], -math.inf)
    whole = torch.logsumexp(logs, -1, keepdim=True)
    # rounding may put all of it into the first k; a hair below 1 keeps the logarithm and its gradient finite
    return torch.log(-torch.expm1(whole.clamp(max=-1e-6)))


def distilling_losses(logits: torch.Tensor, row: Row, part: slice) -> torch.Tensor:
    """Share of the divergence + share of the cross-entropy of `part` of the completion tokens, in nats."""
    temperature, hard = row["teacher_settings"].tolist()
    losses: torch.Tensor = (1 - hard) * divergence(logits, row[IDS][part], row[LOGS][part], temperature)
    if hard:
        losses = losses + hard * F.cross_entropy(logits, row["targets"][part], reduction="none")
    return losses


@dataclass(frozen=True)
class SoftTargets:
    """What a teacher thought of every answer of a training, on disk; a batch reads what it needs."""

    folder: Path
    places: Mapping[str, tuple[int, int]]
    """By the digest of a lesson's tokens: the rows of its completion."""
    temperature: float
    hard: float
    """Share of the loss that is cross-entropy with the answer itself."""
    digest: str

    def collating(self, collate: Callable[[Sequence[Encoded]], Rows]) -> Callable[[Sequence[Encoded]], Rows]:
        """`collate` with the teacher's rows beside each row that is learnt from."""
        tokens = max(end for _, end in self.places.values())
        ids = np.memmap(self.folder / "ids.int32", np.int32, "r").reshape(tokens, -1)
        logs = np.memmap(self.folder / "logs.float16", np.float16, "r").reshape(tokens, -1)
        settings = torch.tensor([self.temperature, self.hard])

        def beside(batch: Sequence[Encoded]) -> Rows:
            rows = collate(batch)
            for row in rows["learn"]:
                lessons = [one for one in row["samples"] if not one.rehearsal]
                if not lessons:  # no teacher is asked about rehearsal
                    continue
                told = [token for one in lessons for token in one.completion]
                learnt = row["targets"][: len(told)].tolist()
                assert learnt == told, "a row holds its answers in another order than is known here"
                where = [self.places[key_of(one)] for one in lessons]
                row[IDS] = torch.from_numpy(np.concatenate([ids[start:end] for start, end in where]))
                row[LOGS] = torch.from_numpy(np.concatenate([logs[start:end] for start, end in where])).float()
                row["teacher_settings"] = settings
            return rows

        return beside


def soft_targets(
    lessons: Iterable[tuple[Encoded, Encoded]],
    teacher: Any,
    fingerprint: str,
    cache: Path,
    *,
    top_k: int,
    temperature: float,
    hard: float,
    progress: Progress = silent,
) -> SoftTargets:
    """Ask `teacher`, a network in evaluation mode, about each lesson: as the student reads it, and as the teacher does.

    Both must have the same completion. What it thinks is kept below `cache` under `fingerprint` and the lessons, 6
    bytes for each of the `top_k` of a token, and is not asked for again. Memory holds one lesson.
    """
    pairs = list(lessons)
    for ours, theirs in pairs:
        if ours.completion != theirs.completion:
            raise ModelError(
                "teacher and student write an answer in other tokens, so logits cannot be compared; use --kind sequence"
            )
    told = [[one.prompt, one.completion] for _, one in pairs]
    digest = digest_of([SOFT, fingerprint, top_k, temperature, told])
    folder = cache / "soft" / digest[:SHORT]
    if not folder.is_dir():
        _ask(teacher, [theirs for _, theirs in pairs], folder, top_k, temperature, progress)
    places = {key_of(ours): place for (ours, _), place in zip(pairs, _places(pairs), strict=True)}
    return SoftTargets(folder, places, temperature, hard, digest_of([digest, hard]))


def _ask(
    teacher: Any, lessons: Sequence[Encoded], folder: Path, top_k: int, temperature: float, progress: Progress
) -> None:
    label = "asking the teacher"
    progress(label, 0, len(lessons))
    with writing(folder) as temporary, ExitStack() as stack, torch.inference_mode():
        temporary.mkdir()
        ids, logs = (stack.enter_context((temporary / name).open("wb")) for name in ("ids.int32", "logs.float16"))
        for number, one in enumerate(lessons, 1):
            logits = completion_logits(teacher, on_device(alone(one), teacher))
            found, chances = likeliest(logits, top_k, temperature)
            found.cpu().numpy().astype(np.int32).tofile(ids)
            chances.cpu().numpy().astype(np.float16).tofile(logs)
            progress(label, number, len(lessons))


def key_of(lesson: Encoded) -> str:
    """Names a lesson by its tokens; its weight does not count."""
    return digest_of([lesson.prompt, lesson.completion])


def _places(pairs: Sequence[tuple[Encoded, Encoded]]) -> Iterator[tuple[int, int]]:
    at = 0
    for ours, _ in pairs:
        yield at, at + len(ours.completion)
        at += len(ours.completion)
