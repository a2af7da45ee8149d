"""A running llama.cpp that is asked by tokens, and what transformers makes of the same tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.llamacpp import LlamaCpp, LlamaCppEngine
from wheelwork.core.models.progress import quiet_transformers
from wheelwork.core.models.store import ModelFiles

EXACT = LlamaCpp(attention="f32", threads=1, context=512)


class Completions:
    """What a running llama.cpp makes of tokens, without a chat template."""

    def __init__(self, engine: LlamaCppEngine) -> None:
        self._engine = engine
        self._client = httpx.Client(
            base_url=engine.base_url.removesuffix("/v1"),
            headers={"Authorization": f"Bearer {engine.api_key}"},
            timeout=60,
        )

    def greedy(self, prompt: list[int], adapter: str | None, count: int) -> list[int]:
        tokens: list[int] = self._complete(prompt, adapter, n_predict=count, return_tokens=True)["tokens"]
        return tokens

    def top(self, prompt: list[int], adapter: str | None, count: int = 10) -> dict[int, float]:
        """The log-probabilities of the likeliest next tokens, the likeliest first; nothing for half a character."""
        answer = self._complete(prompt, adapter, n_predict=1, n_probs=count)
        return {
            entry["id"]: entry["logprob"]
            for token in answer.get("completion_probabilities", [])
            for entry in token["top_logprobs"]
        }

    def _complete(self, prompt: list[int], adapter: str | None, **rest: Any) -> Any:
        body = {"prompt": prompt, "temperature": 0, "lora": self._engine.scales(adapter), **rest}
        response = self._client.post("/completion", json=body)
        response.raise_for_status()
        return response.json()

    def close(self) -> None:
        self._client.close()


@contextmanager
def completing(
    settings: LlamaCpp, model: ModelFiles, adapters: dict[str, Adapter], cache: Path
) -> Iterator[Completions]:
    """A started llama.cpp that is asked by tokens."""
    with settings.start(model, adapters, cache) as engine:
        completions = Completions(engine)
        try:
            yield completions
        finally:
            completions.close()


def trained(model: ModelFiles, adapter: Adapter | None) -> Any:
    """The model as training has it: transformers and PEFT in float32."""
    with quiet_transformers():
        network = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32, local_files_only=True)
    return (PeftModel.from_pretrained(network, str(adapter.folder)) if adapter else network).eval()


def written(network: Any, prompt: list[int], count: int, ends: list[int]) -> list[int]:
    """The greedy answer of `network` to `prompt`, at most `count` tokens."""
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        output = network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )
    tokens: list[int] = output[0, len(prompt) :].tolist()
    return tokens


def log_probabilities(network: Any, tokens: list[int]) -> torch.Tensor:
    """Row i: log-probabilities of what follows the first i + 1 of `tokens`, float64 (n, vocabulary)."""
    with torch.inference_mode():
        return torch.log_softmax(network(torch.tensor([tokens])).logits[0].double(), dim=-1)
