"""What loading a model with transformers has in common: where it goes, how precise it is, and whether it is whole."""

from collections.abc import Mapping
from typing import Any


def device() -> str:
    """The GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def dtype() -> Any:
    """As the files have it on a GPU; float32 on a CPU, where halves are slow."""
    import torch

    return torch.float32 if device() == "cpu" else "auto"


def missing_weights(told: Mapping[str, Any]) -> str:
    """The first weight that the files lack, and that transformers has therefore made up; empty where they are whole."""
    return next(iter(sorted(told["missing_keys"])), "")


def reason_of(error: Exception) -> str:
    """The first line of what a library says, short enough for a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
