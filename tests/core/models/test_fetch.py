"""pip itself, against indexes on this machine."""

import errno
import socket
import time
import zipfile
from pathlib import Path

import pytest
from wheelwork.core.errors import ModelError
from wheelwork.core.models.fetch import explain_pip, pip_download


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody listens


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_pip_leaves_one_wheel(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = tmp_path / "links"
    links.mkdir()
    with zipfile.ZipFile(links / "enc-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("enc/model.bin", b"w" * 1000)
        archive.writestr("enc-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: enc\nVersion: 1.0\n")
        archive.writestr("enc-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("enc-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    pip_download("enc==1.0", folder, lambda done: None)
    assert [path.name for path in folder.iterdir()] == ["enc-1.0-py3-none-any.whl"]
    with pytest.raises(ModelError, match=r"enc==2.0: pip cannot download it \(No matching distribution"):
        pip_download("enc==2.0", folder, lambda done: None)


def test_an_index_out_of_reach_is_one_sentence(folder: Path) -> None:
    with pytest.raises(
        ModelError, match=r"enc==1.0: the package index cannot be reached \(.*refused.*\); check"
    ) as caught:
        pip_download("enc==1.0", folder, lambda done: None)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_ctrl_c_ends_pip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_index:
        silent_index.settimeout(20)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple")
        connections: list[socket.socket] = []

        def interrupt(done: int) -> None:
            if not connections:
                connections.append(silent_index.accept()[0])
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pip_download("enc==1.0", folder, interrupt)
        (connection,) = connections
        with connection:
            connection.settimeout(10)
            started = time.monotonic()
            while connection.recv(4096):
                pass
            assert time.monotonic() - started < 5, "pip still held the connection"


@pytest.mark.parametrize(
    ("log", "number"),
    [
        ("ERROR: Exception:\n...\nOSError: [Errno 28] No space left on device\n", errno.ENOSPC),
        ("ERROR: Could not install packages due to an OSError: [Errno 30] Read-only file system: '/x'\n", errno.EROFS),
    ],
)
def test_what_the_disk_did_is_the_disks_error(log: str, number: int) -> None:
    found = explain_pip("enc==1.0", log)
    assert isinstance(found, OSError) and found.errno == number


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("/usr/bin/python: No module named pip\n", "has no pip"),
        ("", "it said nothing"),
        ("ERROR: Exception:\nTraceback\nValueError: odd " + "x" * 500, "ValueError: odd x"),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NameResolutionError(\"Failed to resolve "
            "'index.example'\")': /simple/enc/\nERROR: No matching distribution found for enc==1.0",
            "cannot be reached.*Failed to resolve 'index.example'",
        ),
    ],
)
def test_what_pip_says_is_shortened_to_the_line_that_matters(log: str, says: str) -> None:
    import re

    found = explain_pip("enc==1.0", log)
    assert isinstance(found, ModelError) and re.search(says, str(found)) and len(str(found)) < 400
