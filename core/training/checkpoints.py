"""Checkpoints of a training: which one to go on from, and what it means when they cannot be written."""

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..workspace import explaining_disk_errors

FOLDER = re.compile(r"checkpoint-(\d+)")


def last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """The newest whole checkpoint in `folder` and its step, or None and 0."""
    for step, path in checkpoints_in(folder):
        return path, step
    return None, 0


def checkpoints_in(folder: Path) -> Iterator[tuple[int, Path]]:
    """Step and folder of every whole checkpoint in `folder`, the newest first.

    The state file is written last, so where it is whole the rest is whole too.
    """
    numbered = [(int(match[1]), path) for path in folder.glob("*") if (match := FOLDER.fullmatch(path.name))]
    for step, path in sorted(numbered, reverse=True):
        try:
            state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if state.get("global_step") == step:
            yield step, path


@contextmanager
def explaining_write_errors(folder: Path) -> Iterator[None]:
    """Turn what a full or forbidden disk makes of a checkpoint into WorkspaceError.

    safetensors (Rust) and torch.save (C++) raise errors of their own that say so only in words.
    """
    with explaining_disk_errors(folder):
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError):
                raise
            if match := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(match[1]), os.strerror(int(match[1]))) from error
            if "inline_container.cc" in str(error):  # torch's zip writer found that bytes are missing
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
