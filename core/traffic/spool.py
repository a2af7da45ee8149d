"""Where exchanges and feedback wait while the database is away: files of JSON lines in the state folder, bounded.

    <home>/traffic-spool/NNNNNNNN.exchanges.jsonl
    <home>/traffic-spool/NNNNNNNN.feedback.jsonl

A file is closed at SEGMENT bytes; taken in, it is removed whole. When all of them reach the bound, exchanges give way:
new ones are not taken, and old ones go for feedback, never the other way round.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..lines import add_lines, read_lines
from ..serving.exchange import Exchange, Feedback
from ..workspace import locked, write_text

SEGMENT = 1 << 20  # bytes: adding to a file reads it, so it must stay small
EXCHANGES, FEEDBACK = ".exchanges.jsonl", ".feedback.jsonl"
PATIENCE = 5.0


class Spooled(NamedTuple):
    """How many of each came in, and how many exchanges gave way."""

    exchanges: int = 0
    feedback: int = 0
    dropped: int = 0


class Spool:
    """The spool of `home`, of at most `bound` bytes."""

    def __init__(self, home: Path, bound: int) -> None:
        self.folder = home / "traffic-spool"
        self._lock = home / "locks" / "traffic-spool.lock"
        self._bound = bound

    @property
    def empty(self) -> bool:
        return not any(True for _ in self._files())

    def put(self, asked: Sequence[Exchange], said: Sequence[Feedback]) -> Spooled:
        """Write these down; they are on the disk when this returns. Raises WorkspaceError where the disk is full."""
        with self._changing():
            kept, dropped = self._make_room(len_of(said))
            if kept and said:
                add_lines(self._open(FEEDBACK), said)
            spoken = len(said) if kept else 0
            if self._size() + len_of(asked) > self._bound:
                return Spooled(0, spoken, dropped + len(asked))
            if asked:
                add_lines(self._open(EXCHANGES), asked)
            return Spooled(len(asked), spoken, dropped)

    def take(self, store: Callable[[Sequence[Exchange], Sequence[Feedback]], None]) -> int:
        """Give all that waits to `store`, exchanges first, and forget each file that was stored; how many they were.

        A file whose storing was cut short is stored again, so `store` must know what it has. One that is damaged is
        put aside under another name. What `store` raises comes through.
        """
        taken = 0
        with self._changing():
            for path in sorted(self._files(), key=lambda path: (path.name.endswith(FEEDBACK), path.name)):
                try:
                    asked = read_lines(path, Exchange, "the spool") if path.name.endswith(EXCHANGES) else []
                    said = read_lines(path, Feedback, "the spool") if path.name.endswith(FEEDBACK) else []
                except DataError:
                    path.rename(path.with_suffix(".damaged"))
                    continue
                store(asked, said)
                path.unlink()
                taken += len(asked) + len(said)
        return taken

    def ids(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """Id, key and loop of every exchange that waits."""
        for path in sorted(self._files()):
            if path.name.endswith(EXCHANGES):
                with suppress(DataError, OSError):
                    yield from ((one.id, (one.key, one.loop)) for one in read_lines(path, Exchange, "the spool"))

    def forget(self, gone: Callable[[Exchange], bool], also: Iterable[str] = ()) -> int:
        """Take out the exchanges that are to be `gone`, and what was said of them and of those of the ids `also`.

        Returns how many exchanges they were.
        """
        count, ids = 0, set(also)
        with self._changing():
            for path in sorted(self._files(), key=lambda path: (path.name.endswith(FEEDBACK), path.name)):
                if path.name.endswith(EXCHANGES):
                    asked = read_lines(path, Exchange, "the spool")
                    ids |= {one.id for one in asked if gone(one)}
                    left: list[Exchange] | list[Feedback] = [one for one in asked if one.id not in ids]
                    count += len(asked) - len(left)
                else:
                    left = [one for one in read_lines(path, Feedback, "the spool") if one.exchange not in ids]
                if left:
                    write_text(path, "".join(f"{one.model_dump_json()}\n" for one in left))
                else:
                    path.unlink()
        return count

    def _make_room(self, wanted: int) -> tuple[bool, int]:
        """Remove the oldest exchanges until `wanted` bytes fit; whether they do, and how many exchanges went."""
        dropped = 0
        while self._size() + wanted > self._bound:
            oldest = min((path for path in self._files() if path.name.endswith(EXCHANGES)), default=None)
            if oldest is None:
                return False, dropped
            dropped += oldest.read_bytes().count(b"\n")
            oldest.unlink()
        return True, dropped

    def _open(self, kind: str) -> Path:
        """The file of `kind` that is written to: the last one, or after it a new one."""
        last = max((path for path in self._files() if path.name.endswith(kind)), default=None)
        if last is not None and last.stat().st_size < SEGMENT:
            return last
        numbers = [int(path.name[:8]) for path in self._files()]
        return self.folder / f"{max(numbers, default=0) + 1:08d}{kind}"

    def _files(self) -> Iterator[Path]:
        return self.folder.glob("[0-9]*.jsonl")

    def _size(self) -> int:
        return sum(path.stat().st_size for path in self._files())

    def _changing(self) -> AbstractContextManager[None]:
        return locked(self._lock, "the spool of the traffic is being changed by another process; wait for it", PATIENCE)


def len_of(lines: Sequence[Exchange] | Sequence[Feedback]) -> int:
    """Bytes of `lines` in a file."""
    return sum(len(line.model_dump_json().encode()) + 1 for line in lines)
