"""The benchmark on forgetting: who gets which rows, what it tells, and that finished rounds are not done again."""

import argparse
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast
from xml.etree import ElementTree

import pytest
from wheelwork.benchmarks.cells import Bench, Cell, Planned
from wheelwork.benchmarks.forgetting import Chain, Remedy, dealt, few_each, lessons, remedies, strength
from wheelwork.benchmarks.forgetting_figures import ROUNDS, curves, figures
from wheelwork.benchmarks.forgetting_plot import write_plot
from wheelwork.core.pool.replay import Replay
from wheelwork.core.samples import Message, Sample
from wheelwork.core.training.keeping.settings import Ewc
from wheelwork.core.training.settings import Training

LABELS = dict.fromkeys(("a", "b", "c", "d", "e", "f"), "")


def sample(text: str, label: str) -> Sample:
    return Sample.make([Message(role="user", content=text)], task="classify", label=label, origin="seed")


SAMPLES = [sample(f"{label} {number}", label) for label in LABELS for number in range(10)]


class Settings(NamedTuple):
    replay: Replay = Replay(share=0.2, weight=0.5)


@dataclass
class FakeLoop:
    labels: dict[str, str]
    settings: Settings = field(default_factory=Settings)


@dataclass
class FakeBench:
    """A bench that remembers what it was asked to train, and leaves an adapter that can be told apart."""

    work: Path
    settings: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        self.asked: list[Planned] = []
        self.fails_at = -1

    def train(self, planned: Planned, target: Path) -> Any:
        if len(self.asked) == self.fails_at:
            raise KeyboardInterrupt
        self.asked.append(planned)
        target.mkdir(parents=True)
        (target / "adapter_config.json").write_text(json.dumps({"number": len(self.asked)}))
        (target / "adapter_model.safetensors").write_bytes(bytes(len(self.asked)))
        return NamedTuple("Trained", [("losses", tuple), ("notes", tuple)])((0.1, 0.2), ())  # type: ignore[misc]

    def answers(self, adapter: Any) -> list[float | None]:
        return [1.0, 0.0]


GIVEN = lessons(cast(Any, FakeLoop(LABELS)), SAMPLES, seed=0)


def chain(bench: FakeBench, remedy: Remedy) -> Chain:
    return Chain(cast(Bench, bench), remedy, GIVEN)


def test_labels_are_dealt_to_three_disjoint_groups_and_each_round_sees_its_own() -> None:
    assert dealt(list(LABELS)) == {"a": 0, "b": 1, "c": 2, "d": 0, "e": 1, "f": 2}
    assert [{one.label for one in rows} for rows in GIVEN.fresh] == [{"a", "d"}, {"b", "e"}, {"c", "f"}]
    assert [len(rows) for rows in GIVEN.fresh] == [20, 20, 20]


def test_what_is_drawn_again_is_of_earlier_groups_even_over_their_labels_and_the_same_for_the_same_seed() -> None:
    again = lessons(cast(Any, FakeLoop(LABELS)), SAMPLES, seed=0)
    other = lessons(cast(Any, FakeLoop(LABELS)), SAMPLES, seed=1)
    assert GIVEN.drawn[0] == []
    assert sorted(one.label or "" for one in GIVEN.drawn[1]) == ["a", "a", "a", "d", "d"]  # 0.2 of 20 new and 5 old
    assert {one.label for one in GIVEN.drawn[2]} == {"a", "b", "d", "e"}
    assert all(one.weight == 0.5 for rows in GIVEN.drawn for one in rows)
    assert again.drawn == GIVEN.drawn != other.drawn


def test_few_of_each_are_the_first_of_each() -> None:
    assert [one.messages[0].content for one in few_each(SAMPLES, 1)] == [f"{label} 0" for label in LABELS]
    assert few_each(SAMPLES, None) == SAMPLES


def test_each_round_goes_on_from_the_last_ones_adapter_and_only_replay_trains_on_old_rows(tmp_path: Path) -> None:
    bench = FakeBench(tmp_path)
    cells = chain(bench, Remedy("replay", replay=True)).cells()
    assert [(cell.arm, cell.rows, cell.steps) for cell in cells] == [
        ("replay", 20, 2),
        ("replay", 25, 2),
        ("replay", 25, 2),
    ]
    first, second, third = (planned.options["former"] for planned in bench.asked)
    assert first.champion is None and second.champion.digest != third.champion.digest
    assert second.replayed == GIVEN.drawn[1] and third.replayed == GIVEN.drawn[2]
    assert [planned.settings.start for planned in bench.asked if planned.settings] == [
        "scratch",
        "champion",
        "champion",
    ]
    held = FakeBench(tmp_path / "other")
    chain(held, Remedy("ewc 2", keep=(Ewc(strength=2),))).cells()
    assert [len(planned.samples) for planned in held.asked] == [20, 20, 20]
    assert [len(planned.settings.keep) for planned in held.asked if planned.settings] == [0, 1, 1]
    assert held.asked[1].options["former"].replayed == GIVEN.drawn[1]


