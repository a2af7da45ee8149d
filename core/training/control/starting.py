"""Training on from an adapter that is there, the champion's, instead of from nothing."""

import json
from pathlib import Path
from typing import Any

from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from ...errors import ModelError

SAME = {"r": "rank", "lora_alpha": "alpha", "use_rslora": "rsLoRA", "use_dora": "DoRA"}  # of PEFT: as people know it


def start_from(network: Any, adapter: Path, base: str) -> None:
    """Give the fresh adapter of `network` the weights in the folder `adapter`.

    Raises ModelError for an adapter of another base or of another shape: what it had learnt would be lost in part.
    """
    found = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    ours = network.peft_config["default"].to_dict()
    advice = "train from nothing with `train.start: scratch`"
    if found["base_model_name_or_path"] != base:
        raise ModelError(f"{adapter}: an adapter of {found['base_model_name_or_path']}, not of {base}; {advice}")
    for field, name in SAME.items():
        if found.get(field) != ours.get(field):
            raise ModelError(
                f"{adapter}: the champion has {name} {found.get(field)} and this training {ours.get(field)}; set the "
                f"same, or {advice}"
            )
    weights = load_file(adapter / "adapter_model.safetensors")
    lacking = [name for name in set_peft_model_state_dict(network, weights).missing_keys if "lora_" in name]
    known = {name.replace(".default.", ".") for name, weight in network.named_parameters() if weight.requires_grad}
    if lacking or weights.keys() - known:
        raise ModelError(f"{adapter}: the champion has an update on other layers than `train.targets`; {advice}")
