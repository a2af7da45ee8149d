"""Random ids without a call of the system for each: it takes longer than everything else that an id costs."""

import secrets

AT_ONCE = 4096  # bytes that are drawn together


class Draws:
    """Hex digits that nobody can guess, each given once. For one thread."""

    def __init__(self) -> None:
        self._pool, self._at = b"", 0

    def __call__(self, size: int) -> str:
        """`2 * size` hex digits."""
        if self._at + size > len(self._pool):
            self._pool, self._at = secrets.token_bytes(AT_ONCE), 0
        told = self._pool[self._at : self._at + size].hex()
        self._at += size
        return told


drawn = Draws()
