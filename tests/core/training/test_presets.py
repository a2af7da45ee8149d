"""Presets: values for a kind of machine, with the loop's own keys on top."""

from importlib import resources
from typing import get_args

import pytest
from wheelwork.core.errors import ConfigError
from wheelwork.core.settings import parse
from wheelwork.core.training.presets import Preset, preset
from wheelwork.core.training.settings import Training


@pytest.mark.parametrize("name", get_args(Preset))
def test_every_preset_is_a_setting_and_explains_itself(name: Preset) -> None:
    settings = Training(preset=name)
    assert all(getattr(settings, key) == value for key, value in preset(name).items())
    assert "preset" not in preset(name)
    text = resources.files("wheelwork.core.training.presets").joinpath(f"{name}.yaml").read_text("utf-8")
    assert text.startswith("# ") and text.count("#") > len(preset(name)) // 2


def test_the_loops_own_keys_go_before_the_presets() -> None:
    settings = parse(Training, {"preset": "gpu-16gb", "rank": 8, "quantize": "none"}, "loop.yaml")
    assert (settings.rank, settings.quantize, settings.gradient_checkpointing) == (8, "none", True)
    assert Training.model_validate(settings.model_dump()) == settings


def test_a_preset_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"`preset`: input should be 'cpu-small', 'gpu-16gb' or 'gpu-80gb' \(found"):
        parse(Training, {"preset": "tpu"}, "loop.yaml")


def test_a_key_beside_a_preset_is_checked_as_any() -> None:
    with pytest.raises(ConfigError, match=r"unknown key `rnak`; did you mean `rank`\?"):
        parse(Training, {"preset": "gpu-16gb", "rnak": 8}, "loop.yaml")


def test_whole_modules_are_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="`modules_to_save` trains whole layers, which no engine serves"):
        parse(Training, {"modules_to_save": ["lm_head"]}, "loop.yaml")


def test_more_processes_than_samples_in_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="`processes: 4` share batches of 2 samples, so some had none"):
        parse(Training, {"processes": 4, "batch_size": 2}, "loop.yaml")
