"""How much memory and disk there is for a training, as the machine and its container tell."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from ...errors import WorkspaceError

CGROUPS = Path("/sys/fs/cgroup")
GIGABYTE = 1 << 30
STATES = 2  # numbers that Adam keeps for each weight
KEPT = 2  # checkpoints that lie beside each other; while a third is written there are three


def available_memory(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes that this process can still take: what the machine has, or what its container leaves, if that is less."""
    return min([int(psutil.virtual_memory().available), *_left_by_containers(root, own)])


def _left_by_containers(root: Path, own: Path) -> Iterator[int]:
    """What is left below the limit of each control group that this process is in (version 2); nothing where none is."""
    try:
        (place,) = (line[3:] for line in own.read_text(encoding="utf-8").splitlines() if line.startswith("0::"))
    except (OSError, ValueError):  # no Linux, or groups of version 1
        return
    folder = root / place.strip("/")
    for group in (folder, *folder.parents):
        if not group.is_relative_to(root):
            return
        try:
            limit = int((group / "memory.max").read_text(encoding="utf-8"))
            taken = int((group / "memory.current").read_text(encoding="utf-8"))
            stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):  # the root has no such files, and "max" is no limit
            continue
        yield max(0, limit - taken + int(stat.get("inactive_file", 0)))  # pages of files are given back on demand


def refuse_full_disk(folder: Path, weights: int, *, best: bool, free: int | None = None) -> None:
    """Raise WorkspaceError when the checkpoints of a training would not fit on the disk of `folder`.

    A checkpoint holds the trained weights, of so many bytes, what Adam keeps of each, and the `best` weights so far if
    they are kept apart; then there is the adapter itself. `free` bytes are looked up unless given.
    """
    needed = weights * ((1 + STATES + best) * (KEPT + 1) + 1)
    while not folder.exists():
        folder = folder.parent
    found = shutil.disk_usage(folder).free if free is None else free
    if needed > found:
        raise WorkspaceError(
            f"{folder}: the checkpoints of this training need {needed / GIGABYTE:.2g} GB and {found / GIGABYTE:.2g} GB "
            "are free; free some space, or lower `train.rank`"
        )
