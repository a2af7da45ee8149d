"""Versions that callers name: kept ready for a while after they were last asked for, a few at a time."""

from ...errors import ServingError


class Pins:
    """At most `most` versions, each for `keep` seconds after its last use. Times are of one monotonic clock."""

    def __init__(self, most: int, keep: float) -> None:
        self._most = most
        self._keep = keep
        self._used: dict[str, float] = {}

    def current(self, now: float) -> tuple[str, ...]:
        """Those that are kept; what was not asked for in `keep` seconds goes."""
        self._used = {version: used for version, used in self._used.items() if now - used < self._keep}
        return tuple(self._used)

    def use(self, version: str, now: float) -> None:
        """A request came for a version that is kept; nothing where it is not."""
        if version in self._used:
            self._used[version] = now

    def claim(self, version: str, now: float) -> None:
        """Keep `version`. Raises ServingError: 404 where none may be named, 503 where as many as may be are in use."""
        if not self._most:
            raise ServingError(
                404,
                f"version {version} is not served, and none is loaded because a caller names it; ask without a version",
                code="model_not_found",
                param="model",
            )
        kept = self.current(now)
        if version not in kept and len(kept) >= self._most:
            free = min(self._used.values()) + self._keep - now
            raise ServingError(
                503,
                f"version {version} is not loaded, and as many versions as may be named at once are in use: "
                f"{', '.join(kept)}; ask for one of these, or later",
                type="server_error",
                code="too_many_versions",
                param="model",
                retry_after=max(1.0, free),
            )
        self._used[version] = now

    def drop(self, version: str) -> None:
        """Nobody can have it."""
        self._used.pop(version, None)
