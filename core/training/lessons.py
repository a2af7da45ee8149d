"""What a training reads, in order: every epoch of it, each in another order and with other slips of the pen."""

import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch.utils.data import Dataset

from ..samples import REHEARSAL, Sample
from .focus.order import MIDDLE, Due
from .noise import as_typed
from .packing import Encoded, encode
from .settings import Training
from .windows import lessons_of, read


@dataclass(frozen=True)
class Lesson:
    """One answer to learn, and the sample to read anew, with noise, each time."""

    encoded: Encoded
    noisy: Sample | None
    difficulty: float = MIDDLE


class Course(Dataset[Encoded]):
    """All epochs as one sequence: the same for the same seed, wherever in it a training goes on.

    `difficulty` is that of each sample, where `settings.order` goes by one; `replayed` are ids of those that are kept
    to the champion's answers.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        tokenizer: Any,
        settings: Training,
        seed: int,
        difficulty: Sequence[float] = (),
        replayed: Collection[str] = (),
    ) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        self._seed = seed
        self.too_long = 0  # answers left out
        self.windowed = 0  # answers read in several windows
        lessons: list[Lesson] = []
        for sample, hard in zip(samples, difficulty or [MIDDLE] * len(samples), strict=True):
            lessons.extend(self._lessons_of(sample, hard, sample.id in replayed))
        self._lessons = _balanced(lessons)
        draw = random.Random(seed)
        self._order: list[int] = []
        for epoch in range(settings.epochs):
            due = [
                Due(place, one.difficulty, one.encoded.rehearsal)
                for place, one in enumerate(lessons)
                if self._due(one.encoded, place + epoch)
            ]
            self._order += settings.order(due, epoch, draw)

    @property
    def lessons(self) -> list[Encoded]:
        """What one epoch holds, without noise."""
        return [lesson.encoded for lesson in self._lessons]

    def encoded(self, samples: Iterable[Sample]) -> list[Encoded]:
        """Other samples as this course would have them, without noise."""
        return [one for sample in samples for one in lessons_of(sample, self._tokenizer, self._settings)]

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
            return replace(one, weight=lesson.encoded.weight, replayed=lesson.encoded.replayed)
        return lesson.encoded  # a slip of the pen has made it too long

    def _lessons_of(self, sample: Sample, difficulty: float, replayed: bool) -> Iterator[Lesson]:
        answers, too_long = read(sample, self._tokenizer, self._settings)
        self.too_long += too_long
        for windows in answers:
            self.windowed += len(windows) > 1
            noisy = sample if len(windows) == 1 and _takes_noise(sample) else None
            yield from (Lesson(replace(one, replayed=replayed), noisy, difficulty) for one in windows)

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
