"""A merged model gives the logits of base and adapter, whatever the kind of LoRA."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ConfigError, ModelError
from wheelwork.core.export.merged import check_dtype, merge, write_merged
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.core.engines.served import log_probabilities, trained
from wheelwork.tests.tiny import tiny_adapter, tiny_gguf

TOKENS = [5, 80, 300, 41, 7, 222, 19, 403]


@pytest.mark.parametrize("config", [{}, {"use_rslora": True}, {"use_dora": True}], ids=["lora", "rslora", "dora"])
def test_logits_are_those_of_base_and_adapter(tiny: ModelFiles, tmp_path: Path, config: dict[str, Any]) -> None:
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", tiny.folder, seed=2, **config))
    write_merged(merge(tiny, adapter), tiny, tmp_path / "merged", "auto")
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", local_files_only=True).eval()
    expected = log_probabilities(trained(tiny, adapter), TOKENS)
    assert torch.allclose(log_probabilities(network, TOKENS), expected, atol=1e-4)
    assert not torch.allclose(log_probabilities(trained(tiny, None), TOKENS), expected, atol=0.1)


def test_the_folder_is_a_whole_model_that_names_no_folder_of_this_machine(
    tiny: ModelFiles, adapter: Adapter, tmp_path: Path
) -> None:
    write_merged(merge(tiny, adapter), tiny, tmp_path / "merged", "bfloat16")
    files = ModelStore(tmp_path / "store").get(str(tmp_path / "merged"))
    weights = AutoModelForCausalLM.from_pretrained(files.folder, dtype="auto", local_files_only=True)
    assert weights.dtype == torch.bfloat16
    assert (files.folder / "chat_template.jinja").is_file()
    assert str(tmp_path) not in (files.folder / "config.json").read_text()
    assert str(tiny.folder) not in (files.folder / "config.json").read_text()


def test_an_output_layer_that_is_the_embeddings_is_refused(tiny: ModelFiles, tmp_path: Path) -> None:
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", tiny.folder, target_modules=["lm_head", "q_proj"]))
    with pytest.raises(ModelError, match="changes `lm_head`, which tiny shares with its embeddings"):
        merge(tiny, adapter)


def test_an_adapter_of_another_model_is_refused(tiny: ModelFiles, tmp_path: Path) -> None:
    other = ModelStore(tmp_path / "store").get(str(tiny_gguf(tmp_path / "other.gguf", "llama", kv_heads=4)))
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", other.folder))
    with pytest.raises(ModelError, match="does not fit the model"):
        merge(tiny, adapter)


def test_weights_that_are_no_numbers_are_refused(tiny: ModelFiles, tmp_path: Path) -> None:
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", tiny.folder, std=1e30))
    with pytest.raises(ModelError, match="cannot be added to tiny"):
        merge(tiny, adapter)


def test_a_dtype_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="--dtype int8"):
        check_dtype("int8")
