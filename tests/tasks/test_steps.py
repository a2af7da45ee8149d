"""How a step runs: what its cache key holds, what is tried again, and what is made anew."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import flow, task
from wheelwork.core.artifacts import Artifact, ArtifactStore
from wheelwork.core.errors import DataError, DependencyError, TeacherError, UserError
from wheelwork.core.rounds import Champion, Generated, Results, Site, SuiteAnswers
from wheelwork.core.settings import Setting
from wheelwork.core.training.settings import Training
from wheelwork.tasks.steps import RETRIED, Steps, artifacts_in, cached, recorded, retryable

AT_ONCE = {"retry_delay_seconds": 0, "retry_jitter_factor": None}
A = Artifact(uri="/a", digest="a" * 64, rows=1)
B = Artifact(uri="/b", digest="b" * 64, rows=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(loop=tmp_path / "loop", home=tmp_path / "home")


# keys


def key(step: str = "train", version: int = 1, **arguments: Any) -> str:
    made: str = cached(step, version)["cache_key_fn"](None, arguments)
    return made


def test_the_same_arguments_have_the_same_key(site: Site) -> None:
    assert key(site=site, kept=A, training=Training(), seed=0) == key(site=site, kept=A, training=Training(), seed=0)


def test_the_order_of_a_mapping_does_not_matter() -> None:
    assert key(suites={"a": "1", "b": "2"}) == key(suites={"b": "2", "a": "1"})


@pytest.mark.parametrize(
    "other",
    [
        {"step": "filter"},
        {"version": 2},
        {"kept": B},
        {"kept": A.model_copy(update={"digest": "c" * 64})},
        {"training": Training(rank=4)},
        {"suites": {"holdout": "2"}},
        {"suites": {"other": "1"}},
        {"champion": Champion(version="1", digest="d", folder=Path("/x"))},
        {"seed": 1},
        {"seed": "0"},
        {"further": None},
    ],
    ids=str,
)
def test_every_argument_is_in_the_key(other: dict[str, Any]) -> None:
    arguments = {"kept": A, "training": Training(), "suites": {"holdout": "1"}, "champion": None, "seed": 0}
    assert key(**arguments) != key(**(arguments | other))


def test_where_a_round_works_is_not_in_the_key(site: Site) -> None:
    elsewhere = Site(loop=Path("/elsewhere"), home=Path("/other"))
    assert key(site=site, seed=0) == key(site=elsewhere, seed=0)


def test_steps_of_like_arguments_do_not_share_a_name() -> None:
    assert key("generate").startswith("generate-") and key("filter").startswith("filter-")


# artefacts in results


def test_artefacts_are_found_however_deep() -> None:
    answers = SuiteAnswers(scores={"base": A}, tables={"base": B}, means={"base": None}, n=1)
    results = Results(suites={"holdout": answers}, calls=0, reused=0, seconds=0)
    assert list(artifacts_in(results)) == [A, B]
    assert list(artifacts_in({"x": [(A,), {"y": B}]})) == [A, B]
    assert list(artifacts_in(["a", 1, None])) == []


# running


class Made(Setting):
    """The result of the steps below."""

    artifact: Artifact
    made: int


def counting(step: str, failures: list[Exception] | None = None) -> tuple[Any, list[int]]:
    """A cached step that writes one artefact, and the list of its runs; it raises `failures` first."""
    runs: list[int] = []

    @task(**cached(step, version=1))
    def make(site: Site, text: str) -> Made:
        runs.append(len(runs))
        if failures:
            raise failures.pop(0)
        store = ArtifactStore(site.artifacts)
        return Made(artifact=store.write_json(text), made=len(runs))

    return make, runs


def in_a_flow(work: Callable[[], Any]) -> Any:
    return flow(work, name="test")()


@pytest.mark.usefixtures("prefect")
class TestRunning:
    def test_a_result_is_made_once(self, site: Site) -> None:
        make, runs = counting("once")

        def twice() -> list[Steps]:
            first, second = Steps(site), Steps(site)
            assert first.run(make, text="x") == second.run(make, text="x")
            return [first, second]

        first, second = in_a_flow(twice)
        assert len(runs) == 1
        assert (first.times["once"].cache, second.times["once"].cache) == ("miss", "hit")

    def test_a_hit_outlives_the_flow_and_the_folder_of_the_loop(self, site: Site) -> None:
        make, runs = counting("outlives")
        moved = site.model_copy(update={"loop": site.loop / "moved"})
        in_a_flow(lambda: Steps(site).run(make, text="x"))
        in_a_flow(lambda: Steps(moved).run(make, text="x"))
        assert len(runs) == 1

    def test_another_argument_is_another_result(self, site: Site) -> None:
        make, runs = counting("another")
        in_a_flow(lambda: (Steps(site).run(make, text="x"), Steps(site).run(make, text="y")))
        assert len(runs) == 2

    def test_a_step_and_those_after_it_are_done_again_when_asked(self, site: Site) -> None:
        (train, trained), (benchmark, measured), (sift, sifted) = map(counting, ("train", "benchmark", "filter"))
        for anew in (None, "train", None):

            def turn(anew: Any = anew) -> Steps:
                steps = Steps(site, anew)
                for step in (sift, train, benchmark):
                    steps.run(step, text="x")
                return steps

            steps = in_a_flow(turn)
        assert (len(sifted), len(trained), len(measured)) == (1, 2, 2)
        assert {time.cache for time in steps.times.values()} == {"hit"}  # what was done again is kept in turn

    @pytest.mark.parametrize("harm", ["gone", "altered"])
    def test_a_result_whose_artefact_is_lost_is_made_anew_and_kept(self, site: Site, harm: str) -> None:
        make, runs = counting(f"lost-{harm}")
        made: Made = in_a_flow(lambda: Steps(site).run(make, text="x"))
        if harm == "gone":
            shutil.rmtree(site.home / "artifacts")
        else:
            Path(made.artifact.uri).write_text("other", encoding="utf-8")

        def again() -> tuple[Made, Steps, Steps]:
            steps, later = Steps(site), Steps(site)
            result = steps.run(make, text="x")
            later.run(make, text="x")
            return result, steps, later

        result, steps, later = in_a_flow(again)
        assert ArtifactStore(site.artifacts).read_json(result.artifact) == "x"
        assert (len(runs), result.made) == (2, 2)
        assert steps.times[make.name].cache == "miss"
        assert later.times[make.name].cache == "hit"

    def test_a_failure_is_raised_as_it_is_and_not_kept(self, site: Site) -> None:
        make, runs = counting("fails", [DataError("row 3 is wrong")])
        with pytest.raises(DataError, match="row 3 is wrong"):
            in_a_flow(lambda: Steps(site).run(make, text="x"))
        in_a_flow(lambda: Steps(site).run(make, text="x"))
        assert len(runs) == 2

    def test_what_is_recorded_is_done_each_time(self, site: Site) -> None:
        runs: list[Site] = []

        @task(**recorded("note"))
        def note(site: Site) -> None:
            runs.append(site)

        in_a_flow(lambda: (note(site), note(site)))
        assert len(runs) == 2

    @pytest.mark.parametrize(
        ("error", "tries"),
        [
            (DependencyError("no answer"), 4),
            (TeacherError("no answer"), 4),
            (UserError("wrong label"), 1),
            (MemoryError("out of memory"), 1),
            (ZeroDivisionError("our bug"), 1),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_only_what_did_not_answer_is_tried_again(self, site: Site, error: Exception, tries: int) -> None:
        runs: list[int] = []

        @task(**(recorded("tried") | RETRIED | AT_ONCE))
        def tried(site: Site) -> None:
            runs.append(1)
            raise error

        with pytest.raises(type(error), match=str(error)):
            in_a_flow(lambda: tried(site))
        assert len(runs) == tries

    def test_a_service_that_comes_back_costs_the_round_nothing(self, site: Site) -> None:
        make, runs = counting("comes-back", [DependencyError("no answer"), DependencyError("no answer")])
        patient = make.with_options(**(RETRIED | AT_ONCE))
        assert in_a_flow(lambda: Steps(site).run(patient, text="x")).made == 3
        assert len(runs) == 3


def test_what_cannot_be_told_is_not_tried_again() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert retryable(SimpleNamespace(), None, SimpleNamespace(result=interrupted)) is False  # type: ignore[arg-type]
    assert retryable(SimpleNamespace(), None, SimpleNamespace(result=lambda: 1)) is False  # type: ignore[arg-type]


def test_waiting_grows_from_try_to_try() -> None:
    delays = RETRIED["retry_delay_seconds"]
    assert len(delays) == RETRIED["retries"] and delays == sorted(delays) and delays[0] < delays[-1]


def test_every_cached_result_can_be_read_back_from_json() -> None:
    generated = Generated(
        samples=A,
        refused={"unreadable": 1},
        calls=1,
        reused=0,
        prompt_tokens=9,
        completion_tokens=3,
        cost=0.5,
        seconds=0.1,
        teacher="t",
    )
    assert Generated.model_validate_json(generated.model_dump_json()) == generated
