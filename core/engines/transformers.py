"""An engine for any architecture that transformers knows: slower than llama.cpp, needs no GGUF file."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..chat.messages import Chat, ChatRequest, Reply
from ..digests import digest_of
from ..errors import ModelError
from ..models.store import ModelFiles
from ..settings import Setting
from .base import Adapter


class Transformers(Setting):
    """transformers + PEFT in this process, one answer at a time, on the GPU where there is one."""

    kind: Literal["transformers"] = "transformers"
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`")

    def fingerprint(self, model: ModelFiles, adapter: Adapter | None = None) -> str:
        """Names what answers: weights, adapter, engine, device."""
        return digest_of(
            {
                "base": model.digest,
                "adapter": adapter.digest if adapter else None,
                "engine": f"transformers {version('transformers')}",
                "device": _device(self.device),
            }
        )

    @contextmanager
    def start(self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path) -> Iterator["TransformersEngine"]:
        """Load `model` once and every adapter beside it. Raises ModelError when they do not fit."""
        engine = TransformersEngine(self, model, adapters)
        try:
            yield engine
        finally:
            engine.close()


class TransformersEngine:
    """A loaded model; one lock, since switching the adapter changes the model itself."""

    def __init__(self, settings: Transformers, model: ModelFiles, adapters: dict[str, Adapter]) -> None:
        import transformers
        from peft import PeftModel

        self._files = model
        self._adapters = adapters
        self._settings = settings
        self._device = device = _device(settings.device)
        self._lock = threading.Lock()
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model.folder, local_files_only=True)
        try:
            network: Any = transformers.AutoModelForCausalLM.from_pretrained(
                model.folder, dtype="float32" if device == "cpu" else "auto", local_files_only=True
            )
            for name, adapter in adapters.items():
                if isinstance(network, PeftModel):
                    network.load_adapter(str(adapter.folder), adapter_name=name)
                else:
                    network = PeftModel.from_pretrained(network, str(adapter.folder), adapter_name=name)
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelError(f"{model.folder}: transformers cannot load it with its adapters ({error})") from error
        self._network = network.to(device).eval()

    def chat(self, adapter: str | None = None) -> Chat:
        fingerprint = self._settings.fingerprint(self._files, self._adapters.get(adapter or ""))
        return _TransformersChat(self, adapter, fingerprint)

    def close(self) -> None:
        self._network = None

    def answer(self, request: ChatRequest, adapter: str | None) -> Reply:
        """One completion; greedy at temperature 0, otherwise sampled with the request's own seed."""
        import torch

        if request.json_schema is not None:
            raise ModelError("the transformers engine cannot hold a reply to a JSON schema; use llamacpp or vllm")
        tokens = self._tokenizer.apply_chat_template(
            [message.model_dump() for message in request.messages],
            add_generation_prompt=request.messages[-1].role != "assistant",
            continue_final_message=request.messages[-1].role == "assistant",
            return_tensors="pt",
            return_dict=True,
        ).to(self._device)
        sampling: dict[str, Any] = {"do_sample": False}
        if request.temperature > 0:
            sampling = {"do_sample": True, "temperature": request.temperature, "top_p": request.top_p, "top_k": 0}
        with self._lock, torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(request.seed)
            self._switch(adapter)
            if request.stop:
                sampling |= {"stop_strings": list(request.stop), "tokenizer": self._tokenizer}
            output = self._network.generate(**tokens, max_new_tokens=request.max_tokens, **sampling)[0]
        fresh = output[tokens["input_ids"].shape[1] :]
        text, stopped = _until(self._tokenizer.decode(fresh, skip_special_tokens=True), request.stop)
        ended = bool(len(fresh)) and int(fresh[-1]) == self._tokenizer.eos_token_id
        return Reply(
            text=text,
            finish="stop" if ended or stopped else "length",
            prompt_tokens=tokens["input_ids"].shape[1],
            completion_tokens=len(fresh),
        )

    def _switch(self, adapter: str | None) -> None:
        if not self._adapters:
            return
        if adapter is None:
            self._network.base_model.disable_adapter_layers()
        else:
            self._network.base_model.enable_adapter_layers()
            self._network.set_adapter(adapter)


class _TransformersChat:
    parallel = 1

    def __init__(self, engine: TransformersEngine, adapter: str | None, fingerprint: str) -> None:
        self._engine = engine
        self._adapter = adapter
        self.fingerprint = fingerprint

    async def __call__(self, request: ChatRequest) -> Reply:
        return await asyncio.to_thread(self._engine.answer, request, self._adapter)

    async def aclose(self) -> None:
        """The model belongs to the engine."""


def _until(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """`text` before the first of `stops`, and whether one was found."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def _device(wanted: str) -> str:
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
