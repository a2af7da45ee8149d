"""What a training may keep to: the champion's adapter, and the samples of earlier rounds. Reading it needs no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engines.base import Adapter
from ...errors import ModelError
from ...samples import Sample
from ..settings import Training

# what makes more of an adapter than scale · B · A
NOT_A_PRODUCT = {
    "alpha_pattern": "alphas that differ by layer",
    "lora_bias": "biases of its own (`lora_bias`)",
    "modules_to_save": "fully trained modules (`modules_to_save`)",
    "rank_pattern": "ranks that differ by layer",
    "trainable_token_indices": "trained tokens",
    "use_dora": "DoRA",
}
CHANGES_THE_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
WITHOUT = "set `train.start: scratch` and `train.keep: none` for a round, or train as the champion was"


@dataclass(frozen=True)
class Former:
    """The champion, None before the first promotion, and the replayed samples, trained on or not."""

    champion: Adapter | None = None
    replayed: Sequence[Sample] = ()

    @classmethod
    def at(cls, folder: Path | None, replayed: Sequence[Sample]) -> "Former":
        """The champion in a folder, if there is one, and what is replayed."""
        return cls(Adapter.at(folder) if folder else None, replayed)


NOTHING_BEFORE = Former()


def uses_champion(settings: Training) -> bool:
    """Whether the champion's adapter has a say in a training with these settings."""
    return settings.start == "champion" or bool(settings.keep)


def config_of(champion: Adapter) -> dict[str, Any]:
    """The adapter's configuration, in PEFT's words."""
    config: dict[str, Any] = json.loads((champion.folder / "adapter_config.json").read_text(encoding="utf-8"))
    return config


def refuse_misfit(champion: Adapter, base: str, settings: Training) -> None:
    """Raise ModelError when a training of the base named `base` cannot use the champion, as far as its files tell.

    Which layers have an update is seen once the model is loaded (`champion.read`, `champion.start_from`).
    """
    config = config_of(champion)
    other = config.get("base_model_name_or_path")
    if other != base:
        raise ModelError(f"{champion.folder}: the champion is an adapter of `{other}`, not of `{base}`; {WITHOUT}")
    if settings.start == "champion" and config["r"] != settings.rank:
        raise ModelError(
            f"{champion.folder}: the champion has rank {config['r']} and `train.rank` is {settings.rank}, so training "
            f"cannot go on from it; set `train.rank: {config['r']}` or `train.start: scratch`"
        )
    if settings.keep and (more := beyond_a_product(config)):
        raise ModelError(f"{champion.folder}: `train.keep` cannot hold to a champion with {more}; {WITHOUT}")


def beyond_a_product(config: dict[str, Any]) -> str | None:
    """What of an adapter is more than scale · B · A on fixed weights; None when nothing is."""
    for name, said in NOT_A_PRODUCT.items():
        if config.get(name):
            return said
    start = str(config.get("init_lora_weights"))
    return f"a changed base ({start})" if start.lower().startswith(CHANGES_THE_BASE) else None
