"""An engine for any architecture that transformers knows: slower than llama.cpp, needs no GGUF file."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from jinja2 import TemplateError
from pydantic import Field

from ..chat.messages import Chat, ChatRequest, Reply
from ..digests import digest_of
from ..errors import ModelError
from ..models.pretrained import device
from ..models.progress import quiet_transformers
from ..models.store import ModelFiles
from ..settings import Setting
from .base import Adapter, check_served

# llama.cpp ends at these whatever the model's files say (llama-vocab.cpp); an answer must not depend on the engine
END_MARKS = (
    "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<eos>"
)  # fmt: skip


class Transformers(Setting):
    """transformers + PEFT in this process, one answer at a time, on the GPU where there is one."""

    kind: Literal["transformers"] = "transformers"
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`")

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


class TransformersEngine:
    """A loaded model; one lock, since switching the adapter changes the model itself."""

    def __init__(self, settings: Transformers, model: ModelFiles, adapters: dict[str, Adapter]) -> None:
        import transformers

        self._files = model
        self._adapters = adapters
        self._settings = settings
        self._device = device(settings.device)
        self._lock = threading.Lock()
        try:
            with quiet_transformers():
                self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model.folder, local_files_only=True)
                network: Any = transformers.AutoModelForCausalLM.from_pretrained(
                    model.folder, dtype="float32" if self._device == "cpu" else "auto", local_files_only=True
                )
                self._ends = _end_tokens(self._tokenizer, network)
                # how to sample is the request's to say, not the file's
                network.generation_config = transformers.GenerationConfig(
                    eos_token_id=self._ends, pad_token_id=self._ends[0]
                )
                network = with_adapters(network, list(adapters.values()))
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{model.folder}: transformers cannot load this model ({reason[:160]})") from error
        self._network = network.to(self._device).eval()

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> Chat:
        """Always exact: every prompt is read whole. Raises ModelError for an adapter that is not served here."""
        check_served(adapter, self._adapters)
        fingerprint = self._settings.fingerprint(self._files, self._adapters.get(adapter or ""))
        return _TransformersChat(self, adapter, fingerprint)

    def close(self) -> None:
        self._network = None

    def answer(self, request: ChatRequest, adapter: str | None) -> Reply:
        """One completion; greedy at temperature 0, otherwise sampled with the request's own seed.

        Raises ModelError for a JSON schema, and for a conversation that the chat template does not take.
        """
        import torch

        if request.json_schema is not None:
            raise ModelError("the transformers engine cannot hold a reply to a JSON schema; use llamacpp or vllm")
        prompt = self._prompt(request)
        stops = _Stops(self._tokenizer, len(prompt), request.stop)
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

    def _prompt(self, request: ChatRequest) -> list[int]:
        goes_on = request.messages[-1].role == "assistant"
        try:
            ids: list[int] = self._tokenizer.apply_chat_template(
                [message.model_dump() for message in request.messages],
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
        switch(self._network, list(self._adapters), adapter)


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
        return await asyncio.to_thread(self._engine.answer, drawn, self._adapter)

    async def aclose(self) -> None:
        """The model belongs to the engine."""


class _Stops:
    """Tells `generate` to end once one of the stop strings is in the text, and cuts it off."""

    def __init__(self, tokenizer: Any, prompt: int, stops: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._stops = stops

    def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        met = bool(self._stops) and self.cut(ids[0, self._prompt :].tolist())[1]
        return torch.tensor([met], device=ids.device)

    def cut(self, fresh: list[int]) -> tuple[str, bool]:
        """The text of the tokens before the first stop string, and whether there was one."""
        text = self._tokenizer.decode(fresh, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        return (text[: min(found)], True) if found else (text, False)


def _end_tokens(tokenizer: Any, network: Any) -> list[int]:
    """The tokens that end an answer: what the model's files name, and what llama.cpp ends at besides."""
    vocabulary = tokenizer.get_vocab()
    named = network.generation_config.eos_token_id
    ends = [tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    ends.extend(vocabulary.get(mark) for mark in END_MARKS)
    known = list(dict.fromkeys(end for end in ends if end is not None))
    if not known:
        raise ValueError("it names no token that ends an answer")
    return known


def with_adapters(network: Any, adapters: Sequence[Adapter]) -> Any:
    from peft import PeftModel
    from safetensors import SafetensorError

    for number, adapter in enumerate(adapters):
        folder, name = str(adapter.folder), slot(number)
        try:
            if number == 0:
                network = PeftModel.from_pretrained(network, folder, adapter_name=name)
            loaded = network.load_adapter(folder, adapter_name=name)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{folder}: this adapter does not fit the model ({reason[:160]})") from error
        if stray := [*loaded.missing_keys, *loaded.unexpected_keys]:
            raise ModelError(f"{folder}: this adapter does not fit the model (`{stray[0]}`); it belongs to another one")
    return network


def switch(network: Any, adapters: Sequence[str], adapter: str | None) -> None:
    """Let `network`, which was loaded with these adapters in this order, answer as one of them; None is the base."""
    if not adapters:
        return
    if adapter is None:
        network.base_model.disable_adapter_layers()
    else:
        network.base_model.enable_adapter_layers()
        network.set_adapter(slot(adapters.index(adapter)))


def slot(number: int) -> str:
    return f"adapter_{number}"  # torch refuses dots, which versioned names have
