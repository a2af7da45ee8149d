"""Training one LoRA adapter: from samples and a base to a folder."""

import json
import logging
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import transformers

from ..digests import SHORT, digest_of
from ..errors import ConfigError, DataError, ModelError
from ..models.progress import quiet_transformers
from ..models.store import ModelFiles
from ..samples import Sample
from ..workspace import writing
from .adapter import told, with_adapter
from .arguments import arguments_of
from .checkpoints import explaining_write_errors
from .control.fitting import out_of_memory
from .control.running import run
from .control.steering import trained_weights
from .control.step import OnStep, unheard
from .control.validation import Split
from .distilling import SoftTargets
from .fitting import refuse_environment
from .focus.focusing import Focused, focus
from .focus.measuring import Heard
from .fused import fuse
from .hardware import choose, machine
from .keeping.former import NOTHING_BEFORE, Former
from .keeping.keeper import identity_of, keeper_of, kept_apart
from .last_layer import spare_last_layer
from .layout import Layout, fitted, one_by_one
from .lessons import Course
from .losses import Base, head_is_last
from .packing import Encoded
from .processes import launched, train_in_processes
from .settings import Training
from .sharding import refuse_unpacked, share_of
from .steps import PackingTrainer, collating
from .trained import Trained
from .zero import runnable

LOOKED_AFTER = {"process", "memory", "checkpoint_seconds"}  # of `train.control`: gives no other adapter

log = logging.getLogger(__name__)


def train_adapter(
    samples: Sequence[Sample],
    base: ModelFiles,
    settings: Training,
    *,
    seed: int,
    target: Path,
    checkpoints: Path,
    on_step: OnStep = unheard,
    former: Former = NOTHING_BEFORE,
    on_measured: Heard = lambda done, of: None,
    soft: SoftTargets | None = None,
) -> Trained:
    """Train an adapter of `base` on `samples` and write it to `target`, whole or not at all.

    A training that was killed goes on from its last whole checkpoint. These lie in a folder of `checkpoints` that is
    named by base, settings, seed, tokens and champion, so another training never goes on from them; it is deleted at
    the end. `former` is what `settings.focus` and `settings.order` measure with, and what `settings.keep` holds to.
    With `soft` the samples are learnt from what a teacher thought of them; see distilling.py.

    Raises DataError when nothing is left to train on; ModelError when the base cannot be trained, the champion of
    `former` does not fit it, the loss is no longer a number, or the memory is too small; ConfigError for what this
    machine cannot do; WorkspaceError when the disk is full.
    """
    refuse_environment()
    hardware = choose(machine(), settings)
    with quiet_transformers():  # before the processes, so that one measures and each reads what was found
        champion = former.champion.folder if former.champion else None
        focused = focus(samples, base, settings, seed=seed, champion=champion, folder=checkpoints, heard=on_measured)
    if settings.processes > 1 and soft:
        raise ConfigError("a student that learns a teacher's logits trains in one process; set `train.processes: 1`")
    if settings.processes > 1 and not launched():
        return train_in_processes(
            samples, base, settings, device=hardware.device, seed=seed, target=target, checkpoints=checkpoints,
            former=former, on_step=on_step,
        )  # fmt: skip
    with quiet_transformers():
        split = _split(focused.samples, settings, seed)
        apart = kept_apart(settings, former)
        course = _course(focused.of(split.learn), base, settings, seed, apart)
        held_back = _held_back(split, base, settings, seed, apart)
        read = [*course.lessons, *held_back]
        identity = _identity(base, settings, seed, read, focused, former, soft)
        work = checkpoints / f"training-{identity[:SHORT]}"
        arguments = arguments_of(settings, len(course), work, seed, hardware)
        transformers.set_seed(seed)  # before the adapter's random A matrices
        network = with_adapter(base, settings, hardware)
        shares = [share_of(network, settings.processes)] if settings.spread else []
        fuse(network)
        spare_last_layer(network)
        with explaining_write_errors(checkpoints), _explaining_memory(base):
            keeper = keeper_of(network, base, settings, former, course, seed=seed, work=work)
            with runnable(network, arguments):
                layout, hardware = fitted(network, hardware, max(len(one) for one in read), base.name)
            if settings.spread and layout is one_by_one:
                refuse_unpacked(base.name)
            log.info("training %s: %s", base.name, "; ".join(hardware.notes))
            collate = collating(layout, arguments)
            trainer = PackingTrainer(
                settings,
                soft.collating(collate) if soft else collate,
                keeper=keeper,
                base=_base_of(network, settings, layout, read),
                model=network,
                args=arguments,
                train_dataset=course,
            )
            ran = run(trainer, held_back, settings.control, work, on_step)
        learnt = trained_weights(network)  # by all processes, of which each may hold a part
        if arguments.process_index == 0:
            _write(network, learnt, base, target)
    if arguments.process_index == 0:
        shutil.rmtree(work, ignore_errors=True)
        focused.forget()
    notes = (*told(settings), *shares, *keeper.notes, *filter(None, [split.note]), *course.notes, *ran.notes)
    return Trained(
        samples=len(course.lessons),
        too_long=course.too_long,
        packed=layout is not one_by_one,
        hardware=hardware.notes,
        notes=notes,
        focus=focused.record,
        **ran.figures(course.tokens),
    )


