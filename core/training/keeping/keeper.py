"""What of a training's loss holds it to the champion: made once at its start, asked at every step."""

import logging
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...digests import SHORT, digest_of
from ...models.store import ModelFiles
from ..lessons import Course
from ..packing import Encoded
from ..settings import Training
from .champion import ChampionUpdate, read, start_from
from .fisher import Fisher, estimate, kept
from .former import Former, refuse_misfit, uses_champion
from .settings import ChampionKl, Ewc

FISHER = 1
"""Raise it when the same champion and rows give another Fisher information; it is a part of the kept file's name."""

Row = dict[str, torch.Tensor]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keeper:
    """The champion and what keeps to it; one without a champion keeps to nothing."""

    notes: tuple[str, ...] = ()
    champion: ChampionUpdate | None = None
    ewc: Ewc | None = None
    fisher: Fisher | None = None
    champion_kl: ChampionKl | None = None

    def penalty(self, network: Any) -> torch.Tensor | float:
        """What the loss of a step grows by, in nats."""
        if self.ewc is None or self.champion is None or self.fisher is None:
            return 0.0
        return self.ewc(network, self.champion, self.fisher)

    def replay_losses(self, model: Any, network: Any, row: Row) -> torch.Tensor:
        """Loss of each completion token (T,) of replayed samples, in nats; asked only where `kept_apart` names some."""
        assert self.champion_kl is not None and self.champion is not None
        return self.champion_kl(model, network, self.champion, row)


def kept_apart(settings: Training, former: Former) -> frozenset[str]:
    """Ids of the samples that have another loss than the rest, since they are kept to the champion's answers."""
    if former.champion is None or not any(isinstance(one, ChampionKl) for one in settings.keep):
        return frozenset()
    return frozenset(sample.id for sample in former.replayed)


def identity_of(settings: Training, former: Former) -> list[str]:
    """What of the champion makes a training another one; nothing where it has no say."""
    return [former.champion.digest] if former.champion is not None and uses_champion(settings) else []


def keeper_of(
    network: Any,
    base: ModelFiles,
    settings: Training,
    former: Former,
    course: Course,
    *,
    seed: int,
    work: Path,
) -> Keeper:
    """Let `network` start where it is to, and make what keeps it to the champion.

    Which weights the champion needs is told by replayed samples and the rehearsal of `course`, and kept in the folder
    `work`, for a training that was killed. What cannot be done is left out, and the notes say so.

    Raises ModelError when the champion does not fit.
    """
    if not uses_champion(settings):
        return Keeper()
    if former.champion is None:
        return Keeper(_told(_without_champion(settings)))
    refuse_misfit(former.champion, base.name, settings)
    if settings.start == "champion":
        start_from(former.champion, network)
    if not settings.keep:
        return Keeper()
    champion = read(former.champion, network)
    keeper = Keeper(champion=champion)
    for one in settings.keep:
        if isinstance(one, ChampionKl) and former.replayed:
            keeper = replace(keeper, champion_kl=one)
        elif isinstance(one, Ewc) and (rows := _telling(one, former, course, seed)):
            keeper = replace(keeper, ewc=one, fisher=_fisher(champion, network, rows, seed, work))
        else:
            said = f"`{one.kind}` was left out: there is no {one.needs} sample to keep to the champion on"
            keeper = replace(keeper, notes=(*keeper.notes, *_told([said])))
    return keeper


def drawn(most: int, replayed: Sequence[Encoded], rehearsal: Sequence[Encoded], seed: int) -> list[Encoded]:
    """At most so many, half of either kind; where there are fewer of one, more of the other."""
    draw = random.Random(seed)
    old, general = (draw.sample(part, len(part)) for part in (replayed, rehearsal))
    general = general[: max(most // 2, most - len(old))]
    return [*old[: most - len(general)], *general]


def _telling(ewc: Ewc, former: Former, course: Course, seed: int) -> list[Encoded]:
    rehearsal = [one for one in course.lessons if one.rehearsal]
    return drawn(ewc.rows, course.encoded(former.replayed), rehearsal, seed)


def _fisher(champion: ChampionUpdate, network: Any, rows: Sequence[Encoded], seed: int, work: Path) -> Fisher:
    name = digest_of([FISHER, seed, [asdict(row) for row in rows]])[:SHORT]
    return kept(work / f"fisher-{name}.safetensors", lambda: estimate(network, champion, rows, seed))


def _without_champion(settings: Training) -> list[str]:
    said = []
    if settings.start == "champion":
        said.append("there is no champion yet, so training began from scratch")
    if kinds := " and ".join(f"`{one.kind}`" for one in settings.keep):
        said.append(f"there is no champion yet, so {kinds} had nothing to keep to")
    return said


def _told(notes: Sequence[str]) -> tuple[str, ...]:
    for note in notes:
        log.warning("%s", note)
    return tuple(notes)
