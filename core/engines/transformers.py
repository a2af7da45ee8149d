"""An engine for any architecture that transformers knows: slower than llama.cpp, needs no GGUF file."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from jinja2 import TemplateError
from pydantic import Field

from ..chat.messages import Chat, ChatRequest, Reply
from ..digests import digest_of
from ..errors import ModelError, ServingError
from ..models.pretrained import device
from ..models.progress import quiet_transformers
from ..models.store import ModelFiles
from ..settings import Setting
from .base import Adapter, Body, EngineHealth, Route, check_name, check_served
from .batching import Batches, Draw, Row, Watch
from .endings import Stops, end_tokens
from .peft_adapters import activate, slot, with_adapter, with_adapters, without
from .wanted import Chunks, Wanted, Written, reply, wanted


class Transformers(Setting):
    """transformers + PEFT in this process, on the GPU where there is one.

    A round is answered one request at a time. The gateway's requests to the same adapter are answered together, with
    the same tokens as alone but for ties in the last digits.
    """

    kind: Literal["transformers"] = "transformers"
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`")

    batch: int = Field(8, ge=1, le=256, description="answers that are written together while it serves")

    def identity(self) -> dict[str, str | int]:
        """The engine with its version, and the device."""
        return {"engine": f"transformers {version('transformers')}", "device": device(self.device)}

    def fingerprint(self, model: ModelFiles, adapter: Adapter | None = None) -> str:
        """Names what answers: weights, adapter, engine, device."""
        return digest_of(
            {"base": model.digest, "adapter": adapter.digest if adapter else None, **self.identity()},
        )

    @contextmanager
    def start(
        self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path, choices: int = 1
    ) -> Iterator["TransformersEngine"]:
        """Load `model` once and every adapter beside it. Raises ModelError when they do not fit."""
        engine = TransformersEngine(self, model, adapters)
        try:
            yield engine
        finally:
            engine.close()

    def serve(
        self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path
    ) -> AbstractContextManager["TransformersEngine"]:
        """As `start`."""
        return self.start(model, adapters, cache)


class TransformersEngine:
    """A loaded model; one lock, since switching the adapter changes the model itself."""

    def __init__(self, settings: Transformers, model: ModelFiles, adapters: dict[str, Adapter]) -> None:
        import transformers

        self._files = model
        self._adapters = dict(adapters)
        self._slots = {name: slot(number) for number, name in enumerate(adapters)}
        self._loaded = len(adapters)  # slots are not used twice
        self._settings = settings
        self._device = device(settings.device)
        self._lock = threading.Lock()
        try:
            with quiet_transformers():
                self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model.folder, local_files_only=True)
                network: Any = transformers.AutoModelForCausalLM.from_pretrained(
                    model.folder, dtype="float32" if self._device == "cpu" else "auto", local_files_only=True
                )
                self._ends = end_tokens(self._tokenizer, network)
                # how to sample is the request's to say, not the file's
                network.generation_config = transformers.GenerationConfig(
                    eos_token_id=self._ends, pad_token_id=self._ends[0]
                )
                network = with_adapters(network, list(adapters.values()))
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{model.folder}: transformers cannot load this model ({reason[:160]})") from error
        self._network = network.to(self._device).eval()
        self._context: int = getattr(network.config.get_text_config(), "max_position_embeddings", None) or 2**20
        self._batches = Batches(self._write, settings.batch)

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> Chat:
        """Always exact: every prompt is read whole. Raises ModelError for an adapter that is not served here."""
        check_served(adapter, self._adapters)
        fingerprint = self._settings.fingerprint(self._files, self._adapters.get(adapter or ""))
        return _TransformersChat(self, adapter, fingerprint)

    async def answer(self, path: Route, body: Body, adapter: str | None) -> dict[str, Any]:
        """As the Protocol says."""
        rows, done = self._wanted(path, body), {}
        async with aclosing(self._written(rows, adapter, streamed=False)) as pieces:
            async for piece in pieces:
                done[piece.choice] = piece
        return reply(path, adapter or self._files.name, rows, done)

    async def stream(self, path: Route, body: Body, adapter: str | None) -> AsyncGenerator[dict[str, Any], None]:
        """As the Protocol says."""
        rows, done = self._wanted(path, body), []
        chunks = Chunks(path, adapter or self._files.name)
        async with aclosing(self._written(rows, adapter, streamed=True)) as pieces:
            if path == "chat/completions":
                for index in range(len(rows)):
                    yield chunks.first(index)
            async for piece in pieces:
                yield chunks.piece(piece)
                if piece.finish:
                    done.append(piece)
        yield chunks.last(rows, done)

    @property
    def live(self) -> bool:
        """Adapters come and go between two batches of answers."""
        return True

    async def add(self, name: str, adapter: Adapter) -> None:
        """As the Protocol says; waits for the answers that are being written."""
        await asyncio.to_thread(self._batches.between, lambda: self._add(name, adapter))

    async def remove(self, name: str) -> None:
        """As the Protocol says; waits for the answers that are being written, those that wait get a 404."""
        await asyncio.to_thread(self._batches.between, lambda: self._remove(name))

    async def healthy(self) -> EngineHealth:
        """Down once it is closed."""
        return EngineHealth("ok" if self._network is not None else "down", self._batches.note())

    def close(self) -> None:
        """Breaks off what is being written."""
        self._batches.close()
        self._network = None

    def complete(self, request: ChatRequest, adapter: str | None) -> Reply:
        """One completion; greedy at temperature 0, otherwise sampled with the request's own seed.

        Raises ModelError for a JSON schema, and for a conversation that the chat template does not take.
        """
        import torch

        if request.json_schema is not None:
            raise ModelError("the transformers engine cannot hold a reply to a JSON schema; use llamacpp or vllm")
        prompt = self._templated([message.model_dump() for message in request.messages])
        stops = Stops(self._tokenizer, len(prompt), request.stop)
        sampling: dict[str, Any] = {"do_sample": False}
        if request.temperature > 0:
            sampling = {"do_sample": True, "temperature": request.temperature, "top_p": request.top_p, "top_k": 0}
        ids = torch.tensor([prompt], device=self._device)
        with self._lock, torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(request.seed)
            self._switch(adapter)
            output = self._network.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=request.max_tokens,
                stopping_criteria=[stops],
                **sampling,
            )[0].tolist()
        fresh = output[len(prompt) :]
        text, stopped = stops.cut(fresh)
        ended = stopped or fresh[-1] in self._ends
        return Reply(
            text=text if ended else text.rstrip("\ufffd"),  # the limit may fall inside a character
            finish="stop" if ended else "length",
            prompt_tokens=len(prompt),
            completion_tokens=len(fresh),
        )

    def _templated(self, messages: list[dict[str, str]]) -> list[int]:
        """Raises ModelError for a conversation that the model's chat template does not take."""
        goes_on = bool(messages) and messages[-1]["role"] == "assistant"
        try:
            ids: list[int] = self._tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
                return_dict=False,
            )
        except (ValueError, TemplateError) as error:
            raise ModelError(
                f"{self._files.name}: the model's chat template does not take such a conversation ({error}); "
                "choose a chat model"
            ) from error
        return ids

    def _switch(self, adapter: str | None) -> None:
        if self._slots:  # otherwise it is the bare model
            activate(self._network, None if adapter is None else self._slots[adapter])

    def _add(self, name: str, adapter: Adapter) -> None:
        if check_name(name, adapter, self._adapters):
            return
        with self._lock:
            place, self._loaded = slot(self._loaded), self._loaded + 1
            self._network = with_adapter(self._network, adapter, place).to(self._device).eval()
            self._adapters[name], self._slots[name] = adapter, place

    def _remove(self, name: str) -> None:
        check_served(name, self._adapters)
        with self._lock:
            self._network = without(self._network, self._slots.pop(name))
            del self._adapters[name]

    def _wanted(self, path: Route, body: Body) -> list[Wanted]:
        def encode(text: str) -> list[int]:
            return list(self._tokenizer.encode(text))

        def template(messages: list[dict[str, str]]) -> list[int]:
            try:
                return self._templated(messages)
            except ModelError as error:
                raise ServingError(400, str(error), param="messages") from error

        return wanted(path, body, template, encode, self._context)

    async def _written(
        self, wanted: list[Wanted], adapter: str | None, streamed: bool
    ) -> AsyncGenerator[Written, None]:
        """The pieces of all answers as they come, one with `finish` for each; closing it gives the rest up."""
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[Written | Exception]()

        def tell(piece: Written | Exception) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        rows = [
            Row(index, one, adapter, Stops(self._tokenizer, len(one.prompt), one.stop), self._ends, streamed, tell)
            for index, one in enumerate(wanted)
        ]
        try:
            self._batches.ask(rows)
            left = len(rows)
            while left:
                piece = await pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                left -= piece.finish is not None
                yield piece
        finally:
            for row in rows:
                row.given_up = True

    def _write(self, adapter: str | None, rows: list[Row]) -> None:
        """Answer `rows` together: padded at the left, behind a mask. Raises ServingError for an adapter that went."""
        import torch

        longest = max(len(row.wanted.prompt) for row in rows)
        padding = [longest - len(row.wanted.prompt) for row in rows]
        ids = [[self._ends[0]] * pad + row.wanted.prompt for pad, row in zip(padding, rows, strict=True)]
        mask = [[0] * pad + [1] * (longest - pad) for pad in padding]
        drawn = any(row.wanted.temperature > 0 for row in rows)
        with self._lock, torch.inference_mode():
            if adapter is not None and adapter not in self._slots:
                raise ServingError(404, f"`{adapter}` is not served any more", code="model_not_found", param="model")
            self._switch(adapter)
            self._network.generate(
                input_ids=torch.tensor(ids, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
                max_new_tokens=max(row.wanted.max_tokens for row in rows),
                do_sample=False,  # whoever wants a drawn token gets it as the likeliest
                stopping_criteria=[Watch(rows)],
                logits_processor=[Draw(rows, self._device)] if drawn else [],
            )


class _TransformersChat:
    parallel = 1

    def __init__(self, engine: TransformersEngine, adapter: str | None, fingerprint: str) -> None:
        self._engine = engine
        self._adapter = adapter
        self.fingerprint = fingerprint

    async def __call__(self, request: ChatRequest) -> Reply:
        first, *others = [await self._one(request, number) for number in range(request.choices)]
        return first.model_copy(
            update={
                "more": tuple(other.choices[0] for other in others),
                "completion_tokens": first.completion_tokens + sum(other.completion_tokens for other in others),
            }
        )

    async def _one(self, request: ChatRequest, number: int) -> Reply:
        drawn = request.model_copy(update={"seed": request.seed + number, "choices": 1})
        return await asyncio.to_thread(self._engine.complete, drawn, self._adapter)

    async def aclose(self) -> None:
        """The model belongs to the engine."""
