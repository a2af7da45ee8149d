"""A user's traffic deleted, wherever it is, and what was learnt of it."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ..ledger.store import Ledger
from ..pool.store import Pool
from ..rows import read_rows, write_rows
from .archive import Archive
from .corrections import SOURCE
from .preferences import SCHEMA, pairs_path
from .redaction import hasher
from .retention import forget_user
from .spool import Spool


class Forgotten(NamedTuple):
    """How much was deleted, and what came of it before: ids of samples in the pool, and of items in the ledger."""

    exchanges: int
    pairs: int
    samples: list[str]
    items: list[str]


def forget(home: Path, archive: Archive, loop: str, user: str) -> Forgotten:
    """Delete all exchanges of `user`, as the gateway was told the name, from database, spool and pairs.

    Pool and ledger are for people to decide on: what is in them is told, and stays. Done twice it deletes nothing, and
    no longer knows what was learnt.
    """
    hashed = hasher(home)(user)
    ids = forget_user(archive, loop, hashed)
    waiting = Spool(home, 0).forget(lambda one: one.loop == loop and one.user == hashed, ids)
    sources = {f"{SOURCE}{id}" for id in ids}
    pool = Pool(home, loop)
    samples = [entry.id for entry in pool.view(pool.head()).entries.values() if entry.source in sources]
    held = Ledger(home, loop).held()
    items = [id for id, one in held.items() if one.active and one.entry.origin.source in sources]
    return Forgotten(len(ids) + waiting, _without_pairs(pairs_path(home, loop), set(ids)), samples, items)


def _without_pairs(path: Path, ids: Collection[str]) -> int:
    if not path.exists() or not ids:
        return 0
    rows = [row for _, row in read_rows(path)]
    left = [row for row in rows if not set(str(row.get("of", "")).split()) & set(ids)]
    if len(left) < len(rows):
        write_rows(path, left, SCHEMA)
    return len(rows) - len(left)
