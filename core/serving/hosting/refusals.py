"""Versions that get no traffic, and on what grounds; one is tried again when these are others."""

from typing import NamedTuple

MOST = 256  # versions that callers name are endless


class Refusal(NamedTuple):
    """`grounds` names the files, digests and measurements that were looked at; `again` is when to try all the same."""

    reason: str
    grounds: str
    again: float | None = None


class Refusals(dict[str, Refusal]):
    """Version → why it is not served. `again` is in seconds of the clock that `passed` is given."""

    def __setitem__(self, version: str, refusal: Refusal) -> None:
        self.pop(version, None)
        super().__setitem__(version, refusal)
        while len(self) > MOST:
            del self[next(iter(self))]

    def passed(self, now: float) -> list[str]:
        """Take out, and return, those that may have been a passing trouble and whose time has come."""
        over = [version for version, one in self.items() if one.again is not None and one.again <= now]
        for version in over:
            del self[version]
        return over
