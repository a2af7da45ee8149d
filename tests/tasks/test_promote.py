"""The end of a round at the registry: what is registered, whom it was against, and what a late verdict comes to."""

from pathlib import Path
from typing import Any, Literal

import pytest
from wheelwork.blocks.registry import ModelRegistry, moves_of
from wheelwork.blocks.tracking import Tracking
from wheelwork.core.artifacts import Artifact, ArtifactStore
from wheelwork.core.evaluation.gate import Decision, SuiteFigures
from wheelwork.core.registry.journal import CHAMPION
from wheelwork.core.registry.moves import Moved
from wheelwork.core.rounds import Champion, Round, Sifted, Site, TrainedAdapter
from wheelwork.core.training.trained import Trained
from wheelwork.tasks.champions import Champions
from wheelwork.tasks.promote import promote, registry_part, settled
from wheelwork.tests.core.registry.parts import fingerprint

Verdict = Literal["promoted", "rejected", "inconclusive"]


def decision(verdict: Verdict = "promoted") -> Decision:
    figures = SuiteFigures(
        role="target", digest="s", n=100, base=0.5, champion=0.8, candidate=0.9, delta=0.1, ci=(0.02, 0.18),
        p_value=0.01, alpha=0.025, outcome="pass", sentence="holdout: better",
    )  # fmt: skip
    return Decision(verdict=verdict, reasons=("holdout: better",), figures={"holdout": figures}, alpha=0.025, look=1)


class Rounds:
    """Rounds of one loop that end here; the adapter of a number is that number's."""

    def __init__(self, home: Path) -> None:
        self.site = Site(loop=home, home=home)
        self.store = ArtifactStore(self.site.artifacts)
        self._folder = home / "made"

    def opened(self, number: int) -> tuple[Champions, Round]:
        round_id = f"{number:04d}-abc"
        champions = Champions(ModelRegistry("tiny"), moves_of("tiny", self.site.home).catch_up(), round_id)
        run = Tracking("tiny", self.site.home).open_run(round_id, {})
        round_ = Round(
            site=self.site, loop="tiny", id=round_id, seed=number, samples=1, champion=champions.present, run_id=run,
            pool=None, excluded=(),
        )  # fmt: skip
        return champions, round_

    def concluded(
        self, number: int, rival: Champion | None, round_: Round, verdict: Verdict = "promoted", **parts: str
    ) -> Moved:
        digest = f"adapter {number}"
        folder = self._folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_model.safetensors").write_bytes(digest.encode())
        trained = TrainedAdapter.model_construct(
            adapter=self.store.write_folder(folder), digest=digest, training=Trained.model_construct()
        )
        kept = Artifact(uri="nowhere", digest="d" * 64, rows=1)
        told: Any = promote.fn
        moved: Moved = told(
            self.site, round_, Sifted.model_construct(kept=kept), trained, decision(verdict), rival,
            fingerprint(adapter=digest, **parts),
        )  # fmt: skip
        return moved

    def whole(self, number: int, verdict: Verdict = "promoted", **parts: str) -> Moved:
        champions, round_ = self.opened(number)
        return self.concluded(number, champions.rival(f"adapter {number}"), round_, verdict, **parts)


@pytest.fixture
def rounds(mlflow_uri: str, tmp_path: Path) -> Rounds:
    return Rounds(tmp_path / "home")


def test_a_promoted_round_leaves_all_of_it_at_its_version(rounds: Rounds) -> None:
    moved = rounds.whole(1)
    found = ModelRegistry("tiny").version(str(moved.version))
    assert found is not None and found.round == "0001-abc"
    assert found.tags | {"fingerprint": "", "fingerprint_parts": ""} == {
        "adapter_digest": "adapter 1", "base_digest": "as ever", "data_digest": "d" * 64, "round": "0001-abc",
        "verdict": "promoted", "previous_champion": "", "fingerprint": "", "fingerprint_parts": "",
    }  # fmt: skip
    (entry,) = moves_of("tiny", rounds.site.home).catch_up().champions
    assert entry.move.figures == {
        "holdout": {
            "n": 100, "base": 0.5, "champion": 0.8, "candidate": 0.9, "delta": 0.1, "low": 0.02, "high": 0.18,
            "p_value": 0.01,
        }
    }  # fmt: skip
    assert (entry.move.round, entry.move.reason) == ("0001-abc", "holdout: better")


def test_a_round_that_is_given_again_ends_as_it_did(rounds: Rounds) -> None:
    rounds.whole(1)
    rounds.whole(2)
    champions, round_ = rounds.opened(2)
    before, rival = champions.before(), champions.rival("adapter 2")
    assert before is not None and rival is not None and before.version == rival.version == "1"
    again = rounds.concluded(2, rival, round_)
    assert (again.status, again.version, again.champion, again.note) == ("already", "2", "2", "")
    assert rounds.opened(3)[0].before() == rounds.opened(3)[0].present


def test_the_round_before_the_present_one_meets_whom_it_met(rounds: Rounds) -> None:
    rounds.whole(1)
    rounds.whole(2)
    champions, _ = rounds.opened(1)
    assert champions.rival("adapter 1") is None is champions.before()
    assert rounds.whole(1).status == "already"
    assert ModelRegistry("tiny").aliases()[CHAMPION] == "2"


def test_of_two_rounds_that_race_the_second_is_told_and_may_be_given_again(rounds: Rounds) -> None:
    rounds.whole(1)
    champions, late = rounds.opened(3)
    rival = champions.rival("adapter 3")
    rounds.whole(2)
    moved = rounds.concluded(3, rival, late)
    assert (moved.status, moved.champion) == ("refused", "2")
    held = settled(decision(), moved)
    assert held.verdict == "inconclusive" and held.reasons[0] == moved.note
    assert rounds.whole(3).status == "promoted"


def test_after_a_rollback_the_next_round_meets_who_came_back(rounds: Rounds) -> None:
    rounds.whole(1)
    rounds.whole(2)
    moves_of("tiny", rounds.site.home).roll_back()
    champions, _ = rounds.opened(3)
    rival = champions.rival("adapter 3")
    assert rival is not None and rival.version == "1" and champions.present == rival
    assert rounds.whole(2).status == "already"
    assert ModelRegistry("tiny").aliases()[CHAMPION] == "1"


def test_a_champion_that_stays_is_recorded_as_it_was_measured_now(rounds: Rounds) -> None:
    rounds.whole(1)
    rounds.whole(2, "rejected", engine="newer")
    past = moves_of("tiny", rounds.site.home).catch_up()
    assert past.measured("1") == fingerprint(adapter="adapter 1", engine="newer")


def test_a_decision_that_holds_is_left_alone() -> None:
    held = Moved(status="promoted", version="1", champion="1")
    assert settled(decision(), held) == decision() == settled(decision(), None)


def test_the_report_says_what_became_of_the_aliases() -> None:
    measured = fingerprint(adapter="a")
    alone = registry_part(None, measured, ("the engine",))
    assert alone == {"fingerprint": measured.digest, "parts": measured.model_dump()}
    moved = Moved(status="refused", version="3", champion="2", note="too late")
    told = registry_part(moved, measured, ("the engine",))
    assert (told["status"], told["champion"], told["note"], told["changed"]) == (
        "refused",
        "2",
        "too late",
        ["the engine"],
    )
