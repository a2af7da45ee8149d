"""Models of the Hugging Face Hub, by id, kept in the Hub's own cache where other tools find them too."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ModelError, WorkspaceError
from .progress import Progress

Snapshot = Callable[[str, Progress], Path]
"""Called with a Hub id (`org/name`); returns a local folder. Raises ModelError, or WorkspaceError for the disk."""

TEXT = ["*.json", "*.txt", "*.model", "*.jinja"]
ELSEWHERE = ["*/*"]  # copies in other formats lie in folders: onnx/, original/, openvino/
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def hub_snapshot(name: str, progress: Progress) -> Path:
    """Fetch what transformers needs of a Hub model: safetensors if it has them, else torch's .bin files."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import constants, errors, snapshot_download

    def fetch(weights: str) -> Path:
        patterns = [*TEXT, weights]
        bars = _bars(f"fetching {name}", progress)
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=ELSEWHERE, tqdm_class=bars))

    try:
        folder = fetch("*.safetensors")
        return folder if any(folder.glob("*.safetensors")) else fetch("*.bin")
    except errors.GatedRepoError:
        raise ModelError(
            f"{name}: its authors ask for consent; accept at https://huggingface.co/{name}, "
            "log in with `hf auth login`, then run the command again"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"{name}: the Hugging Face Hub has no such model, or it is private; "
            "check the name, or log in with `hf auth login`"
        ) from None
    except errors.HFValidationError:
        raise ModelError(f"{name}: this is not the id of a Hugging Face model (org/name); check the name") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK:
            raise WorkspaceError(
                f"{constants.HF_HUB_CACHE}: the Hugging Face cache is full or cannot be written ({error.strerror}); "
                "free some space, or set HF_HOME to a folder of yours"
            ) from error
        # no route, a time-out, a proxy, a half-filled cache: the Hub's client has a dozen classes for them
        raise ModelError(
            f"{name}: not in the local cache, and the Hugging Face Hub cannot be reached ({_first_line(error)}); "
            "connect to the network, or give the path of a local folder or .gguf file"
        ) from error


def _first_line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0].removeprefix("Got: ") or type(error).__name__
    return text if len(text) <= 120 else text[:119] + "…"


def _bars(label: str, progress: Progress) -> type[Any]:
    """A tqdm that draws nothing and hands the bytes of the whole snapshot to `progress`."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]

    furthest = 0

    class Bytes(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
        def display(self, *_: Any, **__: Any) -> None:
            nonlocal furthest
            if self.unit == "B" and self.total:
                furthest = max(furthest, int(self.n))
                progress(label, min(furthest, int(self.total)), int(self.total))

    return Bytes
