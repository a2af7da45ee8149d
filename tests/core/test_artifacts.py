"""Artefacts: named by content, whole or not at all, checked before they are read."""

import errno
import os
import platform
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.artifacts import Artifact, ArtifactStore
from wheelwork.core.digests import digest_file, digest_folder
from wheelwork.core.errors import ConfigError, DataError, DependencyError, WorkspaceError
from wheelwork.core.samples import Message, Sample


def sample(text: str = "hi") -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content="greet")]
    return Sample.make(turns, task="classify", origin="seed", label="greet")


def adapter(folder: Path, weights: bytes = b"\0\1\2") -> Path:
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "adapter.safetensors").write_bytes(weights)
    (folder / "tokenizer" / "vocab.json").write_text("{}")
    return folder


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def files_in(store: ArtifactStore) -> list[str]:
    """Every file of a store, whatever its name, relative to the root."""
    fs, root = fsspec.core.url_to_fs(store.root)
    return sorted(str(name).removeprefix(root).lstrip("/") for name in fs.find(root))


def spoil(artifact: Artifact, data: bytes = b"something else") -> None:
    with fsspec.open(artifact.uri, "wb") as stream:
        stream.write(data)


def test_samples_come_back_and_are_stored_once(store: ArtifactStore) -> None:
    written = [sample("one"), sample("two"), sample("one")]
    first, again = store.write_samples(iter(written)), store.write_samples(written)
    assert first == again and first.rows == 3
    assert files_in(store) == [f"samples/{first.digest[:2]}/{first.digest}.parquet"]
    assert list(store.samples(first)) == written
    assert list(ArtifactStore("elsewhere").samples(first)) == written  # reading goes by the artefact's URI
    assert store.write_samples(written[:2]) != first


def test_a_file_is_replaced_and_never_written_into(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    before = Path(store.write_samples([sample()]).uri).stat().st_ino
    assert Path(store.write_samples([sample()]).uri).stat().st_ino != before  # a reader keeps the file it has open


def test_no_samples_are_an_artefact_too(store: ArtifactStore) -> None:
    empty = store.write_samples([])
    assert empty.rows == 0 and list(store.samples(empty)) == [] and store.exists(empty)


def test_the_digest_is_the_sha256_of_the_file(tmp_path: Path) -> None:
    artifact = ArtifactStore(str(tmp_path)).write_samples([sample()])
    assert artifact.digest == digest_file(Path(artifact.uri))


@settings(deadline=None, max_examples=20)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])), st.lists
    )
)
def test_json_comes_back(value: Any) -> None:
    store = ArtifactStore("memory://json")
    assert store.read_json(store.write_json(value)) == value


def test_equal_values_and_bytes_are_one_artefact(store: ArtifactStore) -> None:
    assert store.write_json({"a": 1, "b": "é"}) == store.write_json({"b": "é", "a": 1})
    blob = store.write_bytes(b"weights", ".bin", rows=7)
    assert (store.read_bytes(blob), blob.rows, blob.uri.rpartition("/")[2]) == (b"weights", 7, f"{blob.digest}.bin")
    assert len(files_in(store)) == 2
    with pytest.raises(ValueError, match=r"a suffix looks like \.json"):
        store.write_bytes(b"", "../x.json")


def test_a_folder_is_named_by_its_content_and_comes_back(store: ArtifactStore, tmp_path: Path) -> None:
    artifact = store.write_folder(adapter(tmp_path / "a"))
    assert artifact == store.write_folder(adapter(tmp_path / "b"))
    assert artifact != store.write_folder(adapter(tmp_path / "c", b"other"))
    assert artifact.digest == digest_folder(tmp_path / "a")
    fetched = store.fetch_folder(artifact)
    assert (fetched / "adapter.safetensors").read_bytes() == b"\0\1\2"
    assert (fetched / "tokenizer" / "vocab.json").read_text() == "{}"
    assert (str(fetched) == artifact.uri) == (not artifact.uri.startswith("memory"))
    assert len(files_in(store)) == 4


