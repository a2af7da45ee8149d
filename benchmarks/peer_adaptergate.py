"""Verdicts of adaptergate: run by its own Python, it knows nothing of ours.

    python peer_adaptergate.py IN.json OUT.json

IN is {"n": items, "pairs": [[right before, right after], …]}. Its gate, with its defaults, is asked about each pair: a
holdout of `n` queries, and a scorer that gives 1.0 to the first so many of them. OUT is a list of true and false. Its
verdict depends on the two means alone, so one call for each pair of numbers is enough for any number of rounds.
"""

import json
import sys
from pathlib import Path

from adaptergate.gating.regression_gate import GateConfig, RegressionGate


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    gate, holdout = RegressionGate(GateConfig()), [{"question_id": number} for number in range(asked["n"])]
    verdicts = []
    for before, after in asked["pairs"]:
        right = {"before": before, "after": after}
        decision = gate.evaluate(
            tenant_id="simulated",
            candidate_id="after",
            baseline_id="before",
            holdout=holdout,
            scorer=lambda adapter, query, right=right: float(query["question_id"] < right[adapter]),
        )
        verdicts.append(decision.accepted)
    Path(sys.argv[2]).write_text(json.dumps(verdicts), encoding="utf-8")


if __name__ == "__main__":
    main()
