"""What serves a base model and named adapters; one shape for every engine."""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

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


Body = Mapping[str, Any]
"""A request in OpenAI's form, already checked; `model` and `stream` in it mean nothing here."""

Route = Literal["chat/completions", "completions"]


class EngineHealth(NamedTuple):
    """How an engine is. `degraded` answers with less, `down` not at all; `note` says why, or how busy it is."""

    state: Literal["ok", "degraded", "down"]
    note: str = ""


class Engine(Protocol):
    """A running model. `chat()` answers as the base, `chat(name)` as the adapter of that name (else ModelError).

    Rounds ask through `chat`, which tries again; the gateway through `answer` and `stream`, which tell at once what is
    wrong, as a ServingError: 404 for an adapter that is not here, 400 for what the engine cannot do or a prompt that
    is too long, 503 with `retry_after` while the engine is gone, 504 when it took too long.
    """

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> Chat:
        """`exact` replies do not depend on what was asked before, at the price of reading each prompt whole.

        Otherwise an engine may go on from a prompt that it has read; the other rounding can turn a sampled token.
        """
        ...

    async def answer(self, path: Route, body: Body, adapter: str | None) -> dict[str, Any]:
        """The whole reply in OpenAI's form. A caller that is cancelled stops the work. Raises ServingError."""
        ...

    def stream(self, path: Route, body: Body, adapter: str | None) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of a streamed reply in OpenAI's form, with `usage` in the last one; raises ServingError.

        Closing the iterator stops the work.
        """
        ...

    @property
    def live(self) -> bool:
        """Whether `add` and `remove` work while it runs; otherwise a new engine takes the place of this one."""
        ...

    async def add(self, name: str, adapter: Adapter) -> None:
        """Serve `adapter` as `name`, which stands for it for ever: `router-v7`. Adding the same again does nothing.

        Raises ModelError for an adapter that does not fit, a name that stands for another one, and an engine that is
        full or not `live`.
        """
        ...

    async def remove(self, name: str) -> None:
        """Serve `name` no longer. Raises ModelError where it is not served, or the engine is not `live`."""
        ...

    async def healthy(self) -> EngineHealth:
        """How it is now. Raises TimeoutError where it does not say so in time: then that is not known."""
        ...

    def close(self) -> None:
        """Stop, from any thread; what is under way is broken off."""
        ...


class EngineSettings(Protocol):
    """What an engine's settings can do: `llamacpp.LlamaCpp`, `vllm.Vllm` and `transformers.Transformers` are such."""

    @property
    def kind(self) -> str: ...

    def identity(self) -> dict[str, str | int]:
        """`engine` with its version, and what of the settings changes an answer."""
        ...

    def fingerprint(self, model: ModelFiles, adapter: Adapter | None = None) -> str: ...

    def start(
        self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path, choices: int = 1
    ) -> AbstractContextManager[Engine]:
        """For a round: asked through `chat`, each request for `choices` replies at most."""
        ...

    def serve(self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path) -> AbstractContextManager[Engine]:
        """For the gateway: the same answers under the same fingerprint, from what can be stopped at any moment."""
        ...


def check_served(adapter: str | None, adapters: Collection[str]) -> None:
    """Raise ModelError unless `adapter` is None, the base, or one of `adapters`."""
    if adapter is not None and adapter not in adapters:
        raise ModelError(f"no adapter `{adapter}` here; the engine serves {', '.join(adapters) or 'the base alone'}")


def check_name(name: str, adapter: Adapter, adapters: Mapping[str, Adapter]) -> bool:
    """Whether `adapter` is served as `name` already. Raises ModelError when another one is, as names never change."""
    if (known := adapters.get(name)) is not None and known.digest != adapter.digest:
        raise ModelError(
            f"the name `{name}` stands for another adapter, and a name never changes; give the new one another version"
        )
    return known is not None
