"""Near duplicates of the same file by others: datasketch, datatrove and data-juicer, each in an environment of its own.

    python -m wheelwork.benchmarks.quality_peers

Needs a package index the first time, some 1.2 GB of disk, and about three minutes.

All get a threshold of 0.5, 256 permutations and word triples, and go from a .jsonl file to a .jsonl file on one core;
datatrove and data-juicer get our bands, datasketch its own. None of them compares candidates exactly, as we do. What a
peer spends to import its packages is not counted. A peer that cannot be installed or does not run is left out, with a
line that says so.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from wheelwork import __version__
from wheelwork.core.quality.sketches import bands_for

from .corpora import write_corpus
from .generation import REPEATS, spread
from .peers import Peer, PeerError, environment_of, run_to_end, secluded
from .quality import NEAR, OURS, run
from .results import Figure, publish

ROWS = 20_000
PEERS = (
    Peer("datasketch", "2.0.0", ("datasketch==2.0.0",), "peer_datasketch.py"),
    # it imports orjson, which its extra does not bring
    Peer("datatrove", "0.10.1", ("datatrove[processing]==0.10.1", "orjson==3.13.0"), "peer_datatrove.py"),
    # it imports aiohttp, which none of its packages brings
    Peer("py-data-juicer", "1.6.1", ("py-data-juicer==1.6.1", "aiohttp==3.14.5"), "peer_datajuicer.py"),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        write_corpus(source, ROWS)
        case = f"near duplicates of {ROWS:,} rows, one core"
        runs = [run("near_duplicates", source, out, 1) for _ in range(REPEATS)]
        figures = _figures(case, f"{OURS} {__version__}", runs, source, out)
        for peer in PEERS:
            try:
                runs = [_measured(peer, source, out, folder) for _ in range(REPEATS)]
                figures += _figures(case, peer.title, runs, source, out)
            except PeerError as error:
                print(f"{peer.title} is left out: {error}", flush=True)
    publish("quality-peers", figures)


def _measured(peer: Peer, source: Path, out: Path, folder: str) -> dict[str, float]:
    driver, bands = Path(__file__).with_name(peer.driver), bands_for(NEAR.threshold, NEAR.permutations)
    settings = (NEAR.threshold, NEAR.permutations, *bands)
    command = [str(environment_of(peer)), "-P", str(driver), str(source), str(out), *map(str, settings)]
    output = run_to_end(command, 280, secluded(folder), core=-1)
    lines = [line for line in output.splitlines() if line.startswith('{"rows"')]
    if not lines:
        raise PeerError("its driver printed no figures")
    measured: dict[str, float] = json.loads(lines[-1])
    if measured["rows"] != ROWS:
        raise PeerError(f"of {ROWS:,} rows it read {measured['rows']:,}")
    return measured


def _figures(case: str, system: str, runs: list[dict[str, float]], source: Path, out: Path) -> list[Figure]:
    speeds = [
        *spread(case, system, "rows a second", [ROWS / one["seconds"] for one in runs], "rows/s"),
        *spread(case, system, "rows a CPU-second", [ROWS / one["cpu_seconds"] for one in runs], "rows/s"),
    ]
    with source.open(encoding="utf-8") as before, out.open(encoding="utf-8") as after:
        kept = {row["completion"] for row in map(json.loads, after)}
        rows = list(map(json.loads, before))
    gone = Counter(row["planted"] for row in rows if row["completion"] not in kept)
    return [*speeds, *_found(case, system, gone, Counter(row["planted"] for row in rows))]


def _found(case: str, system: str, gone: Counter[str], planted: Counter[str]) -> Iterable[Figure]:
    for defect in ("exact", "near"):
        share = gone[defect] / planted[defect]
        yield Figure(case, system, f"{defect} copies found", share, f"of {planted[defect]:,}")
    # texts without words, or of the same three words again and again, are alike too; only good rows tell mistakes
    yield Figure(case, system, "good rows dropped", 100 * gone[""] / planted[""], "%")


if __name__ == "__main__":
    main()
