"""Where state lives, and how files come into being: whole or not at all."""

import errno
import getpass
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from .errors import BusyError, WorkspaceError

WEEK = 7 * 24 * 3600  # seconds


def home() -> Path:
    """The state folder: `WHEELWORK_HOME`, by default `.wheelwork` in the working directory."""
    return Path(os.environ.get("WHEELWORK_HOME", ".wheelwork")).resolve()


def user_name() -> str:
    """Who is at this machine, for logs that say who did it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return "unknown"


@contextmanager
def explaining_disk_errors(folder: Path) -> Iterator[None]:
    """Turn the operating system's disk errors into one sentence that names `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkspaceError(f"{folder}: the disk is full; free some space, then run the command again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise WorkspaceError(
                f"{folder}: cannot be written; set WHEELWORK_HOME to a folder of yours, or give yourself the rights"
            ) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise WorkspaceError(f"{folder}: a file is in the way of this folder; move it, then try again") from error
        raise


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, renamed to `target` when the block ends well.

    A file or a folder; a failure leaves nothing behind, an existing target folder is replaced.
    """
    with explaining_disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        temporary = scratch / target.name
        try:
            yield temporary
            if target.is_dir():
                temporary.lstat()  # nothing was written: say so before the old is touched
                target.rename(scratch / f"{target.name}.replaced")
            temporary.replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(path: Path, busy: str, patience: float = 0) -> Iterator[None]:
    """Hold the lock `path`, whose folder is made; it is the kernel's, so that a killed process leaves none behind.

    Raises BusyError with the sentence `busy` where another process holds it for longer than `patience` seconds.
    """
    with explaining_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise BusyError(busy) from None
    try:
        yield
    finally:
        lock.release()


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target`, whole or not at all."""
    with writing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def scratch_in(folder: Path, prefix: str = "wheelwork-") -> Iterator[Path]:
    """A folder to make something in, below `folder`; gone afterwards, at the latest when the next one is made.

    Its name begins with `prefix` and says whose it is, so that what a killed process left is told from what another
    one is making.
    """
    with explaining_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{prefix}*@*~*"):
            with suppress(OSError):
                if _abandoned(left, prefix):
                    shutil.rmtree(left)
        owner = f"{prefix}{os.getpid()}@{platform.node()}~"
        with tempfile.TemporaryDirectory(prefix=owner, dir=folder) as scratch:
            yield Path(scratch)


def _abandoned(scratch: Path, prefix: str) -> bool:
    """Whether who made something here was killed: no such process on this machine, or a week without a sign."""
    pid, _, machine = scratch.name.removeprefix(prefix).partition("~")[0].partition("@")
    if machine == platform.node() and pid.isdigit() and not psutil.pid_exists(int(pid)):
        return True
    return time.time() - scratch.stat().st_mtime > WEEK
