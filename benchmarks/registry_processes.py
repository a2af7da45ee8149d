"""What the benchmark of the registry does in processes of their own: judge a candidate, look at what there is.

They are forked from one that has MLflow imported and no database open, so that a start costs milliseconds.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from wheelwork.blocks.environment import QUIET

os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})

# after the environment that MLflow reads
from mlflow import MlflowClient
from wheelwork.blocks.registry import ModelRegistry, moves_of
from wheelwork.core.registry.fingerprint import Fingerprint
from wheelwork.core.registry.journal import Entry
from wheelwork.core.registry.moves import Judged
from wheelwork.core.registry.past import Past

LOOP = "home_broadband"
CHAMPION = "champion"
FAULTS = (
    "champion neither the old nor the new", "champion that lost", "not one champion", "history tells otherwise",
    "moves left open",
)  # fmt: skip


class Place(NamedTuple):
    """A state folder, and the MLflow database that it works with."""

    home: Path
    database: Path
    run: str  # an MLflow run that adapters are registered under

    def enter(self) -> None:
        """To be called in a forked process before it opens MLflow."""
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.database}"


# one process each


def forked(act: Callable[[], Any], kill_after: float | None = None) -> Any:
    """What `act` returns, as JSON keeps it, in a process of its own; None where it was killed before it ended.

    Raises RuntimeError when it failed by itself.
    """
    read, write = os.pipe()
    child = _fork(act, read, write)
    os.close(write)
    if kill_after is not None:
        time.sleep(kill_after)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return _result(child, read)


def together(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each of `acts` returns; they begin at the same moment."""
    gate, opened = os.pipe()
    children = []
    for act in acts:
        read, write = os.pipe()
        children.append((_fork(act, read, write, gate, opened), read))
        os.close(write)
    os.close(gate)
    time.sleep(0.05)  # until all of them wait at the gate
    os.close(opened)
    return [_result(child, read) for child, read in children]


def _fork(act: Callable[[], Any], read: int, write: int, gate: int | None = None, opened: int | None = None) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.close(read)
        if gate is not None and opened is not None:
            os.close(opened)
            os.read(gate, 1)  # returns when the gate's other end is closed
        told = json.dumps(act()).encode()
        while told:
            told = told[os.write(write, told) :]
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _result(child: int, read: int) -> Any:
    with os.fdopen(read, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    if os.WEXITSTATUS(status):
        raise RuntimeError("a process of the benchmark failed; its error stands above")
    return json.loads(told)


# what they do


def warmed(database: Path) -> Path:
    """Have everything imported that MLflow imports as it opens a database, here once for all forks; returns `database`.

    It is migrated if need be. No fork uses it: connections do not survive one.
    """
    uri = f"sqlite:///{database}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments()
    client.search_model_versions("name = 'none'")
    return database


def prepared(folder: Path, migrated: Path) -> Place:
    """A state folder with a copy of the database `migrated`, and a run in it."""
    folder.mkdir(parents=True)
    database = Path(shutil.copy(migrated, folder / "mlflow.db"))

    def make() -> str:
        client = MlflowClient(tracking_uri=f"sqlite:///{database}")
        experiment = client.create_experiment(LOOP, artifact_location=(folder / "artifacts").as_uri())
        return str(client.create_run(experiment).info.run_id)

    return Place(folder, database, forked(make))


def judge(place: Place, number: int, against: str | None, verdict: str) -> dict[str, Any]:
    """The end of round `number`: its adapter is registered and the aliases move as its verdict says."""
    place.enter()
    digest = f"{number:064x}"
    adapter = place.home / "adapters" / digest
    adapter.mkdir(parents=True, exist_ok=True)
    (adapter / "adapter_model.safetensors").write_bytes(digest.encode())
    version = ModelRegistry(LOOP).register(place.run, adapter, digest, {"round": f"{number:04d}"})
    measured = Fingerprint.model_validate(dict.fromkeys(Fingerprint.model_fields, "measured") | {"adapter": digest})
    judged = Judged.model_validate(
        {
            "version": version,
            "adapter": digest,
            "against": against,
            "verdict": verdict,
            "figures": {"holdout": {"candidate": 0.9, "delta": 0.02, "p_value": 0.01}},
            "reason": f"holdout: the candidate of round {number} is {verdict}",
            "round": f"{number:04d}",
            "run": place.run,
            "fingerprint": measured,
        }
    )
    return moves_of(LOOP, place.home).judge(judged).model_dump()


def looked(place: Place) -> dict[str, Any]:
    """Where the alias stood, then all that is said of it after a catching up, and whether that is an explanation."""
    place.enter()
    registry, moves = ModelRegistry(LOOP), moves_of(LOOP, place.home)
    found = registry.aliases().get(CHAMPION)
    before = list(moves.journal.entries())
    past = moves.catch_up()
    entries = list(moves.journal.entries())
    with closing(sqlite3.connect(place.database)) as rows:  # past MLflow, to see what is really there
        ask = "SELECT COUNT(*) FROM registered_model_aliases WHERE alias = 'champion'"
        (champions,) = rows.execute(ask).fetchone()
        (newest,) = rows.execute("SELECT MAX(version) FROM model_versions").fetchone()
    return {
        "found": found,
        "stage": stage(before, found),
        "champion": registry.aliases().get(CHAMPION),
        "champions": champions,
        "told": past.champion,
        "explained": explained(entries),
        "open": past.begun is not None,
        "lost": sorted({str(move.after) for move in past.judged.values() if move.verdict != "promoted"}),
        "newest": newest,
    }


def stage(entries: list[Entry], champion: str | None) -> str:
    """How far the last move had come."""
    last = entries[-1] if entries else None
    if last is None or last.state != "begun":
        return "between moves"
    if last.move.alias != CHAMPION:
        return "moving the candidate"
    return "champion moved, not written down" if champion == last.move.after else "champion not moved yet"


def explained(entries: list[Entry]) -> bool:
    """Whether every move goes on from where the one before it left the alias."""
    holders: dict[str, str | None] = {}
    for entry in entries:
        if entry.moved:
            if entry.move.kind != "start" and entry.move.before != holders.get(entry.move.alias):
                return False
            holders[entry.move.alias] = entry.move.after
    return holders.get(CHAMPION) == Past(entries).champion


def faults(state: dict[str, Any], allowed: set[str | None]) -> list[str]:
    """What is wrong with what was found; `allowed` may be champion."""
    wrong = {
        FAULTS[0]: state["found"] not in allowed or state["champion"] != state["found"],
        FAULTS[1]: state["champion"] in state["lost"],
        FAULTS[2]: state["champions"] != (state["champion"] is not None),
        FAULTS[3]: state["told"] != state["champion"] or not state["explained"],
        FAULTS[4]: state["open"],
    }
    return [name for name, so in wrong.items() if so]
