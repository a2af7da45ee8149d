"""The same file by others, each in an environment of its own: near duplicates, and rules.

    python -m wheelwork.benchmarks.quality_peers

Needs a package index the first time, some 1.2 GB of disk, and about four minutes.

All go from a .jsonl file to a .jsonl file on one core. Near duplicates, by datasketch, datatrove and data-juicer: a
threshold of 0.5, 256 permutations and word triples; datatrove and data-juicer get our bands, datasketch its own. None
of them compares candidates exactly, as we do. Rules, by data-juicer's fused filters: words, repeated word pairs and
banned phrases with our limits, of which it counts the pairs in its own way; garbage is what both are to find. What a
peer spends to import its packages is not counted. A peer that cannot be installed or does not run is left out, with a
line that says so.

Recall is the share of the planted rows that were dropped. Precision is the share of the drops that were planted to be
found: near duplicates also drop garbage that is alike, and rows in another language are nobody's business here, so
these count for neither.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from wheelwork import __version__
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.sketches import bands_for

from .corpora import write_corpus
from .generation import REPEATS, spread
from .peers import Peer, PeerError, environment_of, run_to_end, secluded
from .quality import NEAR, OURS, run
from .results import Figure, publish

ROWS = 20_000
RULES = Rules()  # what the funnel of this name holds
# it imports aiohttp, which none of its packages brings, and what it lacks besides it would install itself while it runs
DATA_JUICER = ("py-data-juicer", "1.6.1", ("py-data-juicer==1.6.1", "aiohttp==3.14.5", "av==18.1.0", "ray==2.60.0"))


class Contest(NamedTuple):
    """One of our funnels, the defects that it is to find, those that it may find too, and the peers' arguments."""

    funnel: str
    sought: tuple[str, ...]
    either: tuple[str, ...]
    settings: tuple[object, ...]
    peers: tuple[Peer, ...]


CONTESTS = (
    Contest(
        "near_duplicates",
        ("exact", "near"),
        ("garbage", "language", "personal"),
        (NEAR.threshold, NEAR.permutations, *bands_for(NEAR.threshold, NEAR.permutations)),
        (
            Peer("datasketch", "2.0.0", ("datasketch==2.0.0",), "peer_datasketch.py"),
            # it imports orjson, which its extra does not bring
            Peer("datatrove", "0.10.1", ("datatrove[processing]==0.10.1", "orjson==3.13.0"), "peer_datatrove.py"),
            Peer(*DATA_JUICER, "peer_datajuicer.py"),
        ),
    ),
    Contest(
        "rules",
        ("garbage",),
        ("language",),
        (RULES.min_words, RULES.max_words, RULES.max_repetition, json.dumps(RULES.banned)),
        (Peer(*DATA_JUICER, "peer_datajuicer_rules.py"),),
    ),
)


def main() -> None:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        write_corpus(source, ROWS)
        for contest in CONTESTS:
            runs = [run(contest.funnel, source, out, 1) for _ in range(REPEATS)]
            figures += _figures(contest, f"{OURS} {__version__}", runs, source, out)
            for peer in contest.peers:
                try:
                    runs = [_measured(contest, peer, source, out, folder) for _ in range(REPEATS)]
                    figures += _figures(contest, peer.title, runs, source, out)
                except PeerError as error:
                    print(f"{peer.title} is left out: {error}", flush=True)
    publish("quality-peers", figures)


def _measured(contest: Contest, peer: Peer, source: Path, out: Path, folder: str) -> dict[str, float]:
    driver = Path(__file__).with_name(peer.driver)
    command = [str(environment_of(peer)), "-P", str(driver), str(source), str(out), *map(str, contest.settings)]
    output = run_to_end(command, 900, secluded(folder), core=-1)
    lines = [line for line in output.splitlines() if line.startswith('{"rows"')]
    if not lines:
        raise PeerError("its driver printed no figures")
    measured: dict[str, float] = json.loads(lines[-1])
    if measured["rows"] != ROWS:
        raise PeerError(f"of {ROWS:,} rows it read {measured['rows']:,}")
    return measured


def _figures(contest: Contest, system: str, runs: Sequence[dict[str, float]], source: Path, out: Path) -> list[Figure]:
    case = f"{contest.funnel.replace('_', ' ')} of {ROWS:,} rows, one core"
    with source.open(encoding="utf-8") as before, out.open(encoding="utf-8") as after:
        kept = {row["completion"] for row in map(json.loads, after)}
        rows = list(map(json.loads, before))
    planted = Counter(row["planted"] for row in rows)
    gone = Counter(row["planted"] for row in rows if row["completion"] not in kept)
    return [
        *spread(case, system, "rows a second", [ROWS / one["seconds"] for one in runs], "rows/s"),
        *spread(case, system, "rows a CPU-second", [ROWS / one["cpu_seconds"] for one in runs], "rows/s"),
        *found(case, system, contest, gone, planted),
    ]


def found(case: str, system: str, contest: Contest, gone: Counter[str], planted: Counter[str]) -> Iterable[Figure]:
    """Recall of each defect sought, precision of the drops; `gone` and `planted` are rows by defect."""
    right = sum(gone[defect] for defect in contest.sought)
    counted = sum(count for defect, count in gone.items() if defect not in contest.either)
    for defect in contest.sought:
        yield Figure(case, system, f"{defect}: recall", gone[defect] / planted[defect], f"of {planted[defect]:,}")
    if counted:
        yield Figure(case, system, "precision", right / counted, f"of {counted:,}")
    yield Figure(case, system, "good rows dropped", 100 * gone[""] / planted[""], "%")


if __name__ == "__main__":
    main()
