"""What serves a base model and named adapters; one shape for every engine."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from ..chat.messages import Chat
from ..digests import digest_files
from ..errors import ModelError
from ..models.store import ModelFiles

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


class Adapter(NamedTuple):
    """A LoRA adapter on disk in PEFT's layout, and the digest of what counts in it."""

    folder: Path
    digest: str

    @classmethod
    def at(cls, folder: Path) -> "Adapter":
        """Raises ModelError when the folder is not a PEFT adapter saved as safetensors."""
        if not folder.is_dir():
            raise ModelError(f"{folder}: there is no such folder; give the folder of a LoRA adapter")
        files = [folder / name for name in ADAPTER_FILES]
        if missing := [file.name for file in files if not file.is_file()]:
            raise ModelError(f"{folder}: not a LoRA adapter, {' and '.join(missing)} missing; export it with PEFT")
        return cls(folder, digest_files(folder, files))


class Engine(Protocol):
    """A running model. `chat()` answers as the base, `chat(name)` as the adapter of that name (else ModelError)."""

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> Chat:
        """`exact` replies do not depend on what was asked before, at the price of reading each prompt whole.

        Otherwise an engine may go on from a prompt that it has read; the other rounding can turn a sampled token.
        """
        ...

    def close(self) -> None: ...


class EngineSettings(Protocol):
    """What an engine's settings can do; `llamacpp.LlamaCpp` and `transformers.Transformers` are such settings."""

    @property
    def kind(self) -> str: ...

    def identity(self) -> dict[str, str | int]:
        """`engine` with its version, and what of the settings changes an answer."""
        ...

    def fingerprint(self, model: ModelFiles, adapter: Adapter | None = None) -> str: ...

    def start(
        self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path, choices: int = 1
    ) -> AbstractContextManager[Engine]: ...


def check_served(adapter: str | None, adapters: Collection[str]) -> None:
    """Raise ModelError unless `adapter` is None, the base, or one of `adapters`."""
    if adapter is not None and adapter not in adapters:
        raise ModelError(f"no adapter `{adapter}` here; the engine serves {', '.join(adapters) or 'the base alone'}")
