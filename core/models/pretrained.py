"""What loading a model with transformers has in common: errors in our words, where it goes, whether it is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ModelError
from .progress import quiet_transformers
from .store import ModelFiles


@contextmanager
def loading(name: str, what: str) -> Iterator[None]:
    """Load `what`, such as `an encoder`, in the block. Raises ModelError, naming `name`, for files that hold none."""
    try:
        with quiet_transformers():
            yield
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:  # as the library fails
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(f"{name}: cannot be loaded as {what} ({reason}); give another one") from error


def load_whole(files: ModelFiles, what: str, network: Any, reader: Any) -> tuple[Any, Any]:
    """The model in `files` and what reads for it, by these two classes of transformers.

    Raises ModelError for what is no `what`, such as `reward model`, also where the files lack a weight: transformers
    makes one up.
    """
    with loading(files.name, f"a {what}"):
        reads = reader.from_pretrained(files.folder, local_files_only=True)
        model, told = network.from_pretrained(
            files.folder, dtype=dtype(), local_files_only=True, output_loading_info=True
        )
    if missing := sorted(told["missing_keys"]):
        raise ModelError(f"{files.name}: this is no {what} (`{missing[0]}` is missing); give another")
    return model, reads


def pad_right(tokenizer: Any) -> None:
    """Let `tokenizer` pad behind the text, also one that was made without a sign for it."""
    tokenizer.padding_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def device(wanted: str = "auto") -> str:
    """Where a model goes: for `auto` the GPU where there is one."""
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def dtype() -> Any:
    """As the files have it on a GPU; float32 on a CPU, where halves are slow."""
    import torch

    return torch.float32 if device() == "cpu" else "auto"
