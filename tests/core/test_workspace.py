"""Files come into being whole or not at all, and a disk that refuses is told in one sentence."""

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheelwork.core.errors import WorkspaceError
from wheelwork.core.workspace import explaining_disk_errors, home, write_text, writing

NOBODY = 65534


def lying_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with writing(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.name == target.name  # so that a writer can go by the ending
    assert target.read_text() == "new"
    assert lying_in(target.parent) == ["a.txt"]


def test_an_existing_file_stays_readable_until_it_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with writing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "stale").touch()
    with writing(target) as temporary:
        temporary.mkdir()
        (temporary / "fresh").touch()
    assert lying_in(target) == ["fresh"]
    assert lying_in(tmp_path) == ["model"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("before", ["nothing", "a file", "a folder"])
def test_a_failure_leaves_nothing_behind_and_the_old_as_it_was(
    tmp_path: Path, failure: type[BaseException], before: str
) -> None:
    target = tmp_path / "a"
    if before == "a file":
        target.write_text("old")
    elif before == "a folder":
        target.mkdir()
        (target / "old").touch()
    there = lying_in(tmp_path)
    with pytest.raises(failure), writing(target) as temporary:
        temporary.mkdir()
        (temporary / "half").write_text("done")
        raise failure
    assert lying_in(tmp_path) == there
    if before == "a file":
        assert target.read_text() == "old"
    elif before == "a folder":
        assert lying_in(target) == ["old"]


def test_a_block_that_writes_nothing_is_an_error_and_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(FileNotFoundError), writing(tmp_path / "model"):
        pass
    assert lying_in(tmp_path) == ["model"]
    assert lying_in(tmp_path / "model") == ["old"]


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "光\n")
    assert (tmp_path / "a.txt").read_bytes() == "光\n".encode()


# what the disk refuses


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that nobody may write, seen by somebody who is not root."""
    folder = Path(tempfile.mkdtemp())  # not under tmp_path, whose parents another user may not enter
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    yield folder
    if root:
        os.seteuid(0)
    folder.rmdir()


def test_a_read_only_folder_is_told(read_only: Path) -> None:
    for target in (read_only / "a.txt", read_only / "deep" / "a.txt"):
        with pytest.raises(
            WorkspaceError, match=rf"^{target.parent}: cannot be written; set WHEELWORK_HOME to"
        ) as told:
            write_text(target, "x")
        assert told.value.exit_code == 2
    assert lying_in(read_only) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    told = pytest.raises(WorkspaceError, match=rf"^{tmp_path}: the disk is full; free some space")
    with told, writing(tmp_path / "a.txt") as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("x" * 100_000)
    assert lying_in(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "cannot be written"),
        (errno.EPERM, "cannot be written"),
        (errno.EROFS, "cannot be written"),
        (errno.ENOTDIR, "is in the way"),
        (errno.EEXIST, "is in the way"),
    ],
)
def test_each_refusal_has_its_sentence(number: int, says: str) -> None:
    with pytest.raises(WorkspaceError, match=rf"^/some/where: .*{says}"), explaining_disk_errors(Path("/some/where")):
        raise OSError(number, os.strerror(number))


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(OSError, match="broken"), explaining_disk_errors(Path("/some/where")):
        raise OSError(errno.EIO, "broken")


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    for target in (tmp_path / "state" / "a.txt", tmp_path / "state" / "deep" / "a.txt"):
        with pytest.raises(WorkspaceError, match="is in the way"):
            write_text(target, "x")


def test_state_lives_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHEELWORK_HOME", raising=False)
    assert home() == tmp_path / ".wheelwork"
    monkeypatch.setenv("WHEELWORK_HOME", "elsewhere")
    assert home() == tmp_path / "elsewhere"
