"""What should be served, as MLflow says: asked twice a second; a look mostly costs no more than a few `stat`s."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args
from urllib.parse import unquote

from ..core.registry.fingerprint import recorded_in
from ..core.registry.journal import CHAMPION, Kind
from ..core.registry.record import CHAMPION_TAG, journal_of
from ..core.serving.hosting.parts import Release, Standing

if TYPE_CHECKING:
    from .registry import ModelRegistry

OLDEST = 10.0  # seconds after which MLflow is asked in any case
SETTLING = 0.1  # seconds within which a second write may leave a file's time as it is
Files = tuple[tuple[int, int], ...]


class MlflowReleases:
    """The releases of one loop, as a gateway asks for them; see `core.serving.hosting.parts.Releases`.

    MLflow is the truth. Where it keeps its data in a SQLite file on this machine, it is asked only when that file or
    the loop's journal was written to, or after ten seconds; a server is asked at each look. Every method raises
    DependencyError when MLflow does not answer.
    """

    def __init__(self, loop: str, home: Path, clock: Callable[[], float] = time.time) -> None:
        self._loop = loop
        self._clock = clock
        self._registry: ModelRegistry | None = None  # imported when it is asked: MLflow takes seconds
        self._journal = journal_of(home, loop, clock).path
        self._files: Files | None = None
        self._asked = 0.0
        self._standing: Standing | None = None

    def champion(self) -> Standing:
        """Who is champion, and by what kind of move, as far as whoever moved it left word."""
        now, files = self._clock(), self._seen()
        if self._standing is not None and files is not None and files == self._files and now < self._asked + OLDEST:
            return self._standing
        registry = self._open()
        version = registry.aliases().get(CHAMPION)
        if self._standing is None or version != self._standing.version:
            self._standing = Standing(version, self._kind(registry, version))
        # a file that was only just written to may be written to again without another time
        settled = files is not None and all(now - changed / 1e9 > SETTLING for changed, _ in files)
        self._files, self._asked = files if settled else None, now
        return self._standing

    def release(self, version: str) -> Release | None:
        """A version's adapter, fetched to this machine, and what was measured of it; None where there is none."""
        registry = self._open()
        if not version.isdigit() or (found := registry.version(version)) is None:
            return None
        if "adapter_digest" not in found.tags:  # somebody registered it by hand: nothing is known of it
            return Release(version, Path(), "", None)
        adapter = registry.adapter(version)
        return Release(version, adapter.folder, adapter.digest, recorded_in(found.tags))

    def _open(self) -> "ModelRegistry":
        """Made at the first need: a gateway starts without MLflow too, and serves while it is imported."""
        if self._registry is None:
            from .registry import ModelRegistry

            self._registry = ModelRegistry(self._loop)
        return self._registry

    def _kind(self, registry: "ModelRegistry", version: str | None) -> Kind:
        """The kind of the last move; `outside` where the tag is of another one, as after a move by hand."""
        try:
            told = json.loads(registry.tags()[CHAMPION_TAG])
            if told["version"] == version and told["kind"] in get_args(Kind):
                return cast(Kind, told["kind"])
        except (KeyError, ValueError, TypeError):
            pass
        return "outside"

    def _seen(self) -> Files | None:
        """Time (ns) and size of what is written to when an alias moves; None where MLflow is no file here."""
        if (database := sqlite_file()) is None:
            return None
        beside = [database.with_name(f"{database.name}{end}") for end in ("-wal", "-journal")]
        return tuple(_stat(path) for path in (database, *beside, self._journal))


def sqlite_file() -> Path | None:
    """The file that MLflow keeps its data in; None where that is a server, or nothing is set."""
    from mlflow import get_registry_uri

    scheme, _, path = str(get_registry_uri()).partition(":///")
    if scheme not in ("sqlite", "sqlite+pysqlite"):
        return None
    return Path(unquote(path.partition("?")[0]))


def _stat(path: Path) -> tuple[int, int]:
    try:
        told = path.stat()
    except OSError:
        return (0, -1)
    return (told.st_mtime_ns, told.st_size)
