"""The embedded engine: llama.cpp on loopback, with one LoRA adapter per request."""

import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from yarl import URL

from ..chat.messages import Chat
from ..chat.openai import OpenAIChat
from ..chat.transport import ConnectionTrouble, Sent, connections_to
from ..digests import digest_of
from ..errors import ModelError, ServingError
from ..models.store import ModelFiles
from ..settings import Setting
from .base import Adapter, Body, EngineHealth, Route, check_served
from .endpoint import Endpoint, gone
from .gguf_lora import EXPORT, export_lora
from .llamacpp_server import CONNECTIONS, Child, InProcess, Plan, Server, new_key

PATIENCE = 2.0  # seconds for a word that it is well
UNUSED = 7 * 86_400.0  # seconds after which a converted adapter that no engine was started with is taken away


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
        engine = self._engine(InProcess, model, adapters, self._plan(model, adapters, cache, choices))
        try:
            yield engine
        finally:
            engine.close()

    @contextmanager
    def serve(self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path) -> Iterator["LlamaCppEngine"]:
        """The same in a child process, which can be stopped while requests come. Raises ModelError as `start` does."""
        plan = self._plan(model, adapters, cache, 1).model_copy(update={"connections": CONNECTIONS})
        engine = self._engine(Child, model, adapters, plan)
        try:
            yield engine
        finally:
            engine.close()

    def _plan(self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path, choices: int) -> Plan:
        if model.gguf is None:
            raise ModelError(f"{model.name}: llama.cpp needs a .gguf file; set `engine: {{kind: transformers}}`")
        if not model.gguf.is_file():
            raise ModelError(f"{model.gguf}: there is no such file; fetch the model again")
        return Plan(
            gguf=str(model.gguf),
            loras=tuple(str(_converted(adapter, model, cache)) for adapter in adapters.values()),
            context=self.context,
            sequences=max(self.slots, choices),
            threads=self.threads,
            f32=self.attention == "f32",
            api_key=new_key(),
        )

    def _engine(
        self, server: Callable[[Plan], Server], model: ModelFiles, adapters: dict[str, Adapter], plan: Plan
    ) -> "LlamaCppEngine":
        try:
            running = server(plan)
        except RuntimeError as error:  # the binding does not say why
            adapters_too = f" with the adapters {', '.join(adapters)}" if adapters else ""
            raise ModelError(
                f"{model.gguf}: llama.cpp cannot load this model{adapters_too}; the file is damaged, of a kind that "
                "this llama.cpp does not know, or too large for the memory: set `engine: {kind: transformers}`"
            ) from error
        return LlamaCppEngine(self, model, adapters, running, plan.api_key)


def _converted(adapter: Adapter, model: ModelFiles, cache: Path) -> Path:
    assert model.gguf is not None
    target = cache / f"{adapter.digest[:16]}-on-{model.digest[:16]}-{EXPORT}.gguf"
    if not target.exists():
        _forget_unused(cache)
        return export_lora(adapter, model.gguf, target)
    with suppress(OSError):  # a cache that may only be read is fine
        os.utime(target)
    return target


def _forget_unused(cache: Path) -> None:
    """Take away what was converted for engines of long ago: every promotion leaves a file as large as its adapter."""
    oldest = time.time() - UNUSED
    for path in cache.glob("*-on-*.gguf"):
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


class LlamaCppEngine:
    """A running llama.cpp server; close it to free its memory and its port."""

    def __init__(
        self, settings: LlamaCpp, model: ModelFiles, adapters: dict[str, Adapter], server: Server, api_key: str
    ) -> None:
        self._settings = settings
        self._model = model
        self._adapters = adapters
        self._server = server
        self.api_key = api_key
        self.base_url = f"{server.address}/v1"
        self._endpoint = Endpoint(self.base_url, api_key)
        self._probe = connections_to(URL(self.base_url), 1, PATIENCE)

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

    async def answer(self, path: Route, body: Body, adapter: str | None) -> dict[str, Any]:
        """As the Protocol says; a request for more choices than there are slots is refused by llama.cpp."""
        reply = await self._endpoint.answer(path, self._asked(body, adapter), adapter or self._model.name)
        if begun := _begun(body):  # repeated here, and not in a stream
            for choice in reply["choices"]:
                message = choice.get("message") or {}
                if isinstance(content := message.get("content"), str):
                    message["content"] = content.removeprefix(begun)
        return reply

    async def stream(self, path: Route, body: Body, adapter: str | None) -> AsyncGenerator[dict[str, Any], None]:
        """As the Protocol says."""
        asked = self._asked(body, adapter)
        async with aclosing(self._endpoint.stream(path, asked, adapter or self._model.name)) as chunks:
            async for chunk in chunks:
                yield chunk

    @property
    def live(self) -> bool:
        """llama.cpp loads adapters as it starts, and only then."""
        return False

    async def add(self, name: str, adapter: Adapter) -> None:
        """Raises ModelError."""
        raise ModelError(f"llama.cpp cannot load `{name}` while it runs; start another engine with it")

    async def remove(self, name: str) -> None:
        """Raises ModelError."""
        raise ModelError(f"llama.cpp cannot let go of `{name}` while it runs; start another engine without it")

    async def healthy(self) -> EngineHealth:
        """Whether the process runs and its server answers. Raises TimeoutError where that is not told in time.

        A machine that is busy, with a second engine that loads beside this one, may keep it from answering for a
        while; only who ended, or takes no connection, is down.
        """
        if reason := self._server.ended():
            return EngineHealth("down", f"llama.cpp: {reason}")
        try:
            answered = await self._probe(Sent("GET", f"{self._server.address}/health", {}))
        except ConnectionTrouble as trouble:
            if trouble.late:
                raise TimeoutError(f"llama.cpp has not answered for {PATIENCE:g} s") from trouble
            return EngineHealth("down", f"llama.cpp does not answer ({trouble})")
        return (
            EngineHealth("ok") if answered.status == 200 else EngineHealth("down", f"llama.cpp: {answered.text[:80]}")
        )

    def scales(self, adapter: str | None) -> list[dict[str, float]]:
        """The field `lora` of a request that `adapter` is to answer. Raises ModelError when it is not served here."""
        check_served(adapter, self._adapters)
        return [{"id": index, "scale": float(name == adapter)} for index, name in enumerate(self._adapters)]

    def close(self) -> None:
        """From any thread."""
        self._server.close()
        self._endpoint.close()

    def _asked(self, body: Body, adapter: str | None) -> dict[str, Any]:
        if self._server.ended():
            raise gone(ConnectionTrouble(ConnectionError("the server ended")))
        try:
            scales = self.scales(adapter)
        except ModelError as error:
            raise ServingError(404, str(error), code="model_not_found", param="model") from error
        return dict(body) | {"lora": scales, "model": self._model.name, "stream": False}


def _begun(body: Body) -> str:
    """The text of an answer that the caller began."""
    messages = body.get("messages") or [{}]
    last = messages[-1]
    return str(last.get("content") or "") if last.get("role") == "assistant" else ""
