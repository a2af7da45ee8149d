"""adaptergate beside ours: its own function, in an environment of its own, asked once for each pair of numbers."""

import json
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from .gate_rules import Mask, Rounds, Rule
from .peers import Peer, run_to_end, secluded, seeing_ours

ADAPTERGATE = Peer("adaptergate", "0.5.4", ("adaptergate==0.5.4",), "peer_adaptergate.py")
GRID = 20_000  # pairs up to which all in between are asked at once, so that later rounds find theirs there


class Adaptergate:
    """The peer's verdicts on rounds; what was asked once is remembered. Raises PeerError when it cannot run."""

    def __init__(self) -> None:
        self._python = seeing_ours(ADAPTERGATE)
        self._known: dict[int, dict[tuple[int, int], bool]] = {}
        self.calls = 0

    @property
    def rule(self) -> Rule:
        return Rule(
            f"drop ≤ 0.02 ({ADAPTERGATE.title})",
            lambda rounds, look: self.accepts(rounds),
            lambda rounds, margin: self.accepts(rounds),
        )

    def accepts(self, rounds: Rounds) -> Mask:
        pairs = list(zip(rounds.before.tolist(), rounds.after.tolist(), strict=True))
        known = self._known.setdefault(rounds.n, {})
        if unknown := {pair for pair in pairs if pair not in known}:
            self._ask(rounds.n, _with_those_between(unknown, rounds.n) - known.keys())
        return np.array([known[pair] for pair in pairs])

    def _ask(self, n: int, pairs: set[tuple[int, int]]) -> None:
        asked = sorted(pairs)
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder) / "in.json", Path(folder) / "out.json"
            source.write_text(json.dumps({"n": n, "pairs": asked}), encoding="utf-8")
            driver = Path(__file__).with_name(ADAPTERGATE.driver)
            run_to_end([str(self._python), "-P", str(driver), str(source), str(out)], 600, secluded(folder))
            verdicts = json.loads(out.read_text(encoding="utf-8"))
        self.calls += len(asked)
        self._known[n] |= zip(asked, verdicts, strict=True)


def _with_those_between(pairs: set[tuple[int, int]], n: int) -> set[tuple[int, int]]:
    numbers = [number for pair in pairs for number in pair]
    between = range(max(0, min(numbers) - 10), min(n, max(numbers) + 10) + 1)
    return pairs | set(product(between, between)) if len(between) ** 2 <= GRID else pairs
