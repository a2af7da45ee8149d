"""Versions of a loop that answer differently, so that a reply tells which of them wrote it.

    python -m wheelwork.benchmarks.serving_versions train LOOP FOLDER
    python -m wheelwork.benchmarks.serving_versions promote LOOP HOME FOLDER

`train` makes a few adapters, each of which says one label to every message: by the loop's own training, in the size of
the loop's own. `promote` registers and promotes the version of each number on its standard input, and tells what became
of it. Version N is one of the adapters in turn, its update stretched by N ten-thousandths: other files with the same
answers, which spares fifty trainings.

Processes of their own, so that neither torch nor MLflow is beside the clients that measure.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs
import yaml
from wheelwork.core.chat.messages import ChatRequest
from wheelwork.core.digests import digest_of
from wheelwork.core.engines.base import ADAPTER_FILES, Adapter
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.naming import CONFIG
from wheelwork.core.samples import Message, Sample
from wheelwork.core.workspace import writing

SPEAKERS = 4  # versions that are loaded at once, in an engine and in the one before it, all say something else
LESSONS = 24
TRAINING = {"epochs": 1, "batch_size": 4}  # six steps: one answer to everything is soon learnt
QUESTIONS = 12
STRETCH = 1e-4  # of the update, from one version to the next
CONFIGURATION, WEIGHTS = ADAPTER_FILES
LONGEST_REPLY = 16  # tokens; an adapter that learnt its label ends after it


class Promoted(NamedTuple):
    """A version that became champion, and when, in seconds since 1970: the moment before its alias was moved."""

    version: str
    at: float

    @classmethod
    def of(cls, line: str) -> "Promoted":
        return cls(**json.loads(line))


def labels_of(loop: Loop) -> tuple[str, ...]:
    """What the adapters of `loop` say, one each."""
    labels = tuple(loop.labels)[:SPEAKERS]
    if len(labels) < SPEAKERS:
        raise SystemExit(f"{loop.name}: has {len(labels)} labels; this benchmark needs {SPEAKERS} that differ")
    return labels


def label_of(labels: Sequence[str], version: str) -> str:
    """What a version says to every message."""
    return labels[int(version) % len(labels)]


def questions(loop: Loop) -> list[str]:
    """Messages that no adapter was trained on, from the first target suite, spread over it."""
    suite = next(one for one in loop.suites.values() if one.settings.role == "target")
    return [suite.items[at * len(suite.items) // QUESTIONS].prompt for at in range(QUESTIONS)]


def copied_loop(loop: Loop, folder: Path) -> Path:
    """A copy of a loop without canary: a promoted version gets everybody at once."""
    shutil.copytree(loop.folder, folder)
    told = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    told["serve"] = {**told.get("serve", {}), "canary": "off"}
    (folder / CONFIG).write_text(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return folder


def kept_in(loop: Loop, base: ModelFiles) -> Path:
    """Where the adapters of a loop and base are kept from one run of the benchmark to the next."""
    identity = digest_of([loop.digest, base.digest, LESSONS, TRAINING])[:16]
    return platformdirs.user_cache_path("wheelwork") / "serving-benchmark" / f"{loop.name}-{identity}"


def stretched(trained: Path, number: int, target: Path) -> Adapter:
    """The adapter of version `number`, made from one that was trained."""
    from safetensors.numpy import load_file, save_file

    target.mkdir(parents=True)
    factor = np.float32(1 + number * STRETCH)
    weights = {name: one * factor if ".lora_B." in name else one for name, one in load_file(trained / WEIGHTS).items()}
    save_file(weights, target / WEIGHTS)
    shutil.copy(trained / CONFIGURATION, target)
    return Adapter.at(target)


def lessons(loop: Loop, label: str) -> list[Sample]:
    """The loop's own examples, spread over them, with `label` as the answer to each."""
    seeds, ask = loop.seeds, loop.writing().ask
    many = min(LESSONS, len(seeds))
    answer = Message(role="assistant", content=label)
    return [
        Sample.make((*ask(seeds[at * len(seeds) // many].text), answer), task="classify", label=label, origin="import")
        for at in range(many)
    ]


def train(loop: Loop, base: ModelFiles, folder: Path) -> None:
    """One adapter for each label, in a folder of its name; those that are there already are left.

    Raises SystemExit for one that says anything else to a question.
    """
    settings = loop.settings.train.model_copy(update=TRAINING)
    for label in labels_of(loop):
        if (folder / label).is_dir():
            continue
        from wheelwork.core.training.trainer import train_adapter  # torch loads for seconds

        with writing(folder / label) as temporary:
            train_adapter(
                lessons(loop, label), base, settings, seed=0, target=temporary, checkpoints=folder / "checkpoints"
            )
            said = asyncio.run(answers(loop, base, Adapter.at(temporary), folder / "engine"))
            if wrong := [one for one in said if one != label]:
                raise SystemExit(f"the adapter that should say `{label}` says `{wrong[0]}`; give it more LESSONS")
        print(f"trained: {label}", file=sys.stderr, flush=True)


async def answers(loop: Loop, base: ModelFiles, adapter: Adapter, cache: Path) -> list[str]:
    """What an adapter says to every question, in the engine that serves."""
    with loop.engine_for(base).start(base, {"one": adapter}, cache) as engine:
        async with aclosing(engine.chat("one")) as chat:  # type: ignore[type-var]
            return [
                (await chat(ChatRequest(messages=loop.writing().ask(text), max_tokens=LONGEST_REPLY))).text.strip()
                for text in questions(loop)
            ]


class Promoter:
    """Registers and promotes versions, as the end of a round does."""

    def __init__(self, loop: Loop, base: ModelFiles, home: Path, trained: Path) -> None:
        from wheelwork.blocks.registry import ModelRegistry, moves_of
        from wheelwork.blocks.tracking import Tracking

        self._loop, self._base, self._home, self._trained = loop, base, home, trained
        self._run = Tracking(loop.name, home).open_run("0001", {})
        self._registry, self._moves = ModelRegistry(loop.name), moves_of(loop.name, home)

    def __call__(self, number: int) -> Promoted:
        """Promote version `number` over whoever is champion."""
        from wheelwork.core.registry.fingerprint import fingerprint_of
        from wheelwork.core.registry.moves import Judged

        folder = self._home / "made" / str(number)
        adapter = stretched(self._trained / label_of(labels_of(self._loop), str(number)), number, folder)
        round_id = f"{number:04d}"
        version = self._registry.register(self._run, folder, adapter.digest, {"round": round_id})
        moved = self._moves.judge(
            Judged(
                version=version, adapter=adapter.digest, against=self._moves.catch_up().champion, verdict="promoted",
                reason="promoted to be measured", round=round_id, run=self._run,
                fingerprint=fingerprint_of(self._loop, self._base, adapter.digest),
            )
        )  # fmt: skip
        shutil.rmtree(folder)  # the registry has its own
        if moved.status != "promoted" or version != str(number):
            raise SystemExit(f"version {number} was to be promoted; {version} {moved.status}: {moved.note}")
        done = next(one for one in self._moves.journal.entries() if one.sequence == moved.entry)
        begun = next(one for one in self._moves.journal.entries() if one.sequence == done.begun)
        return Promoted(version, begun.moment.timestamp())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("act", choices=["train", "promote"])
    options.add_argument("loop", type=Path)
    options.add_argument("folders", type=Path, nargs="+")
    chosen = options.parse_args()
    loop = load_loop(chosen.loop)
    base = ModelStore().get(loop.model_ref(loop.settings.model))
    if chosen.act == "train":
        train(loop, base, *chosen.folders)
        return
    from wheelwork.blocks.environment import prepare

    home, trained = chosen.folders
    prepare(home)
    promote = Promoter(loop, base, home, trained)
    for line in sys.stdin:
        print(json.dumps(promote(int(line))._asdict()), flush=True)


def environment(home: Path) -> dict[str, Any]:
    """That of a command with the state folder `home`; nothing else of the caller's state is used."""
    others = ("WHEELWORK_HOME", "PREFECT", "MLFLOW")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return plain | {"WHEELWORK_HOME": str(home)}


if __name__ == "__main__":
    main()
