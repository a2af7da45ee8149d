"""What does not go together is refused before anything is spent."""

import json
import shutil
from pathlib import Path

import pytest
from wheelwork.core.errors import ConfigError, ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.fitting import refuse_base, refuse_engine, refuse_environment, refuse_machine
from wheelwork.core.training.hardware import Machine
from wheelwork.core.training.settings import Training
from wheelwork.core.training.shapes import targeted, weight_shapes
from wheelwork.tests.core.training.toys import train


def test_dora_and_llamacpp_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match=r"loop\.yaml: `train\.dora` and the engine llamacpp do not go together"):
        refuse_engine(Training(dora=True), "llamacpp", "loop.yaml")
    refuse_engine(Training(dora=True), "transformers", "loop.yaml")
    refuse_engine(Training(rslora=True), "llamacpp", "loop.yaml")
    with pytest.raises(ConfigError, match="the engine vllm do not go together"):
        refuse_engine(Training(dora=True), "vllm", "loop.yaml")


@pytest.mark.parametrize("name", ["lm_head", "embed_tokens", "model.embed_tokens"])
def test_embeddings_and_the_output_head_are_not_served_by_llamacpp(name: str) -> None:
    with pytest.raises(ConfigError, match=f"`train.targets` has `{name}`, embeddings or the output head"):
        refuse_engine(Training(targets=("q_proj", name)), "llamacpp", "loop.yaml")
    refuse_engine(Training(targets=(name,)), "transformers", "loop.yaml")
    refuse_engine(Training(targets=(name,)), "vllm", "loop.yaml")


def test_shapes_are_read_from_the_headers(tiny: ModelFiles) -> None:
    shapes = weight_shapes(tiny.folder)
    assert shapes["model.layers.0.self_attn.k_proj"] == (32, 64)
    assert len(targeted(shapes, ["all-linear"])) == 14  # seven in each of two blocks
    assert set(targeted(shapes, ["k_proj", "layers.1.mlp.down_proj"])) == {
        "model.layers.0.self_attn.k_proj",
        "model.layers.1.self_attn.k_proj",
        "model.layers.1.mlp.down_proj",
    }


def test_a_damaged_file_tells_no_shapes(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\xff\xff")
    (tmp_path / "b.safetensors").write_bytes(b"\x04\x00\x00\x00\x00\x00\x00\x00{]no")
    assert weight_shapes(tmp_path) == {}


def test_a_rank_larger_than_a_layer_is_named(tiny: ModelFiles) -> None:
    says = r"tiny: `train\.rank: 33` is larger than the layer `model\.layers\.0\.self_attn\.k_proj` \(32 × 64\); at"
    with pytest.raises(ModelError, match=says):
        refuse_base(Training(rank=33), tiny)
    refuse_base(Training(rank=32), tiny)
    refuse_base(Training(rank=33, targets=("q_proj",)), tiny)


def test_a_rank_larger_than_a_layer_ends_a_training_before_it_begins(tiny: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is larger than the layer"):
        train(tiny, tmp_path, settings=Training(rank=64))
    assert not any(tmp_path.iterdir())


def test_nf4_of_a_base_that_is_quantised_already(tiny: ModelFiles, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.folder, tmp_path / "gptq")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    base = ModelFiles("small-gptq", folder, None, "digest")
    with pytest.raises(ModelError, match=r"small-gptq: this base is quantised already \(gptq\)"):
        refuse_base(Training(quantize="nf4"), base)
    refuse_base(Training(quantize="nf4"), tiny)


@pytest.mark.parametrize("name", ["ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"])
def test_what_accelerate_is_told_in_the_environment_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} is set in the environment, .*; unset it"):
        refuse_environment({name: "true"})
    refuse_environment({name: "false"})


def test_a_machine_is_looked_at_only_where_something_is_asked_of_it() -> None:
    def unasked() -> Machine:
        raise AssertionError("torch would be imported")

    refuse_machine(Training(), unasked)
    refuse_machine(Training(preset="cpu-small"), unasked)
    with pytest.raises(ConfigError, match="bitsandbytes is not installed"):
        refuse_machine(Training(quantize="nf4"), Machine)
