"""Rounds that go on from the champion and are held to it, by the real command on random models."""

import json
from pathlib import Path
from typing import Any

from wheelwork.tests.e2e.command import Command, tiny_loop, write_config

TRAIN: dict[str, Any] = {
    "rank": 16,
    "epochs": 10,
    "batch_size": 8,
    "learning_rate": 0.01,
    "start": "champion",
    "keep": [{"kind": "ewc", "strength": 0.001, "rows": 8}, {"kind": "champion_kl"}],
}


def test_the_first_round_says_that_there_is_no_champion_the_second_keeps_to_it_and_a_misfit_is_refused(
    tmp_path: Path, migrated: Path, server: str
) -> None:
    loop, report = tiny_loop(tmp_path / "loop", train=TRAIN), tmp_path / "r.json"
    command = Command(tmp_path / "home", tmp_path / "models", migrated.parent, server)
    try:
        notes = []
        for seed in ("0", "1"):
            ran = command.run("improve", str(loop), "--seed", seed, "--report", str(report))
            assert ran.code == 0, ran.err
            told = json.loads(report.read_text(encoding="utf-8"))
            notes.append(told["train"]["notes"])
            if seed == "0":
                assert told["verdict"] == "promoted"
                assert "There is no champion yet, so training began from scratch." in " ".join(ran.out.split())
            else:
                assert told["replay"]["samples"] > 0 and told["cache"]["train"] == "miss"
        assert notes == [
            [
                "there is no champion yet, so training began from scratch",
                "there is no champion yet, so `ewc` and `champion_kl` had nothing to keep to",
            ],
            [],
        ]
        write_config(loop, train=TRAIN | {"rank": 8})
        refused = command.run("improve", str(loop), "--seed", "2")
        assert refused.code == 2 and "Traceback" not in refused.err
        assert "the champion has rank 16 and `train.rank` is 8" in refused.sentence
    finally:
        command.end_all()
