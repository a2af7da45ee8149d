"""Values of `train` for a kind of machine: YAML files with comments, named by `train.preset`."""

from importlib import resources
from typing import Any, Literal, get_args

import yaml

Preset = Literal["cpu-small", "gpu-16gb", "gpu-80gb"]

WHOLE_MODULES = (
    "`modules_to_save` trains whole layers, which no engine serves beside a shared base; leave it out, and name "
    "linear layers under `targets`"
)


def with_preset(given: Any) -> Any:
    """`given`, the keys of `train` as they were written, over those of the preset that it names.

    Raises ValueError for `modules_to_save`, which people know from PEFT. A preset that there is not is left for the
    settings to refuse.
    """
    if not isinstance(given, dict):
        return given
    if "modules_to_save" in given:
        raise ValueError(WHOLE_MODULES)
    name = given.get("preset")
    return preset(str(name)) | given if name in get_args(Preset) else given


def preset(name: str) -> dict[str, Any]:
    """The keys that a preset sets."""
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values
