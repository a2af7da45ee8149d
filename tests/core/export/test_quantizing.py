"""Weights in fewer bits: llama.cpp's own quantiser beside gguf's, and what is refused."""

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError
from wheelwork.core.export import quantizing
from wheelwork.core.export.quantizing import KINDS, UNQUANTISED, Kind, check_kind, engine_quantiser, kind_for, quantised

STEPS = {"q8_0": 127, "q6_k": 31, "q5_k": 14, "q5_1": 15, "q5_0": 15, "q4_k": 6.5, "q4_1": 7, "q4_0": 7}  # a half-range


def weights(rows: int = 6, width: int = 256, seed: int = 0) -> quantizing.Array:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def read(data: quantizing.Array, kind: str) -> quantizing.Array:
    found: quantizing.Array = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind.upper()])
    return found


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in UNQUANTISED])
def test_a_weight_comes_back_within_a_step(kind: Kind) -> None:
    given = weights()
    back = read(quantised(given, kind), kind)
    assert back.shape == given.shape
    assert np.abs(back - given).max() <= 1.1 * np.abs(given).max() / STEPS[kind]


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]))
def test_llamacpp_and_gguf_write_the_same_weights(seed: int, kind: Kind) -> None:
    given_ = weights(2, 64, seed)
    type_ = gguf.GGMLQuantizationType[kind.upper()]
    theirs = read(gguf.quants.quantize(given_, type_), kind)
    # rounding of exact halves may differ, by one step in one weight
    step = 1.1 * np.abs(given_).max() / STEPS[kind]
    differ = np.abs(read(quantised(given_, kind), kind) - theirs)
    assert differ.max() <= step and (differ > 1e-6).mean() < 0.02


def test_the_engine_exports_its_quantiser() -> None:
    assert engine_quantiser() is not None


def test_without_it_gguf_writes_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "engine_quantiser", lambda: None)
    assert np.allclose(read(quantised(weights(), "q8_0"), "q8_0"), weights(), atol=0.03)
    with pytest.raises(ConfigError, match=r"only llama\.cpp's own quantiser writes it"):
        check_kind("q4_k")
    assert check_kind("Q8_0") == "q8_0"


def test_the_type_of_a_tensor_hangs_on_its_place_and_its_rows() -> None:
    assert kind_for("q4_0", "blk.0.attn_norm.weight", (64,)) == "f32"
    assert kind_for("q4_0", "blk.0.ffn_up.weight", (128, 64)) == "q4_0"
    assert kind_for("q4_0", "token_embd.weight", (600, 64)) == "q8_0"
    assert kind_for("q4_k", "blk.0.ffn_up.weight", (128, 576)) == "q5_0"
    assert kind_for("q4_k", "blk.0.ffn_up.weight", (128, 1536)) == "q4_k"
    assert kind_for("q8_0", "blk.0.ffn_up.weight", (128, 40)) == "f16"
    assert kind_for("f16", "token_embd.weight", (600, 64)) == "f16"


@pytest.mark.parametrize("name", ["q4_k_m", "iq3_xs", "q2_k"])
def test_mixtures_are_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(ConfigError, match=r"write f16 and give that to llama\.cpp's llama-quantize"):
        check_kind(name)


def test_an_unknown_type_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean `q8_0`"):
        check_kind("q80")
