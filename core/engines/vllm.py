"""vLLM on a machine with a GPU: an external server, whose adapters are loaded and unloaded over its API."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from yarl import URL

from ..chat.messages import Chat, ChatRequest, Reply
from ..chat.openai import OpenAIChat
from ..digests import digest_of
from ..errors import ConfigError, DependencyError, ModelError, ServingError
from ..models.store import ModelFiles
from ..settings import Setting
from .base import Adapter, Body, EngineHealth, Route, check_name, check_served
from .endpoint import Endpoint
from .vllm_server import LateError, VllmServer, copy_adapter, served_name

GOES_ON = {"add_generation_prompt": False, "continue_final_message": True}
"""An answer that was begun is gone on with, as in llama.cpp."""


class Vllm(Setting):
    """A vLLM server that was started elsewhere, with `--enable-lora` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.

    Its API tells its version and no more of what changes an answer: a server that is started with another precision or
    quantisation is told by another `label`.
    """

    kind: Literal["vllm"] = "vllm"
    base_url: str = Field(description="address of the server, such as http://gpu:8000")
    api_key_env: str = Field("", description="environment variable that holds its API key; empty: it wants none")
    model: str = Field("", description="name under which it serves the base; empty: the base's own name or folder")
    max_loras: int = Field(4, ge=1, le=1000, description="adapters it may hold, as its `--max-cpu-loras`")
    adapters_path: str = Field("", description="folder here that the server sees too, for adapters; empty: it reads "
                                               "this machine's folders")  # fmt: skip
    server_path: str = Field("", description="the same folder as the server names it; empty: by the same name")
    parallel: int = Field(32, ge=1, le=1024, description="requests under way at once")
    timeout: float = Field(10.0, gt=0, le=300, description="seconds for a word about its state")
    label: str = Field("", description="names what its API does not tell, such as `fp8`; part of the fingerprint")

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, base_url: str) -> str:
        address = URL(base_url)
        if address.scheme not in ("http", "https") or not address.host:
            raise ValueError("is no address; write it as http://host:port")
        return base_url.rstrip("/").removesuffix("/v1")

    def identity(self) -> dict[str, str | int]:
        """The engine with its version, asked of the server. Raises DependencyError when it does not answer."""
        with self._server() as server:
            return self._identity(server.version())

    def fingerprint(self, model: ModelFiles, adapter: Adapter | None = None) -> str:
        """Names what answers: weights, adapter, engine. Raises as `identity`."""
        return _fingerprint(model, adapter, self.identity())

    @contextmanager
    def start(
        self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path, choices: int = 1
    ) -> Iterator["VllmEngine"]:
        """Check that the server has `model`, and load `adapters`; those that were not there before go again.

        Raises DependencyError when it does not answer, ModelError when it has another model, is full, or refuses.
        """
        with self._server() as server:
            engine = VllmEngine(self, model, server, self._identity(server.version()), self._key())
            try:
                for name, adapter in adapters.items():
                    engine.load(name, adapter)
                yield engine
            finally:
                engine.close()

    def serve(
        self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path
    ) -> AbstractContextManager["VllmEngine"]:
        """As `start`: the server runs elsewhere in any case."""
        return self.start(model, adapters, cache)

    def _server(self) -> VllmServer:
        return VllmServer(self.base_url, self._key(), self.timeout)

    def _key(self) -> str:
        if not self.api_key_env:
            return ""
        if not (key := os.environ.get(self.api_key_env)):
            raise ConfigError(f"`engine.api_key_env`: the environment variable {self.api_key_env} is not set; set it")
        return key

    def _identity(self, version: str) -> dict[str, str | int]:
        identity: dict[str, str | int] = {"engine": f"vllm {version}"}
        return identity | {"label": self.label} if self.label else identity


def _fingerprint(model: ModelFiles, adapter: Adapter | None, identity: dict[str, str | int]) -> str:
    return digest_of({"base": model.digest, "adapter": adapter.digest if adapter else None, **identity})


class VllmEngine:
    """The adapters that this process has the server hold.

    There an adapter's name ends in its digest: vLLM keeps the prompts that it has read by the adapter's name, and
    would go on from another one's after a name had changed hands. A server that was started again has forgotten its
    adapters; they are loaded once more by the first request that wants them.
    """

    def __init__(
        self, settings: Vllm, model: ModelFiles, server: VllmServer, identity: dict[str, str | int], key: str
    ) -> None:
        """Raises ModelError when the server has another model."""
        self._settings = settings
        self._model = model
        self._server = server
        self._identity = identity
        self._key = key
        self._base = server.base(settings.model, model)
        self._adapters: dict[str, Adapter] = {}
        self._mine: set[str] = set()  # names that were not there before
        self.base_url = f"{settings.base_url}/v1"
        self._endpoint = Endpoint(self.base_url, key, parallel=settings.parallel)

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> Chat:
        """Never `exact`: vLLM's rounding depends on what else is under way. Raises ModelError."""
        check_served(adapter, self._adapters)
        served = self._adapters.get(adapter or "")

        def client(**extra: bool) -> OpenAIChat:
            return OpenAIChat(
                self.base_url,
                model=self._named(adapter),
                api_key=self._key,
                fingerprint=_fingerprint(self._model, served, self._identity),
                parallel=self._settings.parallel,
                extra=extra,
                timeout=600.0,
            )

        return _VllmChat(client(), client(**GOES_ON))

    async def answer(self, path: Route, body: Body, adapter: str | None) -> dict[str, Any]:
        """As the Protocol says."""
        asked, name = self._asked(body, adapter), adapter or self._model.name
        try:
            return await self._endpoint.answer(path, asked, name)
        except ServingError as error:
            if not await self._came_back(error, adapter):
                raise
        return await self._endpoint.answer(path, asked, name)

    async def stream(self, path: Route, body: Body, adapter: str | None) -> AsyncGenerator[dict[str, Any], None]:
        """As the Protocol says."""
        asked, name, begun = self._asked(body, adapter), adapter or self._model.name, False
        for _ in range(2):
            try:
                async with aclosing(self._endpoint.stream(path, asked, name)) as chunks:
                    async for chunk in chunks:
                        begun = True
                        yield chunk
                return
            except ServingError as error:
                if begun or not await self._came_back(error, adapter):
                    raise
        raise ServingError(404, f"the engine lost `{adapter}` twice", code="model_not_found", param="model")

    @property
    def live(self) -> bool:
        """Adapters come and go over the server's API."""
        return True

    async def add(self, name: str, adapter: Adapter) -> None:
        """As the Protocol says; raises DependencyError too, when the server does not answer."""
        await asyncio.to_thread(self.load, name, adapter)

    async def remove(self, name: str) -> None:
        """As the Protocol says; raises DependencyError too, when the server does not answer."""
        check_served(name, self._adapters)
        await asyncio.to_thread(self._unload, name)

    async def healthy(self) -> EngineHealth:
        """What the server says of itself, with how many requests it has, and whether it still has the adapters.

        Raises TimeoutError where that is not told in time: a server that is busy is not down.
        """
        try:
            note = await asyncio.to_thread(self._server.busy)
            there = await asyncio.to_thread(self._server.loaded)
        except LateError as error:
            raise TimeoutError(str(error)) from error
        except (DependencyError, ModelError) as error:
            return EngineHealth("down", str(error))
        if lost := [name for name in self._adapters if self._named(name) not in there]:
            return EngineHealth("degraded", f"vLLM has lost {', '.join(lost)}; a request will load it again")
        return EngineHealth("ok", note)

    def load(self, name: str, adapter: Adapter) -> None:
        """As `add`, for those who do not wait in a loop."""
        if not check_name(name, adapter, self._adapters):
            self._ensure(name, adapter)
            self._adapters[name] = adapter

    def close(self) -> None:
        """Unload what was loaded here; a server that is gone holds nothing."""
        for name in list(self._adapters):
            with suppress(DependencyError, ModelError):
                self._unload(name)
        self._endpoint.close()

    def _ensure(self, name: str, adapter: Adapter) -> None:
        served = served_name(name, adapter)
        there = self._server.loaded()
        if served in there:
            return
        if len(there) >= self._settings.max_loras:
            raise ModelError(
                f"{self._settings.base_url}: holds {len(there)} adapters already ({', '.join(sorted(there))}), and "
                f"`engine.max_loras` allows {self._settings.max_loras}; unload one, or start vLLM with a greater "
                "`--max-cpu-loras` and say so here"
            )
        self._server.load(served, self._shown(served, adapter))
        self._mine.add(name)

    def _shown(self, served: str, adapter: Adapter) -> str:
        """The adapter's folder as the server names it; a copy where it does not see this machine's folders."""
        here = self._settings.adapters_path
        if not here:
            return str(adapter.folder.resolve())
        copy_adapter(adapter, Path(here).expanduser() / served)
        return f"{(self._settings.server_path or str(Path(here).expanduser().resolve())).rstrip('/')}/{served}"

    def _unload(self, name: str) -> None:
        served = self._named(name)
        del self._adapters[name]
        if name not in self._mine:
            return
        self._mine.discard(name)
        self._server.unload(served)
        if here := self._settings.adapters_path:
            shutil.rmtree(Path(here).expanduser() / served, ignore_errors=True)

    def _named(self, adapter: str | None) -> str:
        return self._base if adapter is None else served_name(adapter, self._adapters[adapter])

    def _asked(self, body: Body, adapter: str | None) -> dict[str, Any]:
        try:
            check_served(adapter, self._adapters)
        except ModelError as error:
            raise ServingError(404, str(error), code="model_not_found", param="model") from error
        messages = body.get("messages") or [{}]
        goes_on = GOES_ON if messages[-1].get("role") == "assistant" else {}
        return dict(body) | goes_on | {"model": self._named(adapter), "stream": False}

    async def _came_back(self, error: ServingError, adapter: str | None) -> bool:
        """Whether an adapter that the server no longer knew could be loaded again."""
        if error.status != 404 or (served := self._adapters.get(adapter or "")) is None or adapter is None:
            return False
        try:
            await asyncio.to_thread(self._ensure, adapter, served)
        except (DependencyError, ModelError):
            return False
        return True


class _VllmChat:
    """vLLM wants to be told when an answer is to be gone on with."""

    def __init__(self, plain: OpenAIChat, going_on: OpenAIChat) -> None:
        self._plain = plain
        self._going_on = going_on
        self.fingerprint = plain.fingerprint
        self.parallel = plain.parallel

    async def __call__(self, request: ChatRequest) -> Reply:
        return await (self._going_on if request.messages[-1].role == "assistant" else self._plain)(request)

    async def aclose(self) -> None:
        await self._plain.aclose()
        await self._going_on.aclose()
