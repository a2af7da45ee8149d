"""A version of the pool as a data set for other tools: the rows, a dataset card, and LLaMA-Factory's description."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..digests import digest_file
from ..errors import DataError
from ..formats import SPEAKER_OF, Format, write_samples
from ..loops import LoopSettings
from ..samples import Role
from ..workspace import write_text
from .card import DataFile, card
from .store import Pool

DATA = "data.jsonl"
ALSO = ("id", "task", "origin", "source", "round", "parent_id", "weight")
# as LLaMA-Factory names the columns of each format: its name → ours
COLUMNS: dict[Format, dict[str, str]] = {
    "messages": {"messages": "messages"},
    "sharegpt": {"messages": "conversations"},
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output", "system": "system"},
    "prompt_completion": {"prompt": "prompt", "response": "completion", "system": "system"},
    "text_label": {"prompt": "text", "response": "label"},
}
# its speakers → our roles
SPEAKERS: dict[str, Role] = {"user": "user", "assistant": "assistant", "observation": "tool", "system": "system"}


def export(pool: Pool, version: str, settings: LoopSettings, ref: str, format: Format, out: Path) -> int:
    """Write the accepted samples of `version` into the folder `out`, and return how many they were.

    The card calls the loop `ref`, the name of its folder: a whole path says too much of the machine. Raises DataError
    when the version has none, the folder holds other files, or the format cannot hold a sample.
    """
    names = (DATA, "README.md", "dataset_info.json")
    if out.exists() and (not out.is_dir() or any(path.name not in names for path in out.iterdir())):
        raise DataError(f"{out}: holds other files; give the name of a new folder")
    view = pool.view(version)
    if not view.accepted:
        raise DataError(f"the pool of `{pool.loop}` has no accepted sample at {version[:12]}; nothing was written")
    rows = write_samples(out / DATA, pool.samples(view.accepted), format, ALSO)
    digest = digest_file(out / DATA)
    write_text(out / "README.md", card(settings, view, ref, DataFile(DATA, format, digest)))
    described = json.dumps({settings.name: describe(format)}, indent=2) + "\n"
    write_text(out / "dataset_info.json", described)
    return rows


def describe(format: Format) -> Mapping[str, Any]:
    """The entry of LLaMA-Factory's `dataset_info.json` for a file in `format`."""
    described = {"file_name": DATA, "formatting": "alpaca", "columns": COLUMNS[format]}
    if format in ("alpaca", "prompt_completion", "text_label"):
        return described
    who, what = ("role", "content") if format == "messages" else ("from", "value")
    tags = {f"{theirs}_tag": ours if format == "messages" else SPEAKER_OF[ours] for theirs, ours in SPEAKERS.items()}
    return described | {"formatting": "sharegpt", "tags": {"role_tag": who, "content_tag": what, **tags}}