def test_links_in_a_folder_are_followed(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "blobs")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "w.bin").symlink_to(folder / "adapter.safetensors")
    store = ArtifactStore(str(tmp_path / "store"))
    copy = store.fetch_folder(store.write_folder(tmp_path / "snapshot")) / "w.bin"
    assert copy.read_bytes() == b"\0\1\2" and not copy.is_symlink()


def test_a_remote_folder_is_downloaded_once(tmp_path: Path, workspace: Path) -> None:
    store = ArtifactStore(f"memory://{uuid.uuid4().hex}")
    artifact = store.write_folder(adapter(tmp_path / "a"))
    fetched = store.fetch_folder(artifact)
    assert workspace in fetched.parents
    fs, path = fsspec.core.url_to_fs(artifact.uri)
    fs.rm(path, recursive=True)
    assert store.fetch_folder(artifact) == fetched
    assert not store.exists(artifact)
    (fetched / "adapter.safetensors").write_bytes(b"altered in the cache")
    with pytest.raises(DataError, match="is missing"):
        store.fetch_folder(artifact)
    store.write_folder(tmp_path / "a")
    assert digest_folder(store.fetch_folder(artifact)) == artifact.digest
    assert [left.name for left in fetched.parent.iterdir()] == [artifact.digest]


@pytest.mark.parametrize("folder", ["none", "empty"])
def test_a_folder_without_files_is_refused(store: ArtifactStore, tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(DataError, match=f"{folder}: there is no such folder, or it holds no file"):
        store.write_folder(tmp_path / folder)


def read_samples(store: ArtifactStore, artifact: Artifact) -> list[Sample]:
    return list(store.samples(artifact))


@pytest.mark.parametrize("read", [read_samples, ArtifactStore.read_bytes, ArtifactStore.read_json])
def test_a_missing_or_altered_file_is_named_and_made_anew(
    store: ArtifactStore, read: Callable[[ArtifactStore, Artifact], Any]
) -> None:
    artifact = store.write_samples([sample()])
    spoil(artifact)
    assert not store.exists(artifact)
    with pytest.raises(
        DataError, match=rf"{artifact.digest}\.parquet: this artefact was altered; run the step .* anew"
    ):
        read(store, artifact)
    fs, path = fsspec.core.url_to_fs(artifact.uri)
    fs.rm(path)
    assert not store.exists(artifact)
    with pytest.raises(DataError, match=rf"{artifact.digest}\.parquet: this artefact is missing; run the step .* anew"):
        read(store, artifact)
    spoil(artifact)
    assert store.write_samples([sample()]) == artifact
    assert store.exists(artifact) and list(store.samples(artifact)) == [sample()]


@pytest.mark.parametrize("name", ["adapter.safetensors", "added.txt"])
def test_an_altered_folder_is_named_and_made_anew(store: ArtifactStore, tmp_path: Path, name: str) -> None:
    artifact = store.write_folder(adapter(tmp_path / "a"))
    assert store.exists(artifact)
    with fsspec.open(f"{artifact.uri}/{name}", "wb") as stream:
        stream.write(b"something else")
    assert not store.exists(artifact)
    with pytest.raises(DataError, match=rf"{artifact.digest}: this artefact was altered; run the step .* anew"):
        store.fetch_folder(artifact)
    assert store.write_folder(tmp_path / "a") == artifact
    assert store.exists(artifact) and digest_folder(store.fetch_folder(artifact)) == artifact.digest


def test_a_missing_folder_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    artifact = store.write_folder(adapter(tmp_path / "a"))
    fs, path = fsspec.core.url_to_fs(artifact.uri)
    fs.rm(path, recursive=True)
    with pytest.raises(DataError, match=rf"{artifact.digest}: this artefact is missing"):
        store.fetch_folder(artifact)


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError])
def test_an_interrupted_write_leaves_nothing(store: ArtifactStore, error: type[BaseException]) -> None:
    def interrupted() -> Iterator[Sample]:
        yield from (sample(str(number)) for number in range(3_000))
        raise error("rows.csv:3: no label")

    with pytest.raises(error, match="no label"):
        store.write_samples(interrupted())
    assert files_in(store) == []


