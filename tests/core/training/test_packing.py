"""Packed rows: laid out as drawn, and worth exactly what their samples are worth one by one."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.attention import NAME
from wheelwork.core.training.packing import (
    Encoded,
    alone,
    completion_logits,
    encode,
    pack,
    packing_holds,
)
from wheelwork.tests.core.training.toys import SYSTEM, sample, samples

SIZES: dict[str, Any] = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPED: dict[str, Any] = SIZES | {"intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": 0.2}

ARCHITECTURES: dict[str, Any] = {
    "llama": lambda: transformers.LlamaConfig(**SHAPED),
    "qwen2": lambda: transformers.Qwen2Config(**SHAPED),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=200, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0
    ),
}
UNPACKABLE: dict[str, Any] = {
    "bloom": lambda: transformers.BloomConfig(vocab_size=200, hidden_size=32, n_layer=2, n_head=4),
    "mamba": lambda: transformers.MambaConfig(vocab_size=200, hidden_size=32, num_hidden_layers=2),
    "lfm2": lambda: transformers.Lfm2Config(**SHAPED, layer_types=["conv", "full_attention"]),
}


def network(config: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)


tokens = st.lists(st.integers(0, 3), min_size=1, max_size=8)


def test_a_batch_is_laid_out_behind_what_it_shares() -> None:
    head = [*range(100, 110)]
    row = pack([Encoded([*head, 1], [2, 3], 0.5), Encoded([*head, 4, 5], [6], 2.0)])
    assert row["input_ids"].tolist() == [[*head, 1, 2, 4, 5]]  # from 3 and 6 nothing is predicted
    assert row["position_ids"].tolist() == [[*range(12), 10, 11]]
    assert row["logits_to_keep"].tolist() == [10, 11, 13]
    assert row["targets"].tolist() == [2, 3, 6]
    assert row["weights"].tolist() == [0.5, 0.5, 2.0]
    own = row["attention_mask"][0, 0, 10:].int()
    assert own[:, :10].eq(1).all()
    assert own[:, 10:].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


def test_samples_that_differ_in_the_last_word_share_all_but_that() -> None:
    row = pack([Encoded([1, 2], [3, 4]), Encoded([1, 2], [3, 5], 2.0), Encoded([1, 2], [3, 4])])
    assert row["input_ids"].tolist() == [[1, 2, 3]]
    assert row["logits_to_keep"].tolist() == [1, 2] * 3
    assert row["targets"].tolist() == [3, 4, 3, 5, 3, 4]


WORDS = st.lists(st.integers(0, 2), min_size=1, max_size=5)


@given(st.lists(st.builds(Encoded, WORDS, WORDS), min_size=1, max_size=6))
def test_every_completion_token_is_predicted_from_what_stood_before_it_alone(batch: list[Encoded]) -> None:
    row = pack(batch)
    ids, positions = row["input_ids"][0], row["position_ids"][0]
    predicted = iter(zip(row["logits_to_keep"].tolist(), row["targets"].tolist(), strict=True))
    for one in batch:
        whole = one.prompt + one.completion
        for place in range(len(one.prompt), len(whole)):
            source, target = next(predicted)
            seen = row["attention_mask"][0, 0, source].nonzero().flatten()
            assert (ids[seen].tolist(), target) == (whole[:place], whole[place])
            assert positions[seen].tolist() == [*range(place)]
    assert next(predicted, None) is None


def batch() -> list[Encoded]:
    """Two families of different lengths and weights, kin within one of them, one sample on its own."""
    random = torch.Generator().manual_seed(1)

    def some(count: int) -> list[int]:
        return torch.randint(200, (count,), generator=random).tolist()

    first, second, between = some(20), some(16), some(10)
    return [
        Encoded(first + between + some(3), some(2), 1.0),
        Encoded(second + some(1), some(6), 0.25),
        Encoded(first + some(9), some(1), 3.0),
        Encoded(first + between + some(2), some(3), 0.75),
        Encoded(some(5), some(3), 1.5),
        Encoded(second + some(4), some(2), 0.5),
    ]


def loss_and_gradients(model: Any, rows: Sequence[dict[str, torch.Tensor]]) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    losses = [
        F.cross_entropy(completion_logits(model, row), row["targets"], reduction="none") * row["weights"]
        for row in rows
    ]
    loss = torch.cat(losses).mean()
    loss.backward()
    return loss.item(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("attention", ["sdpa", NAME])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_packed_row_has_the_loss_and_the_gradients_of_its_samples_one_by_one(name: str, attention: str) -> None:
    model = network(ARCHITECTURES[name]()).train()
    model.set_attn_implementation(attention)
    row = pack(batch(), by_piece=attention == NAME)
    packed, gradients = loss_and_gradients(model, [row])
    single, expected = loss_and_gradients(model, [alone(one) for one in batch()])
    assert packed == pytest.approx(single, rel=1e-5)
    for key, gradient in gradients.items():
        assert (gradient - expected[key]).norm() <= 1e-4 * expected[key].norm() + 1e-7, key


def test_one_sample_on_its_own_is_what_the_library_computes() -> None:
    model, one = network(ARCHITECTURES["llama"]()), Encoded([5, 6, 7, 8], [9, 10], 1.0)
    labels = torch.tensor([[-100] * 4 + [9, 10]])
    expected = model(input_ids=torch.tensor([[5, 6, 7, 8, 9, 10]]), labels=labels).loss.item()
    assert loss_and_gradients(model, [alone(one)])[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_packing_holds_where_masks_and_positions_are_heeded(name: str) -> None:
    model = network(ARCHITECTURES[name]()).train()
    assert packing_holds(model, longest=1000)
    assert model.training


@pytest.mark.parametrize("name", UNPACKABLE)
def test_packing_does_not_hold_where_they_are_not(name: str) -> None:
    assert not packing_holds(network(UNPACKABLE[name]()), longest=1)


def test_packing_does_not_hold_beyond_a_sliding_window() -> None:
    model = network(transformers.MistralConfig(**SHAPED, sliding_window=64))
    assert packing_holds(model, longest=64)
    assert not packing_holds(model, longest=65)


@pytest.fixture(scope="module")
def tokenizer(tiny: ModelFiles) -> Any:
    return transformers.AutoTokenizer.from_pretrained(tiny.folder, local_files_only=True)


def test_a_sample_is_read_as_it_is_served_and_learnt_up_to_the_end_mark(tokenizer: Any) -> None:
    (one,), too_long = encode([sample("hello", "wifi", weight=0.5)], tokenizer, 1024)
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "hello"}]
    served = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert (one.prompt, one.weight, too_long) == (served, 0.5, 0)
    assert tokenizer.decode(one.completion) == "wifi<|im_end|>"


def test_a_reply_that_was_cut_does_not_teach_where_to_end(tokenizer: Any) -> None:
    (one,), _ = encode([sample("hello", "wifi and", controls={"finish": "length"})], tokenizer, 1024)
    assert tokenizer.decode(one.completion) == "wifi and"
    assert encode([sample("hello", "", controls={"finish": "length"})], tokenizer, 1024) == ([], 0)


def test_samples_beyond_the_longest_are_counted(tokenizer: Any) -> None:
    encoded, _ = encode(samples(8), tokenizer, 1024)
    longest = max(len(one) for one in encoded)
    kept, too_long = encode([*samples(8), sample("word " * 99, "bill")], tokenizer, longest)
    assert (len(kept), too_long) == (8, 1)


def with_template(tokenizer: Any, template: str | None) -> Any:
    changed = transformers.AutoTokenizer.from_pretrained(tokenizer.name_or_path, local_files_only=True)
    changed.chat_template = template
    return changed


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (None, "does not take such a conversation"),
        ("{{ raise_exception('no system turn') }}", r"does not take such a conversation \(no system turn\)"),
        ("{% if add_generation_prompt %}ask{% else %}answer{% endif %}", "otherwise than it asks for one"),
    ],
)
def test_a_template_that_cannot_be_trained_on_is_one_sentence(tokenizer: Any, template: str | None, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        encode(samples(1), with_template(tokenizer, template), 1024)
