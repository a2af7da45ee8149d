"""LoRA adapters on a network in this process, through PEFT: loaded, switched, let go."""

import warnings
from collections.abc import Sequence
from typing import Any

from ..errors import ModelError
from .base import Adapter


def with_adapters(network: Any, adapters: Sequence[Adapter]) -> Any:
    """`network` with `adapters`, each in the slot of its place. Raises ModelError for one that does not fit."""
    for number, adapter in enumerate(adapters):
        network = with_adapter(network, adapter, slot(number))
    return network


def with_adapter(network: Any, adapter: Adapter, name: str) -> Any:
    """`network` with `adapter` too, in the slot `name`.

    Raises ModelError when it does not fit, and leaves the network as it was.
    """
    from peft import PeftConfig, PeftModel, get_peft_model
    from safetensors import SafetensorError

    folder, adapted = str(adapter.folder), network
    try:
        if not isinstance(network, PeftModel):
            config = PeftConfig.from_pretrained(folder)
            config.inference_mode = True
            adapted = get_peft_model(network, config, adapter_name=name)
        loaded = adapted.load_adapter(folder, adapter_name=name)
        stray = [*loaded.missing_keys, *loaded.unexpected_keys]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        _undo(network, adapted, name)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{folder}: this adapter does not fit the model ({reason[:160]})") from error
    if stray:
        _undo(network, adapted, name)
        raise ModelError(f"{folder}: this adapter does not fit the model (`{stray[0]}`); it belongs to another one")
    return adapted


def _undo(network: Any, adapted: Any, name: str) -> None:
    """Take out again what was put into the layers of `network`, which the first adapter wraps and the others join."""
    if adapted is not network:
        adapted.unload()
    elif name in getattr(network, "peft_config", {}):
        without(network, name)


def without(network: Any, name: str) -> Any:
    """`network` without the slot `name`; the bare model after the last one, as PEFT does not answer with none."""
    if list(network.peft_config) == [name]:
        return network.unload()
    with warnings.catch_warnings():  # that another one is active now, which the next answer sets anyway
        warnings.simplefilter("ignore")
        network.delete_adapter(name)
    return network


def switch(network: Any, adapters: Sequence[str], adapter: str | None) -> None:
    """Let `network`, which was loaded with these adapters in this order, answer as one of them; None is the base."""
    if adapters:
        activate(network, None if adapter is None else slot(adapters.index(adapter)))


def activate(network: Any, name: str | None) -> None:
    """Let the adapter in the slot `name` answer; None is the base below the adapters."""
    if name is None:
        network.base_model.disable_adapter_layers()
    else:
        network.base_model.enable_adapter_layers()
        network.set_adapter(name)


def slot(number: int) -> str:
    return f"adapter_{number}"  # torch refuses dots, which versioned names have
