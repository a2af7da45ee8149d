"""What a training reads, in order: every epoch of it, each in another order and with other slips of the pen."""

import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch.utils.data import Dataset

from ..samples import REHEARSAL, Sample
from .noise import as_typed
from .packing import Encoded, encode
from .settings import Training
from .windows import windows


@dataclass(frozen=True)
class Lesson:
    """One answer to learn, and the sample to read anew, with noise, each time."""

    encoded: Encoded
    noisy: Sample | None


class Course(Dataset[Encoded]):
    """All epochs as one sequence: the same for the same seed, wherever in it a training goes on."""

    def __init__(self, samples: Iterable[Sample], tokenizer: Any, settings: Training, seed: int) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        self._seed = seed
        self.too_long = 0  # answers left out
        self.windowed = 0  # answers read in several windows
        lessons: list[Lesson] = []
        for sample in samples:
            lessons.extend(self._encoded(sample))
        self._lessons = _balanced(lessons)
        draw = random.Random(seed)
        self._order: list[int] = []
        for epoch in range(settings.epochs):
            due = [place for place, one in enumerate(lessons) if self._due(one.encoded, place + epoch)]
            draw.shuffle(due)
            self._order += due

    @property
    def lessons(self) -> list[Encoded]:
        """What one epoch holds, without noise."""
        return [lesson.encoded for lesson in self._lessons]

    @property
    def notes(self) -> list[str]:
        """What became of answers that are too long, in sentences for the report."""
        longer = f"answers longer than the {self._settings.max_length} tokens of `train.max_length`"
        counted = {"left out": self.too_long, "read in windows": self.windowed}
        return [f"{longer}: {count} {done}" for done, count in counted.items() if count]

    @property
    def tokens(self) -> int:
        """Tokens of all epochs, without noise."""
        return sum(len(self._lessons[place].encoded) for place in self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> Encoded:
        lesson = self._lessons[self._order[position]]
        if lesson.noisy is None or not self._settings.noise:
            return lesson.encoded
        typed = self._typed(lesson.noisy, random.Random(f"{self._seed}-{position}"))
        again, _ = encode([typed], self._tokenizer, self._settings.max_length)
        for one in again:
            return replace(one, weight=lesson.encoded.weight)
        return lesson.encoded  # a slip of the pen has made it too long

    def _encoded(self, sample: Sample) -> Iterator[Lesson]:
        windowed = self._settings.too_long == "window"
        encoded, too_long = encode([sample], self._tokenizer, sys.maxsize if windowed else self._settings.max_length)
        self.too_long += too_long
        for one in encoded:
            pieces = list(windows(one, self._settings.max_length))
            self.windowed += len(pieces) > 1
            whole = len(pieces) == 1 and _takes_noise(sample)
            yield from (Lesson(piece, sample if whole else None) for piece in pieces)

    def _due(self, lesson: Encoded, turn: int) -> bool:
        return not lesson.rehearsal or turn % self._settings.rehearse_every == 0

    def _typed(self, sample: Sample, draw: random.Random) -> Sample:
        turns = []
        for turn in sample.messages:
            content = as_typed(turn.content, self._settings.noise, draw) if turn.role == "user" else turn.content
            turns.append(turn.model_copy(update={"content": content}))
        return sample.model_copy(update={"messages": tuple(turns)})


def _takes_noise(sample: Sample) -> bool:
    """Whether the answer outlives a lost word, as a label does; in other tasks it may hang on any of them."""
    answers = sum(turn.role == "assistant" for turn in sample.messages)
    return sample.label is not None and sample.task != REHEARSAL and answers == 1


def _balanced(lessons: Sequence[Lesson]) -> list[Lesson]:
    """Weights that average 1 over the completion tokens of the training: the learning rate keeps its meaning."""
    tokens = sum(len(one.encoded.completion) for one in lessons)
    whole = sum(one.encoded.weight * len(one.encoded.completion) for one in lessons)
    return [replace(one, encoded=replace(one.encoded, weight=one.encoded.weight * tokens / whole)) for one in lessons]
