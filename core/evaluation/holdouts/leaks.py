"""The last door before training: is anything in the training data that a suite holds out?

Three looks, each for what the one before cannot see: the same text but for case and spacing; word 3-grams nearly the
same; embeddings as near as those of a copy with small changes. The funnel drops generated rows by the first two; this
door sees seeds, replayed rows, rehearsal and what people brought as well. It drops nothing: a leak ends the round.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field

from ...errors import LeakError
from ...labelled import read_prompts
from ...models.encoder import Vectors
from ...quality.alike import found_in
from ...quality.duplicates import hashes_of
from ...quality.neighbours import Halves, cosines_of, nearest
from ...quality.sketches import Sketch, Sketches
from ...quality.thresholds import HIGHEST, ROWS, Auto
from ...settings import Setting
from ...text import words
from .texts import Said, held_out_in, learnt_from

if TYPE_CHECKING:
    from ...loops import Loop

How = Literal["words", "ngrams", "meaning"]
SAME: dict[How, str] = {"words": "the same words", "ngrams": "nearly the same words", "meaning": "the same, rephrased"}
PERMUTATIONS = 256
FEWEST_WORDS = 8
"""Of shorter texts only the same words count: `what is the capital of X` and another are near, and are no copies."""

COPIES = 64  # held-out rows of which a copy is made
FEWEST_COPIES = 20
KEPT = 0.75  # share of such copies that the limit finds
MARGIN = 0.01  # cosines of 16 bits are off by less than 0.001

NAMED = 3  # leaks that the sentence tells one by one
LONGEST = 60  # characters of a text in it

Embed = Callable[[Sequence[str]], Vectors]


class LeakCheck(Setting):
    """How near a row that is trained on may come to what a suite holds out."""

    similarity: float = Field(
        0.7, gt=0, le=1, description="Jaccard similarity of word 3-grams from which on a row is a copy"
    )
    cosine: Annotated[float, Field(gt=0, le=1)] | Auto | None = Field(
        "auto", description="cosine from which on it is one; auto: as copies of them tell; null: not compared"
    )


class Leak(NamedTuple):
    """A row that is trained on, and what of a suite it copies."""

    row: Said
    held: Said
    how: How
    likeness: float


class Looked(Setting):
    """What the check looked at, for the report."""

    rows: int = Field(description="texts that are trained on")
    held_out: int = Field(description="texts that suites hold out")
    cosine: float | None = Field(None, description="the largest cosine between the two; None: not compared")
    limit: float | None = Field(None, description="the cosine that stops a round; None: not compared")
    notes: tuple[str, ...] = ()

    def with_notes(self, notes: Sequence[str]) -> Self:
        """The same with more to tell."""
        return self.model_copy(update={"notes": (*self.notes, *notes)})

    @property
    def sentences(self) -> list[str]:
        """For people."""
        said = f"None of {self.rows:,} texts that are trained on copies one of {self.held_out:,} that are held out"
        if self.cosine is not None and self.limit is not None:
            said += f"; the nearest has a cosine of {self.cosine:.3f}, and {self.limit:.3f} would stop the round"
        return [f"{said}.", *self.notes]


class Found(NamedTuple):
    """Every leak, each row once and by the plainest likeness, and what was looked at."""

    leaks: list[Leak]
    looked: Looked


def find_leaks(rows: Sequence[Said], held: Sequence[Said], check: LeakCheck, embed: Embed | None = None) -> Found:
    """Compare `rows` with what is `held` out; without `embed` by words alone."""
    leaks: dict[int, Leak] = {}
    for own, those in _comparable(rows, held):
        for look in (_same_words, _near_words):
            fresh = [at for at in own if at not in leaks]
            leaks |= look(rows, fresh, [held[at] for at in those], check.similarity)
    looked = Looked(rows=len(rows), held_out=len(held))
    if embed is not None and check.cosine is not None and rows and held:
        more, looked = _near_meanings(rows, held, check, embed)
        leaks |= {at: leak for at, leak in more.items() if at not in leaks}
    return Found([leaks[at] for at in sorted(leaks)], looked)


def look_at(loop: "Loop", embed: Embed | None = None) -> Found:
    """Compare a loop's own files, seeds and rehearsal, with its suites: before a round has written anything."""
    rows = learnt_from(loop.material.seed_samples(), "seeds")
    if (rehearsal := loop.settings.rehearsal) is not None:
        path = loop.folder / rehearsal
        rows += [Said(row.text, f"{path.name}:{row.line}", "rehearsal") for row in read_prompts(path)]
    return find_leaks(rows, held_out_in(loop.suites), loop.settings.leaks, embed)


