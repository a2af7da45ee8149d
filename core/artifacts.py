"""Artefacts: files and folders named by their content, on a local disk or any file system that fsspec knows.

    <root>/samples/ab/ab12….parquet    bytes/cd/cd34….json    folders/ef/ef56…/    .tmp/

The same content written twice is one artefact. It appears whole or not at all, also under `kill -9`: it is made
in `.tmp` of the same file system and renamed. Whatever is read is checked against its digest first, which also
covers folders on object stores, where a folder arrives file by file.
"""

import errno
import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field

from .digests import CHUNK, canonical_json, digest_file, digest_folder, digest_of
from .errors import ConfigError, DataError, DependencyError, WheelworkError
from .samples import Sample, read_parquet, write_parquet
from .settings import Setting
from .workspace import home, scratch_in


class Artifact(Setting):
    """A reference to stored content: what tasks pass instead of rows and models."""

    uri: str = Field(min_length=1, description="where it is: a local path, or a URL such as s3://…")
    digest: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file, or `digest_folder` of the folder")
    rows: int = Field(0, ge=0, description="how many rows it holds; 0 for what has none")


@dataclass(frozen=True)
class ArtifactStore:
    """A store below `root`, a local path or a URL; it is made when first written to.

    Reading goes by the artefact's own URI. Raises ConfigError for a URL that fsspec cannot serve, DataError for an
    artefact that is missing or altered, WorkspaceError for a disk that is full or cannot be written, and
    DependencyError when a remote store does not answer.
    """

    root: str

    def __post_init__(self) -> None:
        fs, path = _place(self.root)
        absolute = path if _is_local(fs) else fs.unstrip_protocol(path)  # URIs outlive the working directory
        object.__setattr__(self, "root", absolute.rstrip("/"))

    def write_samples(self, samples: Iterable[Sample]) -> Artifact:
        """Stream `samples` into one parquet file; memory does not grow with rows."""
        with self._scratch() as scratch:
            made = scratch / "samples.parquet"
            with made.open("wb") as stream:
                rows = write_parquet(stream, samples)
            return self._publish(made, "samples", ".parquet", rows)

    def write_bytes(self, data: bytes, suffix: str, rows: int = 0) -> Artifact:
        """Store `data` as a file that ends in `suffix`, such as `.json`."""
        if not suffix.startswith(".") or "/" in suffix:
            raise ValueError(f"a suffix looks like .json, not {suffix!r}")
        with self._scratch() as scratch:
            made = scratch / "data"
            made.write_bytes(data)
            return self._publish(made, "bytes", suffix, rows)

    def write_json(self, value: Any) -> Artifact:
        """Store `value` as canonical JSON, so that equal values are one artefact."""
        return self.write_bytes(canonical_json(value).encode(), ".json")

    def write_folder(self, folder: Path) -> Artifact:
        """Store a copy of every file below `folder`; links are followed, empty folders left out."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        if not files:
            raise DataError(f"{folder}: there is no such folder, or it holds no file; check its name")
        with self._scratch() as scratch:
            made = scratch / "folder"
            for file in files:
                copy = made / file.relative_to(folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)  # not copytree: its errors hide that the disk is full
            return self._publish(made, "folders", "", rows=0)

    def samples_at(self, digest: str, rows: int) -> Artifact:
        """The reference to samples of this digest in this store, wherever the store lies now; nothing is read."""
        return Artifact(uri=self._uri("samples", digest, ".parquet"), digest=digest, rows=rows)

    def json_at(self, digest: str) -> Artifact:
        """The reference to JSON of this digest in this store; nothing is read."""
        return Artifact(uri=self._uri("bytes", digest, ".json"), digest=digest)

    def samples(self, artifact: Artifact) -> Iterator[Sample]:
        """Stream the samples of an artefact; memory does not grow with rows."""
        with _verified(artifact) as stream:
            yield from read_parquet(stream)

    def read_bytes(self, artifact: Artifact) -> bytes:
        """The bytes of a file."""
        with _verified(artifact) as stream:
            return stream.read()

    def read_json(self, artifact: Artifact) -> Any:
        """The value that `write_json` stored."""
        return json.loads(self.read_bytes(artifact))

    def fetch_folder(self, artifact: Artifact) -> Path:
        """A local folder with the content: the artefact itself, or a copy below `home()` downloaded once."""
        fs, path = _place(artifact.uri)
        folder = Path(path) if _is_local(fs) else home() / "cache" / "folders" / artifact.digest
        if folder.is_dir() and digest_folder(folder) == artifact.digest:
            return folder
        if _is_local(fs):
            raise _altered(artifact) if folder.is_dir() else _missing(artifact.uri)
        with scratch_in(folder.parent) as scratch:
            made = scratch / folder.name
            with _reaching(artifact.uri):
                _download(fs, path, made)
            if digest_folder(made) != artifact.digest:
                raise _altered(artifact)
            _settle(made, folder, artifact.digest)
        return folder

    def exists(self, artifact: Artifact) -> bool:
        """Whether the artefact is there, whole and unaltered; reads all of it."""
        fs, path = _place(artifact.uri)
        try:
            with _reaching(artifact.uri):
                return _digest_at(fs, path) == artifact.digest
        except DataError:
            return False

    def _scratch(self) -> AbstractContextManager[Path]:
        fs, path = _place(self.root)
        return scratch_in(Path(path) / ".tmp" if _is_local(fs) else Path(tempfile.gettempdir()))

    def _publish(self, made: Path, kind: str, suffix: str, rows: int) -> Artifact:
        digest = digest_folder(made) if made.is_dir() else digest_file(made)
        uri = self._uri(kind, digest, suffix)
        fs, target = _place(uri)
        if _is_local(fs):
            _settle(made, Path(target), digest)
        else:
            with _reaching(uri, "the artefact store has no such place; create it, or check the address"):
                _upload(fs, made, f"{_place(self.root)[1]}/.tmp/{uuid.uuid4().hex}", target, digest)
        return Artifact(uri=uri, digest=digest, rows=rows)

    def _uri(self, kind: str, digest: str, suffix: str) -> str:
        return f"{self.root}/{kind}/{digest[:2]}/{digest}{suffix}"


def _settle(made: Path, target: Path, digest: str) -> None:
    """Rename `made`, whose digest is given, to `target` in the same file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if made.is_file():
        made.replace(target)
        return
    if target.is_dir() and digest_folder(target) != digest:
        shutil.rmtree(target)
    try:
        made.rename(target)
    except OSError as error:  # a folder cannot replace a folder; the one there has the same content
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextmanager
def _verified(artifact: Artifact) -> Iterator[BinaryIO]:
    """The artefact's file, opened locally and found unaltered."""
    fs, path = _place(artifact.uri)
    with ExitStack() as stack:
        stream: BufferedReader | BufferedRandom
        with _reaching(artifact.uri):
            if _is_local(fs):
                stream = stack.enter_context(Path(path).open("rb"))
            else:
                stream = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(stack.enter_context(fs.open(path, "rb")), stream, CHUNK)
        stream.seek(0)
        if hashlib.file_digest(stream, "sha256").hexdigest() != artifact.digest:
            raise _altered(artifact)
        stream.seek(0)
        yield stream


