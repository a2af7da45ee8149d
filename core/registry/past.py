"""What the entries of a journal add up to: where the aliases stand, what each version won, what was champion when."""

from collections.abc import Iterable
from datetime import datetime

from .fingerprint import Fingerprint, tags_of
from .journal import Alias, Entry, Move


class Past:
    """The journal up to an entry. `apply` takes the next one; entries come in their order."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.digests: list[str] = []
        self.holders: dict[Alias, str | None] = {}
        """Alias → version that it stood at when last looked; an alias that was never seen is not in it."""
        self.begun: Entry | None = None
        """A move that was begun and not ended yet: under way, or cut short."""
        self.champions: list[Entry] = []
        """Every entry after which another version, or none, was champion."""
        self.refused: Entry | None = None
        self.judged: dict[str, Move] = {}
        """Version → the last judgement on it."""
        self._measured: dict[str, Fingerprint] = {}
        self._at_begin: dict[int, datetime] = {}
        for entry in entries:
            self.apply(entry)

    def apply(self, entry: Entry) -> None:
        """Take in the next entry."""
        move = entry.move
        self.digests.append(entry.digest)
        if entry.state == "begun":
            self.begun = entry
            return
        if entry.begun is not None:
            if self.begun is not None:
                self._at_begin[entry.sequence] = self.begun.moment
            self.begun = None
        if entry.state != "done":
            return
        if entry.moved:
            if move.alias == "champion" and (not self.champions or self.champion != move.after):
                self.champions.append(entry)
            self.holders[move.alias] = move.after
        if move.kind == "judge" and move.after is not None:
            self.judged[move.after] = move
        if move.kind == "refuse":
            self.refused = entry
        if move.kind != "refuse" and move.fingerprint is not None and move.after is not None:
            self._measured[move.after] = move.fingerprint

    @property
    def champion(self) -> str | None:
        """The version in production as far as is known; None: the base alone."""
        return self.holders.get("champion")

    @property
    def last(self) -> Entry | None:
        """How the present champion became it."""
        return self.champions[-1] if self.champions else None

    def measured(self, version: str) -> Fingerprint | None:
        """What `version` was last measured as."""
        return self._measured.get(version)

    def tags(self, version: str) -> dict[str, str]:
        """The tags that the last judgement and measurement of `version` leave at it; none where there was none."""
        move, fingerprint = self.judged.get(version), self._measured.get(version)
        return (judged_tags(move) if move else {}) | (tags_of(fingerprint) if fingerprint else {})

    def promotion(self, *, adapter: str = "", round: str = "", version: str = "") -> Entry | None:
        """The promotion of an adapter by its digest, of a round by its id, or of a version; the latest of several."""
        for entry in reversed(self.champions):
            move = entry.move
            won = move.kind == "promote" or (move.kind == "start" and move.verdict == "promoted")
            if won and ((adapter and move.adapter == adapter) or (round and move.round == round) or (
                version and move.after == version
            )):  # fmt: skip
                return entry
        return None

    def left(self, version: str) -> Entry | None:
        """The entry with which `version` last ceased to be champion; None where it is, or never was."""
        if self.champion == version:
            return None
        return next((entry for entry in reversed(self.champions) if entry.move.before == version), None)

    def rival(self, adapter: str, champion: str | None, its_adapter: str) -> str | None:
        """The version that a candidate has to beat: the champion, or whom it beat when it was promoted itself.

        `adapter` is the candidate's digest, `its_adapter` that of the `champion`. So a round that is given again, or
        was killed after its promotion, ends as it did, not in a tie with itself.
        """
        if (promotion := self.promotion(adapter=adapter)) is not None:
            return promotion.move.before
        if champion is not None and adapter == its_adapter and self.last is not None:
            return self.last.move.before  # made champion by hand
        return champion

    def set_out_from(self, round_id: str, champion: str | None) -> str | None:
        """The champion that a round set out from: the present one, or whom the round replaced when it was promoted."""
        promotion = self.promotion(round=round_id)
        return champion if promotion is None else promotion.move.before

    def moment_of(self, entry: Entry) -> datetime:
        """When the alias was moved, as near as is known: a move that a later run finished was made as it was begun."""
        return self._at_begin.get(entry.sequence, entry.moment) if entry.note else entry.moment

    def at(self, moment: datetime) -> Entry | None:
        """How the champion of that moment became it; None before the first."""
        return next((entry for entry in reversed(self.champions) if self.moment_of(entry) <= moment), None)


def judged_tags(move: Move) -> dict[str, str]:
    """The tags that a judgement leaves at its version: the verdict, and whom it is against."""
    tags = {"verdict": move.verdict, "previous_champion": move.against or ""}
    return tags | (tags_of(move.fingerprint) if move.fingerprint else {})