KILLED = """
import sys, time
from wheelwork.core.artifacts import ArtifactStore
from wheelwork.core.samples import Message, Sample

def endless():
    for number in range(5_000):
        yield Sample.make([Message(role="user", content=f"{number}")], task="t", origin="seed")
    print("writing", flush=True)
    time.sleep(60)

ArtifactStore(sys.argv[1]).write_samples(endless())
"""


def test_a_killed_write_leaves_nothing_that_could_be_taken_for_an_artefact(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "store")], stdout=subprocess.PIPE)
    assert writer.stdout is not None and writer.stdout.readline() == b"writing\n"
    (unfinished,) = (tmp_path / "store").rglob("*.parquet")
    assert unfinished.stat().st_size > 0  # it streams: 5,000 rows are on disk before the last one is known
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert [path.name for path in (tmp_path / "store").iterdir()] == [".tmp"]
    store = ArtifactStore(str(tmp_path / "store"))
    artifact = store.write_samples([sample()])
    assert store.exists(artifact) and not unfinished.exists()
    assert files_in(store) == [artifact.uri.removeprefix(f"{store.root}/")]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    def full() -> Iterator[Sample]:
        yield sample()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WorkspaceError, match=r"store.*: the disk is full; free some space"):
        ArtifactStore(str(tmp_path / "store")).write_samples(full())
    assert files_in(ArtifactStore(str(tmp_path / "store"))) == []


def test_a_store_that_fsspec_does_not_know_is_refused_at_the_door() -> None:
    with pytest.raises(ConfigError, match=r"nowhere://x: cannot be used as an artefact store: Protocol not known"):
        ArtifactStore("nowhere://x")


def test_uris_outlive_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = ArtifactStore("store")
    artifact = store.write_json({"a": 1})
    monkeypatch.chdir("/")
    assert store.read_json(artifact) == {"a": 1} and ArtifactStore(store.root) == store
    assert Path(artifact.uri).is_relative_to(tmp_path / "store")


class Failing(MemoryFileSystem):
    """A remote store whose connection breaks at the move number `left`."""

    protocol = "failing"
    left = 0

    def mv(self, *args: Any, **kwargs: Any) -> None:
        Failing.left -= 1
        if Failing.left < 0:
            raise ConnectionError("reset by peer")
        super().mv(*args, **kwargs)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("failing://", "memory://")))


fsspec.register_implementation("failing", Failing, clobber=True)


def test_a_remote_store_that_breaks_leaves_nothing_that_counts(tmp_path: Path) -> None:
    store = ArtifactStore(f"failing://{uuid.uuid4().hex}")
    Failing.left = 1
    with pytest.raises(DependencyError, match=r"failing://.*did not answer \(reset by peer\); check the address"):
        store.write_folder(adapter(tmp_path / "a"))
    (half,) = files_in(store)  # the first of two files arrived, and nothing is left under a temporary name
    digest = digest_folder(tmp_path / "a")
    halfway = Artifact(uri=f"{store.root}/folders/{digest[:2]}/{digest}", digest=digest)
    assert half.startswith(f"folders/{digest[:2]}/{digest}/") and not store.exists(halfway)
    with pytest.raises(DataError, match="altered"):
        store.fetch_folder(halfway)
    Failing.left = 2
    assert store.write_folder(tmp_path / "a") == halfway and store.exists(halfway)
    assert store.write_folder(tmp_path / "a") == halfway  # what is there is not sent again: no move is left


def test_what_a_killed_process_left_is_cleared_away_and_what_a_living_one_makes_is_not(tmp_path: Path) -> None:
    scratch = tmp_path / "store" / ".tmp"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = scratch / f"wheelwork-{gone.pid}@{platform.node()}~abc"
    old, month_ago = scratch / "wheelwork-1@elsewhere~old", time.time() - 30 * 24 * 3600
    others = [scratch / f"wheelwork-{os.getppid()}@{platform.node()}~abc", scratch / "wheelwork-1@elsewhere~abc"]
    for folder in (left, old, *others):
        folder.mkdir(parents=True)
    os.utime(old, (month_ago, month_ago))
    ArtifactStore(str(tmp_path / "store")).write_json({})
    assert not left.exists() and not old.exists()
    assert all(folder.exists() for folder in others)