def test_the_first_round_is_shared_and_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    bench = FakeBench(tmp_path)
    nothing, scratch = Remedy("nothing"), Remedy("scratch", start="scratch")
    cells = chain(bench, nothing).cells()
    chain(bench, scratch).cells()
    assert len(bench.asked) == 5  # one first round, twice two more
    assert chain(bench, nothing).cells() == cells
    assert len(bench.asked) == 5
    adapters = sorted(path.parent.name.rpartition("-")[0] for path in tmp_path.glob("*/adapter-*"))
    assert adapters == ["first-0"], "only what another remedy begins with is left"


def test_a_run_that_was_stopped_goes_on_after_the_last_round_that_is_done(tmp_path: Path) -> None:
    bench = FakeBench(tmp_path)
    bench.fails_at = 2
    with pytest.raises(KeyboardInterrupt):
        chain(bench, Remedy("nothing")).cells()
    bench.fails_at = -1
    chain(bench, Remedy("nothing")).cells()
    assert [planned.samples[0].label for planned in bench.asked] == ["a", "b", "c"]


def test_the_remedies_have_names_of_their_own_and_quick_has_few() -> None:
    names = [remedy.name for remedy in remedies((0.01, 0.1))]
    assert names == [
        "scratch", "nothing", "replay", "ewc 0.01", "ewc 0.1", "champion_kl", "replay, ewc 0.1",
    ]  # fmt: skip
    assert [remedy.name for remedy in remedies((0.01,), quick=True)] == ["nothing", "ewc 0.01", "champion_kl"]


def cell(arm: str, *scores: float | None) -> Cell:
    return Cell(arm, 0, rows=10, steps=5, seconds=3.0, scores=list(scores))


FOUND = {
    "nothing": [[cell("nothing", 1, 1, 0, 0)], [cell("nothing", 0, 1, 1, 0)], [cell("nothing", 0, 0, 0, 1)]],
    "ewc 1": [[cell("ewc 1", 1, 1, 0, 0)], [cell("ewc 1", 1, 1, 1, 0)], [cell("ewc 1", 1, 1, None, 1)]],
}
GROUPS, SOURCES = [0, 0, 1, 2], ["a", "b", "c", "d"]


def test_figures_tell_each_group_after_each_round_and_what_a_remedy_gains() -> None:
    found = {(one.system, one.metric): one.value for one in figures("loop", FOUND, GROUPS, SOURCES)}
    assert found["nothing", "group 1 after round 1"] == 1.0
    assert found["nothing", "group 1 after round 2"] == 0.5
    assert found["nothing", "first group at the end"] == 0.0
    assert found["ewc 1", "first group at the end"] == 1.0
    assert math.isnan(found["ewc 1", "group 2 after round 3"])  # an item without a score is not a wrong one
    assert found["ewc 1", "first group at the end - nothing"] == 1.0
    assert found["ewc 1", "all groups at the end - nothing"] == pytest.approx(2 / 3)
    assert found["ewc 1", "all groups at the end - nothing, 95% from"] <= 2 / 3
    assert ("nothing", "first group at the end - nothing") not in found
    assert found["ewc 1", "seconds a round, median"] == 3.0


def test_the_picture_names_every_remedy(tmp_path: Path) -> None:
    write_plot(tmp_path / "f.svg", curves(FOUND, GROUPS, SOURCES), "loop, 1 seed")
    first = (tmp_path / "f.svg").read_bytes()
    text = "".join(ElementTree.fromstring(first).itertext())
    assert all(name in text for name in ("nothing", "ewc 1", "after round", f"group {ROUNDS}", "loop, 1 seed"))
    write_plot(tmp_path / "f.svg", curves(FOUND, GROUPS, SOURCES), "loop, 1 seed")
    assert (tmp_path / "f.svg").read_bytes() == first


@pytest.mark.parametrize("text", ["-1", "0", "inf", "much"])
def test_what_can_be_no_strength_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no strength of EWC: Input should be"):
        strength(text)
    assert strength("0.1") == 0.1
