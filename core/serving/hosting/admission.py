"""Is what would be served what was measured? Asked before an engine sees an adapter. Blocks: called in threads."""

from typing import NamedTuple

from ...digests import digest_of
from ...engines.base import ADAPTER_FILES, Adapter
from ...errors import DependencyError, ModelError
from ...registry.fingerprint import Fingerprint, check_measured
from .parts import Hosted, Release
from .shelf import Kept, Shelf

ABSENT = "absent"  # the grounds on which a version that there is not is refused


class Admitted(NamedTuple):
    """A version that may be served, and the grounds on which it may."""

    version: str
    adapter: Adapter
    fingerprint: Fingerprint
    grounds: str

    @property
    def kept(self) -> Kept:
        return Kept(version=self.version, digest=self.adapter.digest, measured=self.fingerprint)


class Look(NamedTuple):
    """What is there of a version. Two looks with equal `grounds` found the same."""

    version: str
    release: Release | None
    found: Fingerprint | None
    grounds: str


class Admission:
    """Looks at versions of one loop, and lets in those that are what was measured."""

    def __init__(self, hosted: Hosted, shelf: Shelf) -> None:
        self._hosted = hosted
        self._shelf = shelf

    def look(self, version: str, *, offline: bool = False) -> Look:
        """What the registry, or without it the shelf, has of `version`; `offline` asks the shelf first.

        Raises DependencyError where the registry does not answer and the version was not served last, ModelError
        where the base's files cannot be read.
        """
        release = self._shelf.recall(version) if offline else None
        try:
            release = release or self._hosted.releases.release(version)
        except DependencyError:
            if (release := self._shelf.recall(version)) is None:
                raise
        if release is None:
            return Look(version, None, None, ABSENT)
        found = self._hosted.fingerprint(release.digest)
        measured = release.measured.digest if release.measured else None
        files = [_seen(release, name) for name in ADAPTER_FILES]
        return Look(version, release, found, digest_of([release.digest, measured, found.digest, files]))

    def admit(self, look: Look) -> Admitted:
        """Raises ModelError, with the reason, for what may not be served; WorkspaceError for the disk."""
        what = self._what(look.version)
        if look.release is None or look.found is None:
            raise ModelError(f"{what}: the registry has no such version; MLflow's page lists those there are")
        check_measured(look.release.measured, look.found, what)
        adapter = self._shelf.take(look.release, what)
        return Admitted(look.version, adapter, look.found, look.grounds)

    def check_again(self, admitted: Admitted) -> None:
        """Raise ModelError where files of the base or the adapter are others than when `admitted` was let in."""
        what = self._what(admitted.version)
        digest = Adapter.at(admitted.adapter.folder).digest
        check_measured(admitted.fingerprint, self._hosted.fingerprint(digest), what)

    def _what(self, version: str) -> str:
        return f"{self._hosted.name} version {version}"


def _seen(release: Release, name: str) -> list[int]:
    """Size and time of a file, both -1 where there is none."""
    try:
        told = (release.folder / name).stat()
    except OSError:
        return [-1, -1]
    return [told.st_size, told.st_mtime_ns]
