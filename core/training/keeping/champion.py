"""The champion's update beside the one that is trained: to start from, to answer with, to be held to.

PEFT can hold two adapters in one model, but writes both into every checkpoint, from which a resumed training then takes
the wrong one, and changes what is trained when it switches. Here the champion is a set of matrices that are added to
the output of the base's layers while it is asked.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

from ...engines.base import Adapter
from ...errors import ModelError
from ..control.steering import trained_weights
from .former import beyond_a_product, config_of

Layers = dict[str, Any]
WEIGHTS = "adapter_model.safetensors"
SIDES = (".lora_A.weight", ".lora_B.weight")


class Update(NamedTuple):
    """ΔW = b · a of one layer: a (rank, in), b (out, rank), b times the scale of the adapter."""

    a: torch.Tensor
    b: torch.Tensor


ChampionUpdate = Mapping[str, Update]
"""By the name of the layer in the PEFT model."""


def layers_of(network: Any) -> Layers:
    """The layers of a PEFT model that have an update, by name. Raises ModelError for one that is no b · a."""
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, LoraLayer)}
    config = network.peft_config[network.active_adapter].to_dict()
    if more := beyond_a_product(config):
        raise ModelError(
            f"`train.keep` holds an update to the champion's, and not one with {more}; turn one of them off"
        )
    for name, layer in layers.items():
        if network.active_adapter not in layer.lora_A:
            raise ModelError(f"`train.keep` holds linear layers, and `{name}` is none; leave it out of `train.targets`")
    return layers


def update_of(layer: Any, adapter: str) -> Update:
    """The update that a layer has now; gradients flow into its matrices."""
    scale = layer.scaling[adapter]
    return Update(layer.lora_A[adapter].weight, layer.lora_B[adapter].weight * scale)


def read(champion: Adapter, network: Any) -> ChampionUpdate:
    """The champion's update of each layer, frozen, in 32 bits, where the layer is.

    Raises ModelError when it has an update of a layer that `network` has not, or whose shape is another.
    """
    saved, scale = load_file(champion.folder / WEIGHTS), _scale(champion)
    names = sorted({key.rpartition(".lora_")[0] for key in saved})
    layers = layers_of(network)
    update = {}
    for name in names:
        if name not in layers or any(name + side not in saved for side in SIDES):
            raise _another_place(champion, name)
        a, b = (saved[name + side].float() for side in SIDES)
        now = update_of(layers[name], network.active_adapter)
        if a.shape[1] != now.a.shape[1] or b.shape[0] != now.b.shape[0]:
            raise _another_shape(champion.folder, name)
        update[name] = Update(a.to(now.a.device), (b * scale).to(now.b.device))
    return update


def start_from(champion: Adapter, network: Any) -> None:
    """Let `network` begin with the champion's update, whatever the scales of the two are.

    Raises ModelError unless both have the same layers, the same rank and the same kind of update.
    """
    saved = {key: weight for key, weight in load_file(champion.folder / WEIGHTS).items() if ".lora_" in key}
    own = get_peft_model_state_dict(network, state_dict=trained_weights(network))
    if missing := sorted(saved.keys() ^ own.keys()):
        raise _another_place(champion, missing[0].rpartition(".lora_")[0])
    for key, weight in saved.items():
        if weight.shape != own[key].shape:
            raise _another_shape(champion.folder, key)
    set_peft_model_state_dict(network, saved)
    was = _scale(champion)
    with torch.no_grad():
        for layer in (layer for layer in network.modules() if isinstance(layer, LoraLayer)):
            for adapter, scale in layer.scaling.items():
                if adapter in layer.lora_B:
                    layer.lora_B[adapter].weight.mul_(was / scale)
                if adapter in layer.lora_embedding_B:
                    layer.lora_embedding_B[adapter].mul_(was / scale)


@contextmanager
def as_champion(network: Any, champion: ChampionUpdate) -> Iterator[None]:
    """`network` as the champion: the base with its update, without the one that is trained and without dropout."""
    layers, training = layers_of(network), network.training
    network.eval()
    hooks = []
    try:
        with network.disable_adapter():
            for name, update in champion.items():
                hooks.append(layers[name].register_forward_hook(_adding(update)))
            yield
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)


def _adding(update: Update) -> Any:
    def hook(_: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        read = inputs[0].to(update.a.dtype)
        return output + (read @ update.a.T @ update.b.T).to(output.dtype)

    return hook


def _scale(champion: Adapter) -> float:
    config = config_of(champion)
    return float(config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"]))


def _another_place(champion: Adapter, name: str) -> ModelError:
    layer = name.removeprefix("base_model.model.")
    return ModelError(
        f"{champion.folder}: the champion and `train.targets` differ in which layers have an update, first in "
        f"`{layer}`; set `train.targets` as it was then, or `train.start: scratch` and `train.keep: none` for a round"
    )


def _another_shape(folder: Path, name: str) -> ModelError:
    return ModelError(
        f"{folder}: the champion's update of `{name.removeprefix('base_model.model.')}` has another shape than the "
        "layer here, so it was made for another base; set `train.start: scratch` and `train.keep: none` for a round"
    )
