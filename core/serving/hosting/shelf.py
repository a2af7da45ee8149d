"""Checked adapters on this machine's disk, and what was served last: a gateway starts again without the registry.

<home>/serving/<loop>/v7-1a2b3c4d5e6f7a8b/   the two files of an adapter, as they were registered
<home>/serving/<loop>/last.json              who was champion, who answered, and what was measured of each
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from ...digests import SHORT
from ...engines.base import ADAPTER_FILES, Adapter
from ...errors import ModelError
from ...registry.fingerprint import Fingerprint
from ...registry.journal import Kind
from ...settings import Setting
from ...workspace import explaining_disk_errors, write_text, writing
from .parts import Release, Standing

OURS = re.compile(r"v[^/]*-[0-9a-f]{16}")
LAST = "last.json"


class Kept(Setting):
    """A version whose adapter lies on the shelf."""

    version: str
    digest: str = Field(min_length=SHORT)
    measured: Fingerprint


class Remembered(Setting):
    """What was served last."""

    standing: str | None = Field(description="champion as the registry said; null: the base")
    kind: Kind = "outside"
    answering: str | None = Field(None, description="who answered as champion")
    kept: tuple[Kept, ...] = ()

    @property
    def stood(self) -> Standing:
        return Standing(self.standing, self.kind)


class Shelf:
    """The folder of one loop. Files are as they were registered: what damages the registry's does not damage these."""

    def __init__(self, home: Path, loop: str) -> None:
        self._folder = home / "serving" / loop
        self.last = self._recall()

    def take(self, release: Release, what: str) -> Adapter:
        """The adapter of `release`, copied here and checked. `what` names it in words.

        Raises ModelError where it is no LoRA adapter in safetensors, or not the one that was registered;
        WorkspaceError for the disk.
        """
        target = self._place(release.version, release.digest)
        if target.is_dir() and _is(target, release.digest):
            return Adapter(target, release.digest)
        found = Adapter.at(release.folder)
        if found.digest != release.digest:
            raise ModelError(
                f"{what}: the files in {release.folder} are not those that were registered ({found.digest[:12]} now, "
                f"{release.digest[:12]} then); put them back, or roll back"
            )
        check_safetensors(release.folder / ADAPTER_FILES[1])
        with explaining_disk_errors(self._folder), writing(target) as temporary:
            temporary.mkdir()
            for name in ADAPTER_FILES:
                shutil.copyfile(release.folder / name, temporary / name)
        if not _is(target, release.digest):
            raise ModelError(f"{what}: its files changed while they were copied; leave them as they are")
        return Adapter(target, release.digest)

    def recall(self, version: str) -> Release | None:
        """A version that was served last, as it lies here."""
        for kept in self.last.kept if self.last else ():
            if kept.version == version:
                return Release(version, self._place(version, kept.digest), kept.digest, kept.measured)
        return None

    def remember(self, last: Remembered, needed: Iterable[Kept] = ()) -> None:
        """Write down what is served, and take away adapters that neither are nor are `needed`.

        Raises WorkspaceError.
        """
        if last != self.last:
            write_text(self._folder / LAST, last.model_dump_json(indent=1))
            self.last = last
        wanted = {self._place(kept.version, kept.digest).name for kept in (*last.kept, *needed)}
        for folder in self._folder.iterdir():
            if folder.is_dir() and OURS.fullmatch(folder.name) and folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _place(self, version: str, digest: str) -> Path:
        return self._folder / f"v{version}-{digest[:SHORT]}"

    def _recall(self) -> Remembered | None:
        """None for a file that is not there, or that no version of wheelwork wrote as it stands."""
        try:
            return Remembered.model_validate_json((self._folder / LAST).read_bytes())
        except (OSError, ValidationError):
            return None


def check_safetensors(path: Path) -> None:
    """Raise ModelError unless the file's head describes tensors that are in it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: this is no whole safetensors file ({error}); export the adapter again") from error
    if not names:
        raise ModelError(f"{path}: holds no tensor; export the adapter again")


def _is(folder: Path, digest: str) -> bool:
    try:
        return Adapter.at(folder).digest == digest
    except (ModelError, OSError):
        return False
