"""What is trained is what is served: transformers + PEFT and llama.cpp answer alike, with an adapter that matters.

Tolerances. Through float32 weights with float32 attention only the order of additions differs: 1e-5 nats were
measured, 1e-4 are allowed. Attention at its default rounds keys and values to 11 bits: up to 0.02 nats, 0.1 allowed.
The embedded model's weights have 4 bits, and llama.cpp rounds what it multiplies them with to 8 bits, transformers does
not: for the base alone that is 0.09 nats on average and up to 0.7. An adapter must not add to it.
"""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.llamacpp import LlamaCpp
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.core.engines.served import EXACT, completing, log_probabilities, trained, written
from wheelwork.tests.tiny import tiny_adapter, tiny_gguf

SHAPES = [("llama", 2), ("llama", 4), ("llama", 1), ("qwen2", 2)]  # 4 heads over so many key-value heads


def prompts(count: int = 4, length: int = 20) -> list[list[int]]:
    rows: list[list[int]] = np.random.default_rng(0).integers(3, 500, (count, length)).tolist()
    return rows


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"{shape[0]}-{shape[1]}kv")
def model(request: pytest.FixtureRequest, place: Path) -> ModelFiles:
    architecture, kv_heads = request.param
    path = tiny_gguf(place / f"{architecture}-{kv_heads}.gguf", architecture, kv_heads, seed=5)
    return ModelStore(place / "store").get(str(path))


@pytest.mark.parametrize("rank_stabilised", [False, True], ids=["lora", "rslora"])
def test_an_adapter_answers_with_the_same_tokens_and_probabilities(
    model: ModelFiles, place: Path, rank_stabilised: bool
) -> None:
    folder = place / f"parity-{model.name}-{rank_stabilised}"
    adapter = Adapter.at(tiny_adapter(folder, model.folder, seed=1, use_rslora=rank_stabilised))
    network, base = trained(model, adapter), trained(model, None)
    ends = [0, 2]  # <|endoftext|> and <|im_end|>
    compared, furthest = 0, 0.0
    with completing(EXACT, model, {"a": adapter}, place / "cache") as served:
        for prompt in prompts():
            answer = written(network, prompt, 16, ends)
            assert served.greedy(prompt, "a", 16) == [token for token in answer if token not in ends]
            assert answer != written(base, prompt, 16, ends)
            expected = log_probabilities(network, prompt + answer)
            for place_ in range(0, len(answer), 3):
                found = served.top(prompt + answer[:place_], "a")
                row = expected[len(prompt) + place_ - 1]
                furthest = max([furthest, *(abs(value - float(row[token])) for token, value in found.items())])
                compared += len(found)
    assert compared > 100
    assert furthest < 1e-4


def test_attention_at_its_default_is_near(tiny: ModelFiles, adapters: dict[str, Adapter], place: Path) -> None:
    name, adapter = next(iter(adapters.items()))
    network = trained(tiny, adapter)
    with completing(LlamaCpp(threads=1, context=512), tiny, {name: adapter}, place / "cache") as served:
        for prompt in prompts():
            expected = log_probabilities(network, prompt)[-1]
            found = served.top(prompt, name)
            assert all(abs(value - float(expected[token])) < 0.1 for token, value in found.items())


QUESTIONS = ("What is the capital of France?", "The modem shows a red light. What now?", "Name three fruits.")


@pytest.mark.model
def test_the_embedded_model_serves_the_adapter_that_was_trained(place: Path) -> None:
    model = ModelStore().get("smollm2-135m-instruct")
    adapter = Adapter.at(tiny_adapter(place / "parity-real", model.folder, seed=1, std=0.07))
    networks = {None: trained(model, None), "a": trained(model, adapter)}
    tokenizer = AutoTokenizer.from_pretrained(model.folder, local_files_only=True)
    off: dict[str | None, list[float]] = {None: [], "a": []}
    effects: list[tuple[float, float]] = []
    with completing(LlamaCpp(context=512, threads=1), model, {"a": adapter}, place / "cache") as served:
        for question in QUESTIONS:
            turns = [{"role": "user", "content": question}]
            prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
            answer = written(networks["a"], prompt, 8, [0, 2])
            assert answer != written(networks[None], prompt, 8, [0, 2])
            trained_, served_ = {}, {}
            for name, network in networks.items():  # one after the other: a change of adapter empties the prompt cache
                rows = log_probabilities(network, prompt + answer)[len(prompt) - 1 : -1]
                tops = [served.top(prompt + answer[:at], name, 40) for at in range(len(answer))]
                for row, top in zip(rows, tops, strict=True):
                    off[name] += [abs(value - float(row[token])) for token, value in [*top.items()][:5]]
                    behind = float(row.max() - row[next(iter(top))])
                    assert behind < 1.0, "served as the likeliest, but not in training"
                trained_[name], served_[name] = rows, tops
            for at in range(len(answer)):
                base, adapted = served_[None][at], served_["a"][at]
                change = trained_["a"][at] - trained_[None][at]
                effects += [(adapted[t] - base[t], float(change[t])) for t in base.keys() & adapted.keys()]
    assert np.mean(off["a"]) < 2 * np.mean(off[None]) < 0.4
    by_engine, by_training = np.array(effects).T
    assert np.abs(by_training).mean() > 1  # nats: ten times the rounding
    assert np.corrcoef(by_engine, by_training)[0, 1] > 0.98
