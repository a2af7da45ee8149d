"""The flow `micro`: its form, when it does nothing, and what it changes of a round."""

from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from wheelwork.blocks.registry import ModelRegistry, moves_of
from wheelwork.blocks.tracking import Tracking
from wheelwork.core.loops import load_loop, read_settings
from wheelwork.core.micro import MicroRound
from wheelwork.core.pool.store import Pool
from wheelwork.core.pool.versions import Added, RoundFacts, Version
from wheelwork.core.rounds import Site
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.registry.parts import judged
from wheelwork.tests.e2e.command import SAID, rows, tiny_loop


def corrections(folder: Path, count: int, held_out: bool = False) -> list[Sample]:
    """What users say should have been answered, as `collect` brings it into the pool."""
    loop = load_loop(folder)
    found = rows(16, start=100) if held_out else rows(30, start=40)
    material = loop.material
    samples = []
    for row in found[:count]:
        asked = material.writing.ask(row["text"], (), "")
        samples.append(
            Sample.make(
                (*asked, Message(role="assistant", content=row["label"])), task="classify", origin="feedback",
                source="feedback:1", label=row["label"],
            )
        )  # fmt: skip
    return samples


class Place:
    """A loop without models, its pool and its registry."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.loop = tiny_loop(folder / "loop", models=False)
        self.pool = Pool(self.home, "tiny")

    def collect(self, samples: list[Sample]) -> None:
        file = self.pool.store.write_samples(samples)
        self.pool.review(Version(added=(Added(digest=file.digest, rows=file.rows),)), why="corrections of users")

    def promote(self) -> None:
        adapter = self.home / "adapter"
        adapter.mkdir(parents=True)
        (adapter / "adapter_model.safetensors").write_bytes(b"weights")
        run = Tracking("tiny", self.home).open_run("0001-abc", {})
        version = ModelRegistry("tiny").register(run, adapter, "adapter-1", {})
        assert moves_of("tiny", self.home).judge(judged(version, None)).status == "promoted"

    def micro(self, **parameters: Any) -> Any:
        from wheelwork.flows.micro import micro

        return micro(str(self.loop), return_state=True, **parameters)


@pytest.fixture
def place(tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("os.nice", lambda increment: 0)  # the tests after this one keep their priority
    return Place(tmp_path)


def test_the_form_has_typed_parameters() -> None:
    from wheelwork.flows.benchmark import benchmark
    from wheelwork.flows.micro import micro

    fields = micro.parameters.properties
    assert set(fields) == {"loop", "fewest", "most", "epochs", "threads", "seed"}
    assert micro.parameters.required == ["loop"]
    assert all(field.get("description") for field in fields.values())
    assert set(benchmark.parameters.properties) == {"loop", "version"}
    assert all(field.get("description") for field in benchmark.parameters.properties.values())


def test_it_goes_on_from_the_champion_in_few_steps_and_asks_no_teacher(tmp_path: Path) -> None:
    before = read_settings(tiny_loop(tmp_path / "loop", models=False, review={"mode": "required"}))
    after = MicroRound(epochs=2, share=0.4, nice=15).apply(before)
    assert (after.generate.samples, after.review.mode, after.replay.share) == (0, "off", 0.4)
    assert (after.train.epochs, after.train.start) == (2, "champion")
    assert after.train.control.process is not None and after.train.control.process.nice == 15
    assert MicroRound(epochs=50).apply(before).train.epochs == before.train.epochs
    same = {"generate", "review", "replay", "train"}
    assert after.model_dump(exclude=same) == before.model_dump(exclude=same)
    assert (after.gate, after.suites, after.ledger) == (before.gate, before.suites, before.ledger)


@pytest.mark.usefixtures("prefect")
class TestWhenItDoesNothing:
    def test_too_few_corrections_change_nothing(self, place: Place) -> None:
        place.collect(corrections(place.loop, 19))
        state = place.micro()
        assert (state.name, state.type.value) == ("Nothing to do", "COMPLETED")
        assert state.message == "19 corrections of tiny wait; a micro-round begins at 20"
        assert not (place.home / "locks" / "tiny.lock").exists()

    def test_a_loop_without_a_champion_has_none_to_go_on_from(self, place: Place) -> None:
        place.collect(corrections(place.loop, 20))
        assert "no champion to go on from" in place.micro().message

    def test_a_round_that_is_under_way_goes_first(self, place: Place) -> None:
        place.collect(corrections(place.loop, 20))
        place.promote()
        with FileLock(place.home / "locks" / "tiny.lock"):
            state = place.micro()
        assert state.name == "Nothing to do" and "is running already" in state.message

    def test_with_enough_of_them_it_begins(self, place: Place) -> None:
        place.collect(corrections(place.loop, 20))
        place.promote()
        with pytest.raises(Exception, match=r"tiny\.gguf"):  # the loop has no model here: that is how far it came
            place.micro().result()


@pytest.mark.usefixtures("prefect")
def test_only_what_no_round_has_learnt_is_drawn_and_what_is_held_out_is_not_learnt(place: Place) -> None:
    from wheelwork.tasks.micro import draw_corrections, unlearnt, waiting_corrections

    learnt, held, new = (
        corrections(place.loop, 3), corrections(place.loop, 2, held_out=True), corrections(place.loop, 8)[3:],
    )  # fmt: skip
    place.collect([*learnt, *held, *new])
    file = place.pool.store.write_samples(learnt)
    facts = RoundFacts(round="0001-abc", seed=1, verdict="rejected", asked=0, funnel={})
    place.pool.conclude_round(facts, file, used=[sample.id for sample in learnt])
    assert waiting_corrections(str(place.loop)).corrections == 7
    loop = load_loop(place.loop)
    drawn = draw_corrections.fn(
        site=Site(loop=place.loop, home=place.home), pool=place.pool.head(), most=5, funnel=loop.settings.funnel,
        excluded=(), seeds="", suites={}, prompts="",
    )  # fmt: skip
    sifted = drawn.sifted
    assert (len(drawn.ids), sifted.kept.rows, sifted.counts[0].dropped) == (5, 3, {"held_out": 2})
    assert [sample.label for sample in place.pool.store.samples(sifted.kept)] == [sample.label for sample in new[:3]]
    assert set(sifted.cells) <= set(SAID)
    # what a micro-round looked at is not looked at again, whatever its verdict
    facts = RoundFacts(round="0002-abc", seed=2, verdict="rejected", asked=0, funnel={})
    place.pool.conclude_round(facts, sifted.kept, used=drawn.ids)
    assert len(unlearnt(place.pool.view(place.pool.head()))) == 2