def _missing(uri: str) -> DataError:
    return DataError(f"{uri}: this artefact is missing; run the step that made it again to make it anew")


def _altered(artifact: Artifact) -> DataError:
    return DataError(f"{artifact.uri}: this artefact was altered; run the step that made it again to make it anew")


# file systems


def _place(uri: str) -> tuple[Any, str]:
    """The fsspec file system of `uri` and the path in it."""
    try:
        fs, path = url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{uri}: cannot be used as an artefact store: {error}") from None
    return fs, str(path)


def _is_local(fs: Any) -> bool:
    return isinstance(fs, LocalFileSystem)


@contextmanager
def _reaching(uri: str, missing: str = "") -> Iterator[None]:
    """Turn what the file system of `uri` raises into our errors; `missing` says what to do about a missing place."""
    try:
        yield
    except FileNotFoundError:
        raise (DataError(f"{uri}: {missing}") if missing else _missing(uri)) from None
    except WheelworkError:
        raise
    except Exception as error:  # each file system has errors of its own
        if _is_local(_place(uri)[0]):
            raise
        hint = "check the address, the credentials and the network"
        raise DependencyError(f"{uri}: the artefact store did not answer ({error}); {hint}") from error


def _files_at(fs: Any, path: str) -> dict[str, str]:
    """Relative name → full name of every file below a folder; of a file, itself under the empty name."""
    fs.invalidate_cache()
    return {str(name)[len(path) :].lstrip("/"): str(name) for name in fs.find(path)}


def _digest_at(fs: Any, path: str) -> str:
    """As `digest_file` or `digest_folder` would give, on any file system."""
    digests = {}
    for relative, name in _files_at(fs, path).items():
        digest = hashlib.sha256()
        with fs.open(name, "rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        digests[relative] = digest.hexdigest()
    return digests[""] if "" in digests else digest_of(digests)


def _download(fs: Any, path: str, target: Path) -> None:
    for relative, name in _files_at(fs, path).items():
        local = target / relative
        local.parent.mkdir(parents=True, exist_ok=True)
        fs.get_file(name, str(local))
    if not target.is_dir():
        raise FileNotFoundError(path)


def _upload(fs: Any, made: Path, passing: str, target: str, digest: str) -> None:
    """Upload a file or a folder under the name `passing`, then move it, file by file, to `target`."""
    if _digest_at(fs, target) == digest:
        return
    found = [path for path in made.rglob("*") if path.is_file()] if made.is_dir() else [made]
    names = {path: "" if path == made else f"/{path.relative_to(made).as_posix()}" for path in found}
    try:
        for path, name in names.items():
            fs.put_file(str(path), passing + name)
        if fs.exists(target):
            fs.rm(target, recursive=True)  # altered, or left halfway by a process that was killed
        for name in names.values():
            fs.makedirs((target + name).rpartition("/")[0], exist_ok=True)
            fs.mv(passing + name, target + name)
    finally:
        if fs.exists(passing):
            fs.rm(passing, recursive=True)
