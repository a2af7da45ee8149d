"""Models that lie in a folder already: are they whole, and what identifies them."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..digests import digest_files, digest_of
from ..errors import ModelError, WorkspaceError
from ..workspace import write_text

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.*", "*.spm", "spiece.model", "sentencepiece*.model")
OTHERS = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
TEMPLATES = ("chat_template.jinja", "chat_template.json")


def check_folder(name: str, folder: Path) -> None:
    """Raise ModelError, naming what is missing, unless `folder` looks like a model that transformers can load."""
    needed = {
        "config.json": ("config.json",),
        "weights (*.safetensors)": WEIGHTS,
        "tokenizer (tokenizer.json)": TOKENIZER,
    }
    missing = [what for what, patterns in needed.items() if not any(_matching(folder, patterns))]
    missing += [shard for shard in _shards(folder) if not (folder / shard).is_file()]
    if not missing:
        return
    ggufs = sorted(path.name for path in folder.glob("*.gguf"))
    hint = f"name the file itself: {folder / ggufs[0]}" if ggufs else "give the folder of a Hugging Face model"
    raise ModelError(f"{name}: {folder} has no {', no '.join(missing)}; {hint}")


def digest_model(folder: Path) -> str:
    """One digest over the weights, the configuration and the tokenizer in `folder`: what identifies the model."""
    return digest_files(folder, identifying(folder))


def identifying(folder: Path) -> list[Path]:
    """The files of a model folder that decide what the model answers."""
    return sorted({*_matching(folder, WEIGHTS), *_matching(folder, (*TOKENIZER, *OTHERS, *TEMPLATES))})


def remembered(files: Sequence[Path], memory: Path, digest: Callable[[], str]) -> str:
    """The digest of `files`, computed once and looked up in `memory` as long as none of them changes.

    A change is another path, size or time of modification. A memory that cannot be written only costs the hashing.
    """
    try:
        marks = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]
        note = memory / f"{digest_of(marks)}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(note.read_text(encoding="utf-8"))["digest"])
        found = digest()
    except PermissionError as error:
        raise ModelError(f"{error.filename}: this file of the model cannot be read; give yourself the rights") from None
    with suppress(WorkspaceError, OSError):
        write_text(note, json.dumps({"digest": found, "files": marks}, indent=1))
    return found


def _matching(folder: Path, patterns: Sequence[str]) -> Iterator[Path]:
    return (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


def _shards(folder: Path) -> list[str]:
    """Names of the weight files that an index in `folder` promises."""
    names: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        with suppress(ValueError, KeyError, AttributeError):
            names.update(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return sorted(names)
