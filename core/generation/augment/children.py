"""Augmentation: children of samples, each checked against its parent, in an order that does not depend on the teacher.

A child keeps its parent's label or answer, so it has to say the same (`preserve`), and code has to pass its parent's
test. What fails comes out too, with its reason. The same samples, settings and models give the same children; a call
asks the same again, so that a killed run goes on from the reply cache.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from ...chat.gather import ask_all
from ...chat.messages import Chat
from ...digests import digest_of
from ...models.encoder import Encode
from ...samples import Message, Sample
from ...text import normalised
from ..code_checks import run_test
from .drafts import Check, Draft, Prompts, Wish, Writer, with_code
from .preserve import Pair, Preservation, Verdict, quote_lost
from .settings import Augmentation, InOtherWords, Operation, Words
from .synonyms import FillMask
from .words import word_source

CHUNK = 64
"""Children that are judged at a time: one call of the encoder."""


async def augment(
    samples: Iterable[Sample],
    settings: Augmentation,
    chat: Chat | None,
    encode: Encode,
    *,
    seeds: Sequence[tuple[str, str]] = (),
    language: str = "en",
    overrides: Path | None = None,
    extra: Mapping[str, int] | None = None,
    fill_mask: FillMask | None = None,
    check: Check = run_test,
    source: str = "",
    round: str = "",
) -> AsyncGenerator[Sample, None]:
    """The children of `samples`, in order; those with a `reject_reason` are not to be learnt from.

    One sample comes out for each child that is asked for. `seeds` are (text, label) pairs of the labels; `extra` is
    how many more children each parent gets, by its id (`extra_children`). `fill_mask` takes the place of what the
    settings name for `words`. `source` and `round` go into the children; without `source` they have their parent's.
    Memory grows with the digests of the texts only. Raises ConfigError where an operation lacks its teacher.
    """
    operations = settings.operations
    writer = Writer(
        Prompts(operations, language, overrides),
        chat,
        _word_sources(operations, fill_mask),
        sorted({label for _, label in seeds}),
        check,
    )
    preserved = Preservation(encode, settings, seeds)
    family = _Family(source, round)
    wished = (wish for sample in samples for wish in wishes(sample, settings, (extra or {}).get(sample.id, 0)))
    drafts: list[Draft] = []
    async with aclosing(ask_all(writer, wished)) as written:
        async for draft in written:
            drafts.append(draft)
            if len(drafts) == CHUNK:
                for child in family.judged(drafts, preserved):
                    yield child
                drafts = []
    for child in family.judged(drafts, preserved):
        yield child


def wishes(parent: Sample, settings: Augmentation, extra: int = 0) -> Iterator[Wish]:
    """The children that a sample is to have: `times` of each operation that applies to it, then `extra` by turns."""
    fitting = [operation for operation in settings.operations if _applies(operation, parent)]
    asked = [operation for operation in fitting for _ in range(operation.times)]
    turns = [operation for operation in fitting if operation.times]
    asked += [turns[number % len(turns)] for number in range(extra if turns else 0)]
    numbers: Counter[str] = Counter()
    for operation in asked:
        number = numbers[operation.kind]
        numbers[operation.kind] += 1
        seed = int(digest_of([settings.seed, parent.id, operation.kind, number])[:8], 16) % 2**31
        yield Wish(parent, operation, number, seed)


def _applies(operation: Operation, sample: Sample) -> bool:
    if operation.works_on == "code":
        return sample.task == "code" and bool(sample.completion.strip())
    return bool(sample.prompt.strip())


def _word_sources(operations: Sequence[Operation], fill_mask: FillMask | None) -> dict[Words, FillMask]:
    wanted = [operation for operation in operations if isinstance(operation, Words) and operation.times]
    return {operation: fill_mask or word_source(operation) for operation in wanted}


class _Family:
    """Makes drafts into children and remembers them, so that no two are alike."""

    def __init__(self, source: str, round: str) -> None:
        self._source = source
        self._round = round
        self._seen: set[str] = set()

    def judged(self, drafts: Sequence[Draft], preserved: Preservation) -> Iterator[Sample]:
        pairs = [_pair(draft) for draft in drafts]
        verdicts = iter(preserved([pair for pair, draft in zip(pairs, drafts, strict=True) if draft.reason is None]))
        for draft in drafts:
            verdict = next(verdicts) if draft.reason is None else Verdict(draft.reason)
            child = self._child(draft).with_scores(**verdict.scores)
            reason = verdict.reason or ("quote_lost" if quote_lost(child) else None)
            self._seen.add(_likeness(draft.wish.parent, draft.wish.operation))
            likeness = _likeness(child, draft.wish.operation)
            if reason is None and likeness in self._seen:
                reason = "duplicate"
            if reason is None:
                self._seen.add(likeness)
            yield child.rejected(reason) if reason else child

    def _child(self, draft: Draft) -> Sample:
        parent, operation = draft.wish.parent, draft.wish.operation
        controls = parent.controls | {"operation": operation.kind}
        controls |= {"pivot" if name == "language" else name: value for name, value in draft.told.items()}
        return Sample.make(
            _messages(draft),
            task=parent.task,
            label=parent.label,
            origin="augmented",
            source=self._source or parent.source,
            round=self._round,
            parent_id=parent.id,
            controls=controls,
            weight=parent.weight * operation.weight,
        )


def _messages(draft: Draft) -> list[Message]:
    """The parent's messages with the turn that the operation works on written anew."""
    turns = list(draft.wish.parent.messages)
    role = "user" if draft.wish.operation.works_on == "prompt" else "assistant"
    place = max(index for index, turn in enumerate(turns) if turn.role == role)
    content = draft.text if role == "user" else with_code(turns[place].content, draft.text)
    turns[place] = Message(role=turns[place].role, content=content)
    return turns


def _pair(draft: Draft) -> Pair:
    parent, operation = draft.wish.parent, draft.wish.operation
    of_code = parent.task == "code"
    return Pair(
        parent=draft.wish.text,
        child=draft.text,
        keeps=operation.keeps,
        min_similarity=operation.min_similarity if isinstance(operation, InOtherWords) else -1.0,
        answer="" if parent.label is not None or of_code else parent.completion,
        label=parent.label,
        judged_by_test=operation.works_on == "code",
    )


def _likeness(sample: Sample, operation: Operation) -> str:
    """Digest of what a sample says: all up to its last question, or with the code where that is what was changed."""
    of_code = operation.works_on == "code"
    last = max((i for i, turn in enumerate(sample.messages) if of_code or turn.role == "user"), default=-1)
    said = [turn.content if of_code else normalised(turn.content) for turn in sample.messages[: last + 1]]
    return digest_of([operation.works_on, said])
