"""The same calls made by others: distilabel and NVIDIA DataDesigner beside us on the mock teacher.

    python -m wheelwork.benchmarks.peers

Needs a package index the first time, some 1.5 GB of disk, and five to seven minutes.

Each peer has an environment of its own under the user's cache folder, made when it is missing, and a driver
(`peer_*.py`) that its own Python runs. What cannot be installed or does not run is left out, with a line that says so.

All get one prompt, ours, as often as there are rows: call, reply parsed as JSON, rows in parquet. 64 calls are under
way at once; client and mock have a core each. Ours also renders the prompt of each row from its template, checks the
reply against its schema and keeps it in the reply cache; the peers' caches are off. What a peer spends to start and
to warm up is taken away: a small run is thrown away, and a second one subtracted from the large one. Ours is timed
from its first call, which favours the peers a little. The peers' telemetry is off, and what they would send to the web
goes to a closed port.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import platformdirs
from wheelwork import __version__
from wheelwork.core.generation.planning import quotas

from .generation import REPEATS, mock, pin, questions, run, spread
from .results import Figure, publish

PARALLEL = 64
OUR_ROWS = 30_000
SMALL = 64
CASE = f"instant mock, {PARALLEL} in parallel"


class Peer(NamedTuple):
    """Another generator: what is installed for it, the driver beside this file, and rows for 10 to 30 seconds."""

    name: str
    version: str
    packages: tuple[str, ...]
    driver: str
    rows: int = 4000

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


class Run(NamedTuple):
    """What one run of a driver made, and what it took."""

    rows: int
    seconds: float
    cpu_seconds: float


class PeerError(Exception):
    """A peer could not be installed or run; the message says why in one line."""


PEERS = (
    # it imports requests, which none of its other packages brings any more
    Peer("distilabel", "1.5.3", ("distilabel[openai]==1.5.3", "requests==2.34.2"), "peer_distilabel.py"),
    Peer("data-designer", "0.9.7", ("data-designer==0.9.7",), "peer_datadesigner.py"),
)


def main() -> None:
    runs: dict[str, list[Run]] = {f"wheelwork {__version__}": []}
    present: list[tuple[Peer, Path]] = []
    for peer in PEERS:
        try:
            present.append((peer, environment_of(peer)))
        except PeerError as error:
            print(f"{peer.title} is left out: it cannot be installed: {error}", flush=True)
    for _ in range(REPEATS):  # in turns, so that whatever else the machine does falls on all of them
        ours = run({}, OUR_ROWS, PARALLEL)
        runs[f"wheelwork {__version__}"].append(Run(ours["rows"] - ours["refused"], ours["wall"], ours["cpu"]))
        for peer, python in list(present):
            try:
                runs.setdefault(peer.title, []).append(measured(peer, python))
            except PeerError as error:
                print(f"{peer.title} is left out: it does not run: {error}", flush=True)
                present.remove((peer, python))
                runs.pop(peer.title, None)
    publish("generation-peers", [figure for system, made in runs.items() for figure in figures(system, made)])


def figures(system: str, runs: Sequence[Run]) -> list[Figure]:
    """Calls a second of wall clock, and of processor time."""
    return [
        *spread(CASE, system, "calls", [one.rows / one.seconds for one in runs], "calls/s"),
        *spread(CASE, system, "calls", [one.rows / one.cpu_seconds for one in runs], "calls per CPU-second"),
    ]


def environment_of(peer: Peer) -> Path:
    """The Python of the peer's own environment, made when it is not there. Raises PeerError."""
    return _made(peer, ())


def seeing_ours(peer: Peer) -> Path:
    """The same, for a peer that needs nothing but what ours has: its environment sees ours. Raises PeerError."""
    return _made(peer, tuple(path for path in sys.path if path.endswith("site-packages")))


def _made(peer: Peer, seen: Sequence[str]) -> Path:
    folder = platformdirs.user_cache_path("wheelwork") / "peers" / f"{peer.name}-{peer.version}"
    python, ready, wanted = folder / "bin" / "python", folder / ".ready", " ".join([*peer.packages, *seen])
    if not (ready.exists() and ready.read_text(encoding="utf-8") == wanted):
        print(f"installing {peer.title} into {folder}", flush=True)
        run_to_end([sys.executable, "-m", "venv", "--clear", str(folder)], 600)
        for own in folder.glob("lib/python*/site-packages"):
            (own / "ours.pth").write_text("\n".join(seen), encoding="utf-8")  # what pip then takes for installed
        run_to_end(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages], 1200
        )
        ready.write_text(wanted, encoding="utf-8")
    return python


def measured(peer: Peer, python: Path) -> Run:
    """One large run of the peer's driver, less a small one. Raises PeerError."""
    driver = Path(__file__).with_name(peer.driver)
    with mock({}) as url, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "request.json").write_text(json.dumps(request()), encoding="utf-8")
        sizes = (SMALL, SMALL, SMALL + peer.rows)
        # -P: what lies beside the driver is nothing that a peer may import
        command = [str(python), "-P", str(driver), url, str(PARALLEL), folder, *map(str, sizes)]
        return beyond_the_start(run_to_end(command, 280, secluded(folder), core=-1), sizes)


def request() -> dict[str, str | float]:
    """What our own client asks the mock, for the drivers."""
    material = questions("http://127.0.0.1/v1", 1, PARALLEL).material(None, "en")
    order = next(iter(material.orders(quotas(1, list(material.categories), material.settings), choices=1, seed=0)))
    asked = material.writing.request(order)
    texts = {message.role: message.content for message in asked.messages}
    return texts | {"max_tokens": asked.max_tokens, "temperature": asked.temperature, "top_p": asked.top_p}


def secluded(folder: str) -> dict[str, str]:
    """An environment in which a peer reports to nobody, finds no way to the web, and keeps its files in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    silent = {"NEMO_TELEMETRY_ENABLED": "false", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    quiet = {"DISTILABEL_LOG_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore"}
    homes = {"HF_HOME": f"{folder}/huggingface", "DATA_DESIGNER_HOME": f"{folder}/home"}
    return kept | nowhere | silent | quiet | homes


def beyond_the_start(output: str, sizes: Sequence[int]) -> Run:
    """What the last run took more than the one before it. Raises PeerError when a run has not made all its rows."""
    runs = [Run(**json.loads(line)) for line in output.splitlines() if line.startswith('{"rows"')]
    if [one.rows for one in runs] != list(sizes):
        made = ", ".join(f"{one.rows:,}" for one in runs) or "nothing"
        raise PeerError(f"of {', '.join(f'{size:,}' for size in sizes)} rows it made {made}")
    small, large = runs[-2:]
    return Run(*(more - less for more, less in zip(large, small, strict=True)))


def complaint(error: str) -> str:
    """The one line of a traceback or of pip's output that says most."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("ERROR:")] or lines
    return said[-1] if said else "it gave no reason"


def run_to_end(
    command: list[str], limit: float, environment: dict[str, str] | None = None, core: int | None = None
) -> str:
    """What `command` prints; it and all that it started are ended after `limit` seconds. Raises PeerError."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as child:
        if core is not None:
            pin(core, child.pid)
        try:
            output, error = child.communicate(timeout=limit)
        except BaseException as problem:  # Ctrl-C too: the session of its own does not hear it
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            if isinstance(problem, subprocess.TimeoutExpired):
                raise PeerError(f"it was not done after {limit:.0f} seconds") from None
            raise
    if child.returncode:
        raise PeerError(complaint(error))
    return output


if __name__ == "__main__":
    main()