def refuse_leaked(found: Found, loop: str) -> None:
    """Raises LeakError: which rows, which suite, what to do."""
    if not found.leaks:
        return
    leaks = list({(leak.row.place, leak.held.place): leak for leak in found.leaks}.values())
    told = "; ".join(
        f"{leak.row.part} {leak.row.place} “{_short(leak.row.text)}” copies {leak.held.place} of `{leak.held.part}` "
        f"({SAME[leak.how]}{'' if leak.how == 'words' else f', {leak.likeness:.2f}'})"
        for leak in leaks[:NAMED]
    )
    more = f"; and {len(leaks) - NAMED} more" if len(leaks) > NAMED else ""
    raise LeakError(
        f"{len(leaks)} {'row' if len(leaks) == 1 else 'rows'} that would be trained on "
        f"{'is' if len(leaks) == 1 else 'are'} held out to measure on: {told}{more}; {_remedy(leaks, loop)}, then run "
        "the command again"
    )


def _remedy(leaks: Sequence[Leak], loop: str) -> str:
    files = [leak for leak in leaks if leak.row.part in ("seeds", "rehearsal")]
    ids = list(dict.fromkeys(leak.row.id for leak in leaks if leak not in files))
    do = ["keep each of these rows in one of the files"] if files else []
    if ids:
        listed = " ".join(ids[:NAMED]) + (" …" if len(ids) > NAMED else "")
        do.append(f"keep the samples out with `wheelwork pool exclude {loop} {listed}`")
    if any(leak.how == "meaning" for leak in leaks):
        do.append("or, where they are no copies, raise `leaks.cosine`")
    return ", ".join(do)


def _comparable(rows: Sequence[Said], held: Sequence[Said]) -> Iterator[tuple[list[int], list[int]]]:
    """Which of `rows` may copy which of `held`: single turns single turns, and of one passage where both have one."""

    def key(at: int) -> tuple[bool, str]:
        return (held[at].talk, held[at].passage)

    for (talk, passage), group in groupby(sorted(range(len(held)), key=key), key=key):
        own = [
            at
            for at, row in enumerate(rows)
            if row.talk == talk and (row.passage == passage or not row.passage or not passage)
        ]
        if own:
            yield own, list(group)


def _same_words(rows: Sequence[Said], own: Sequence[int], held: Sequence[Said], _: float) -> dict[int, Leak]:
    if not own:
        return {}
    places = found_in(hashes_of(rows[at].text for at in own), hashes_of(one.text for one in held))
    return {
        at: Leak(rows[at], held[place], "words", 1.0)
        for at, place in zip(own, places.tolist(), strict=True)
        if place >= 0
    }


