"""The embedded engine: llama.cpp in this process, on loopback, with one LoRA adapter per request."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import Field

from ..chat.messages import Chat
from ..chat.openai import OpenAIChat
from ..digests import digest_of
from ..errors import ModelError
from ..models.store import ModelFiles
from ..settings import Setting
from .base import Adapter, check_served
from .gguf_lora import EXPORT, export_lora


class LlamaCpp(Setting):
    """llama.cpp through xllamacpp: GGUF models on CPU, fast start, any number of LoRA adapters.

    One slot answers in order and is exactly reproducible; several slots mix prompts into one batch, whose
    rounding depends on what else is under way, for little or no gain on two cores (docs/log.md).

    llama.cpp rounds what flows through quantised weights to 8 bits, so a log-probability is about 0.1 nats off that
    of the training's float32, whatever `attention` is. Through float32 weights, `f32` gives transformers' own tokens.
    """

    kind: Literal["llamacpp"] = "llamacpp"
    slots: int = Field(1, ge=1, le=64, description="requests answered at once")
    context: int = Field(2048, ge=128, description="tokens of prompt and answer together, per slot")
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves the choice to llama.cpp")
    attention: Literal["f16", "f32"] = Field("f16", description="precision of attention; f32 is 9–16% slower")

    def identity(self) -> dict[str, str | int]:
        """The engine with its version, and what changes its rounding."""
        return {
            "engine": f"xllamacpp {version('xllamacpp')}",
            "slots": self.slots,
            "attention": self.attention,
        }

    def fingerprint(self, model: ModelFiles, adapter: Adapter | None = None) -> str:
        """Names what answers: weights, adapter, engine, and what changes its rounding."""
        return digest_of(
            {"base": model.digest, "adapter": adapter.digest if adapter else None, **self.identity()},
        )

    @contextmanager
    def start(
        self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path, choices: int = 1
    ) -> Iterator["LlamaCppEngine"]:
        """Serve `model` and `adapters` until the block ends; adapters are converted once, into `cache`.

        `choices` is the most replies that one request may ask for: they share the prompt and are sampled together.

        Raises ModelError when the model has no GGUF file, or llama.cpp cannot load it or an adapter.
        """
        if model.gguf is None:
            raise ModelError(f"{model.name}: llama.cpp needs a .gguf file; set `engine: {{kind: transformers}}`")
        if not model.gguf.is_file():
            raise ModelError(f"{model.gguf}: there is no such file; fetch the model again")
        converted = {name: _converted(adapter, model, cache) for name, adapter in adapters.items()}
        engine = LlamaCppEngine(self, model, adapters, converted, choices)
        try:
            yield engine
        finally:
            engine.close()


def _converted(adapter: Adapter, model: ModelFiles, cache: Path) -> Path:
    assert model.gguf is not None
    target = cache / f"{adapter.digest[:16]}-on-{model.digest[:16]}-{EXPORT}.gguf"
    return target if target.exists() else export_lora(adapter, model.gguf, target)


class LlamaCppEngine:
    """A running llama.cpp server; close it to free its memory and its port."""

    def __init__(
        self,
        settings: LlamaCpp,
        model: ModelFiles,
        adapters: dict[str, Adapter],
        converted: dict[str, Path],
        choices: int,
    ) -> None:
        self._settings = settings
        self._sequences = max(settings.slots, choices)
        self._model = model
        self._adapters = adapters
        self.api_key = secrets.token_urlsafe(24)
        library = binding()
        try:
            self._server: Any = library.Server(self._parameters(library, converted))
        except Exception as error:  # the binding raises a bare RuntimeError that does not say why
            adapters_too = f" with the adapters {', '.join(converted)}" if converted else ""
            raise ModelError(
                f"{model.gguf}: llama.cpp cannot load this model{adapters_too}; the file is damaged, of a kind that "
                "this llama.cpp does not know, or too large for the memory: set `engine: {kind: transformers}`"
            ) from error
        self._await_loop(str(self._server.listening_address))
        self.base_url = f"{self._server.listening_address}/v1"

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> Chat:
        """Raises ModelError for an adapter that the engine was not started with."""
        return OpenAIChat(
            self.base_url,
            model=adapter or self._model.name,
            api_key=self.api_key,
            fingerprint=self._settings.fingerprint(self._model, self._adapters.get(adapter or "")),
            parallel=self._settings.slots,
            extra={"lora": self.scales(adapter), "cache_prompt": not exact},
            timeout=600.0,
        )

    def scales(self, adapter: str | None) -> list[dict[str, float]]:
        """The field `lora` of a request that `adapter` is to answer. Raises ModelError when it is not served here."""
        check_served(adapter, self._adapters)
        return [{"id": index, "scale": float(name == adapter)} for index, name in enumerate(self._adapters)]

    def _await_loop(self, address: str) -> None:
        """Ask what goes through the server's queue: closed before its loop runs, xllamacpp would wait for ever."""
        with httpx.Client(headers={"Authorization": f"Bearer {self.api_key}"}, trust_env=False, timeout=60) as client:
            try:
                client.get(f"{address}/lora-adapters").raise_for_status()
            except httpx.HTTPError as error:
                raise ModelError(f"{address}: the engine does not answer ({error}); run the command again") from error

    def close(self) -> None:
        self._server = None  # its destructor ends the threads and frees the port

    def _parameters(self, xllamacpp: Any, converted: dict[str, Path]) -> Any:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self._model.gguf)
        parameters.n_ctx = self._settings.context * self._sequences
        parameters.n_parallel = self._sequences
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = 0
        parameters.api_keys = [self.api_key]
        parameters.verbosity = 0
        parameters.ui = False
        parameters.endpoint_slots = False
        parameters.offline = True
        parameters.cache_ram_mib = 0  # llama.cpp would put up to 8 GB of old prompts aside
        if self._settings.threads:
            parameters.cpuparams.n_threads = self._settings.threads
        if self._settings.attention == "f32":  # flash attention would round a float32 cache to float16 on its way
            parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.lora_init_without_apply = True
        loras = []
        for path in converted.values():
            info = xllamacpp.CommonAdapterLoraInfo()
            info.path = str(path)
            info.scale = 1.0
            loras.append(info)
        parameters.lora_adapters = loras
        return parameters


def binding() -> Any:
    """The module `xllamacpp`; it wants the OpenMP library, which a bare Debian lacks and torch brings along."""
    try:
        import xllamacpp
    except ImportError:
        import torch  # noqa: F401
        import xllamacpp
    return xllamacpp
