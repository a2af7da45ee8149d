"""What differs between two versions of a pool."""

from typing import NamedTuple

from .versions import Entry, View


class Difference(NamedTuple):
    """Entries by what became of them from one version to the other."""

    came: list[Entry]  # as they are in the later
    left: list[Entry]  # as they were in the earlier
    marked: list[tuple[Entry, Entry]]  # whose mark changed: before, after
    excluded: dict[str, str]  # id → why, of the later alone


def difference(earlier: View, later: View) -> Difference:
    """What changed on the way from `earlier` to `later`; neither need be the other's ancestor."""
    both = [(earlier.entries[id], entry) for id, entry in later.entries.items() if id in earlier.entries]
    return Difference(
        came=[entry for id, entry in later.entries.items() if id not in earlier.entries],
        left=[entry for id, entry in earlier.entries.items() if id not in later.entries],
        marked=[(before, after) for before, after in both if before.mark != after.mark],
        excluded={id: why for id, why in later.excluded.items() if id not in earlier.excluded},
    )