def _near_words(rows: Sequence[Said], own: Sequence[int], held: Sequence[Said], similarity: float) -> dict[int, Leak]:
    long_rows = [at for at in own if _is_long(rows[at])]
    long_held = [one for one in held if _is_long(one)]
    if not long_rows or not long_held:
        return {}
    parts = [[rows[at].text for at in long_rows], [one.text for one in long_held]]
    sketches = Sketches([Sketch.of(texts, similarity, PERMUTATIONS) for texts in parts], similarity)
    sets, known = np.split(sketches.set_of, [len(long_rows)])
    near = sketches.match(sets, known)
    found = np.flatnonzero(near >= 0)
    likeness = sketches.similarity(sets[found], near[found])
    which = found_in(near[found], known)
    return {
        long_rows[at]: Leak(rows[long_rows[at]], long_held[place], "ngrams", float(like))
        for at, place, like in zip(found.tolist(), which.tolist(), likeness.tolist(), strict=True)
    }


def _near_meanings(
    rows: Sequence[Said], held: Sequence[Said], check: LeakCheck, embed: Embed
) -> tuple[dict[int, Leak], Looked]:
    looked = Looked(rows=len(rows), held_out=len(held))
    at_rows, at_held = ([at for at, one in enumerate(part) if _is_long(one)] for part in (rows, held))
    long_rows, long_held = [rows[at] for at in at_rows], [held[at] for at in at_held]
    if not long_rows or not long_held:
        return {}, looked
    known = _halves(embed, [one.text for one in long_held])
    limit, note = (check.cosine, "") if isinstance(check.cosine, float) else _told_by(long_held, known, embed)
    if limit is None:
        return {}, looked.model_copy(update={"notes": (note,)})
    vectors, leaks, largest = _halves(embed, [one.text for one in long_rows]), dict[int, Leak](), -1.0
    for own, those in _comparable(long_rows, long_held):
        best, which = nearest(vectors[own], known[those])
        largest = max(largest, float(best.max()))
        for at, cosine, place in zip(own, best.tolist(), which.tolist(), strict=True):
            before = leaks.get(at_rows[at])
            if cosine >= limit and (before is None or before.likeness < cosine):
                leaks[at_rows[at]] = Leak(long_rows[at], long_held[those[place]], "meaning", cosine)
    return leaks, looked.model_copy(update={"cosine": largest, "limit": limit})


def _told_by(held: Sequence[Said], known: Halves, embed: Embed) -> tuple[float | None, str]:
    """The cosine of a copy for this encoder, as copies of the held-out rows themselves tell it, or why they cannot.

    A word in ten is left out of each; KEPT of them come as near to what they were made from as the limit. No copy is
    called what two different held-out rows are to each other. Where that leaves nothing, as with an encoder that puts
    all texts in one place, meanings are not compared.
    """
    _, first = np.unique(hashes_of(one.text for one in held), return_index=True)
    own = known[np.sort(first)[:ROWS]].astype(np.float32)
    whole = [held[at].text for at in np.sort(first)[:COPIES].tolist()]
    if len(whole) < FEWEST_COPIES:
        return None, f"Meanings were not compared: {len(whole)} held-out rows are too few to tell how near a copy is."
    made = cosines_of(known[np.sort(first)[:COPIES]], _halves(embed, [abridged(text) for text in whole]))
    cosines = own @ own.T
    np.fill_diagonal(cosines, -1)
    limit = max(float(np.quantile(made, 1 - KEPT)), float(cosines.max()) + MARGIN)
    if limit > HIGHEST:
        return (
            None,
            "Meanings were not compared: for this encoder held-out rows lie as near to each other as copies do.",
        )
    return limit, ""


def abridged(text: str) -> str:
    """`text` without a tenth of its words, or of its characters where it has no spaces; the same for the same text."""
    parts, glue = (text.split(), " ") if len(text.split()) >= FEWEST_WORDS else (list(text), "")
    draw = random.Random(text)
    out = set(draw.sample(range(len(parts)), max(1, round(len(parts) / 10))))
    return glue.join(part for at, part in enumerate(parts) if at not in out)


def _halves(embed: Embed, texts: Sequence[str]) -> Halves:
    return embed(texts).astype(np.float16)


def _is_long(said: Said) -> bool:
    return len(words(said.text)) >= FEWEST_WORDS


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"
