"""The embedded engine: llama.cpp in this process, on loopback, with one LoRA adapter per request."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..chat.messages import Chat
from ..chat.openai import OpenAIChat
from ..digests import digest_of
from ..errors import ModelError
from ..models.store import ModelFiles
from ..settings import Setting
from .base import Adapter
from .gguf_lora import export_lora


class LlamaCpp(Setting):
    """llama.cpp through xllamacpp: GGUF models on CPU, fast start, any number of LoRA adapters.

    One slot answers in order and is exactly reproducible; several slots mix prompts into one batch, whose
    rounding depends on what else is under way, for little or no gain on two cores (docs/log.md).
    """

    kind: Literal["llamacpp"] = "llamacpp"
    slots: int = Field(1, ge=1, le=64, description="requests answered at once")
    context: int = Field(2048, ge=128, description="tokens of prompt and answer together, per slot")
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves the choice to llama.cpp")

    def fingerprint(self, model: ModelFiles, adapter: Adapter | None = None) -> str:
        """Names what answers: weights, adapter, engine, and what changes its rounding."""
        return digest_of(
            {
                "base": model.digest,
                "adapter": adapter.digest if adapter else None,
                "engine": f"xllamacpp {version('xllamacpp')}",
                "slots": self.slots,
            }
        )

    @contextmanager
    def start(self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path) -> Iterator["LlamaCppEngine"]:
        """Serve `model` and `adapters` until the block ends; adapters are converted once, into `cache`.

        Raises ModelError when the model has no GGUF file or llama.cpp cannot load it.
        """
        if model.gguf is None:
            raise ModelError(f"{model.name}: llama.cpp needs a .gguf file; set `engine: {{kind: transformers}}`")
        converted = {name: _converted(adapter, model, cache) for name, adapter in adapters.items()}
        engine = LlamaCppEngine(self, model, adapters, converted)
        try:
            yield engine
        finally:
            engine.close()


def _converted(adapter: Adapter, model: ModelFiles, cache: Path) -> Path:
    assert model.gguf is not None
    target = cache / f"{adapter.digest[:16]}-on-{model.digest[:16]}.gguf"
    return target if target.exists() else export_lora(adapter, model.gguf, target)


class LlamaCppEngine:
    """A running llama.cpp server; close it to free its memory and its port."""

    def __init__(
        self, settings: LlamaCpp, model: ModelFiles, adapters: dict[str, Adapter], converted: dict[str, Path]
    ) -> None:
        import xllamacpp

        self._settings = settings
        self._model = model
        self._adapters = adapters
        self._order = list(converted)
        self._key = secrets.token_urlsafe(24)
        try:
            self._server: Any = xllamacpp.Server(self._parameters(xllamacpp, converted))
        except Exception as error:  # the binding raises bare RuntimeError
            raise ModelError(f"{model.gguf}: llama.cpp cannot load this model ({error})") from error
        self.base_url = f"{self._server.listening_address}/v1"

    def chat(self, adapter: str | None = None) -> Chat:
        scales = [{"id": index, "scale": float(name == adapter)} for index, name in enumerate(self._order)]
        return OpenAIChat(
            self.base_url,
            model=adapter or self._model.name,
            api_key=self._key,
            fingerprint=self._settings.fingerprint(self._model, self._adapters.get(adapter or "")),
            parallel=self._settings.slots,
            extra={"lora": scales, "cache_prompt": True},
            timeout=600.0,
        )

    def close(self) -> None:
        self._server = None  # its destructor ends the threads and frees the port

    def _parameters(self, xllamacpp: Any, converted: dict[str, Path]) -> Any:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._model.gguf)
        parameters.n_ctx = self._settings.context * self._settings.slots
        parameters.n_parallel = self._settings.slots
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = 0
        parameters.api_keys = [self._key]
        parameters.verbosity = 0
        parameters.ui = False
        parameters.endpoint_slots = False
        parameters.offline = True
        parameters.cache_ram_mib = 0  # llama.cpp would put up to 8 GB of old prompts aside
        if self._settings.threads:
            parameters.cpuparams.n_threads = self._settings.threads
        parameters.lora_init_without_apply = True
        loras = []
        for path in converted.values():
            info = xllamacpp.CommonAdapterLoraInfo()
            info.path = str(path)
            info.scale = 1.0
            loras.append(info)
        parameters.lora_adapters = loras
        return parameters