def _split(samples: Sequence[Sample], settings: Training, seed: int) -> Split:
    validation = settings.control.validation
    return Split(tuple(samples)) if validation is None else validation.split(samples, seed)


def _course(focused: Focused, base: ModelFiles, settings: Training, seed: int, kept_apart: Collection[str]) -> Course:
    course = _read(focused, base, settings, seed, kept_apart)
    if not len(course):
        raise DataError(
            f"no sample of {len(focused.samples)} is left to train on ({course.too_long} too long); loosen the funnel "
            "or raise `train.max_length`"
        )
    return course


def _held_back(
    split: Split, base: ModelFiles, settings: Training, seed: int, kept_apart: Collection[str]
) -> list[Encoded]:
    """What is held back for validation, in tokens, as it stands."""
    if not split.held_back:
        return []
    return _read(Focused(split.held_back), base, settings, seed, kept_apart).lessons


def _read(focused: Focused, base: ModelFiles, settings: Training, seed: int, kept_apart: Collection[str]) -> Course:
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    return Course(focused.samples, tokenizer, settings, seed, focused.difficulty, kept_apart)


def _base_of(network: Any, settings: Training, layout: Layout, read: Sequence[Encoded]) -> Base:
    """What the base makes of rehearsal among what is `read`; spread, no part of it is computed by itself."""
    if settings.spread:
        return Base(network, layout, in_step=any(one.rehearsal for one in read))
    return Base(network, layout, network.get_output_embeddings() if head_is_last(network) else None)


def _identity(
    base: ModelFiles,
    settings: Training,
    seed: int,
    lessons: Sequence[Encoded],
    focused: Focused,
    former: Former,
    soft: SoftTargets | None,
) -> str:
    """Names the training: what would give another adapter, and not how it is looked after."""
    chosen = settings.model_dump(mode="json", exclude={"control": LOOKED_AFTER})
    read = [base.digest, chosen, seed, focused.difficulty, [asdict(one) for one in lessons]]
    return digest_of([*read, *([soft.digest] if soft else []), *identity_of(settings, former)])


def _write(network: Any, learnt: dict[str, Any], base: ModelFiles, target: Path) -> None:
    """Save the adapter so that the same training gives the same bytes, on every machine."""
    with explaining_write_errors(target.parent), writing(target) as folder:
        network.save_pretrained(folder, state_dict=learnt)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's unfilled model card
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base.name  # a path differs from machine to machine
        if isinstance(config["target_modules"], list):  # a set in PEFT: in another order in every process
            config["target_modules"].sort()
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


@contextmanager
def _explaining_memory(base: ModelFiles) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            raise ModelError(
                f"{base.name}: the memory is too small for this training; lower `train.batch_size` or "
                "`train.max_length`, or choose a smaller model"
            ) from error
        raise
