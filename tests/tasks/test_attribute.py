"""Attribution and comparison as steps of a round: what they write, where, and that nothing is asked twice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect import flow
from wheelwork.core.artifacts import ArtifactStore
from wheelwork.core.attribution.journal import Journal
from wheelwork.core.evaluation.gate import Decision, GateSettings, decide
from wheelwork.core.evaluation.scores import SuiteScores
from wheelwork.core.evaluation.suites import Suite
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.encoder import ENCODING
from wheelwork.core.quality.batch.remembered import packed
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.rounds import Results, Round, Site, SuiteAnswers
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.e2e.command import rows, tiny_loop, write_config


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop with its models, to copy."""
    return tiny_loop(tmp_path_factory.mktemp("whole") / "loop")


@pytest.fixture
def site(whole: Path, tmp_path: Path, prefect: None, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("WHEELWORK_MODELS", str(tmp_path / "models"))
    return Site(loop=Path(shutil.copytree(whole, tmp_path / "loop")), home=tmp_path / "home")


def sample(text: str, label: str) -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content=label)]
    return Sample.make(turns, task="classify", label=label, origin="teacher", controls={"category": label})


def answers(store: ArtifactStore, suite: Suite, said: dict[str, Callable[[int, Any], str]]) -> SuiteAnswers:
    """What models answered to a suite, by a function of the number of the item and the item."""
    tables = {}
    scorer: Any = suite.settings.scorer
    for model, reply_to in said.items():
        replies = [reply_to(at, item) for at, item in enumerate(suite.items)]
        tables[model] = [
            {"id": item.id, "slice": item.slice or "", "prompt": item.prompt, "expected": item.label, "reply": reply}
            | {"score": scorer(reply, item).value, "reason": ""}
            for item, reply in zip(suite.items, replies, strict=True)
        ]
    return SuiteAnswers(
        scores={model: store.write_json([row["score"] for row in table]) for model, table in tables.items()},
        tables={model: store.write_json(table) for model, table in tables.items()},
        means={model: sum(row["score"] for row in table) / len(table) for model, table in tables.items()},
        n=len(suite.items),
    )


def measured(loop: Loop, site: Site) -> Results:
    """The candidate takes every bill for wifi, which the champion had right, and fixes the first line."""
    said = {
        "base": lambda at, item: "hm",
        "champion": lambda at, item: "hm" if at == 0 else str(item.label),
        "candidate": lambda at, item: "wifi" if item.label == "bill" else str(item.label),
    }
    suite = answers(ArtifactStore(site.artifacts), loop.suites["holdout"], said)
    return Results(suites={"holdout": suite}, calls=0, reused=0, seconds=1.0)


def judged(loop: Loop, site: Site, results: Results) -> Decision:
    store, suite = ArtifactStore(site.artifacts), loop.suites["holdout"]
    scores = {model: tuple(store.read_json(one)) for model, one in results.suites["holdout"].scores.items()}
    ids = tuple(item.id for item in suite.items)
    told = SuiteScores(
        "holdout", "target", suite.digest, ids, ids, scores["base"], scores["champion"], scores["candidate"],
        slices=tuple(item.slice for item in suite.items),
    )  # fmt: skip
    return decide([told], GateSettings(resamples=200), look=1, seed=0)


@pytest.fixture
def round_(site: Site) -> Round:
    from wheelwork.blocks.tracking import Tracking

    run_id = Tracking("tiny", site.home).open_run("0000-aa", {})
    return Round(
        site=site, loop="tiny", id="0000-aa", seed=0, samples=9, champion=None, run_id=run_id, pool=None, excluded=()
    )


@pytest.fixture
def attribute(site: Site) -> Callable[..., Any]:
    """Runs the step on what `measured` says, with a funnel that dropped all bills; `told` replaces arguments."""
    from wheelwork.tasks.attribute import attribute_failures
    from wheelwork.tasks.sift import load_encoder, texts_to_remember

    loop, store = load_loop(site.loop), ArtifactStore(site.artifacts)
    kept = [sample(row["text"], row["label"]) for row in rows(20, start=10) if row["label"] != "bill"]
    context = FunnelContext(load_encoder(loop))
    context.embed(texts_to_remember(loop, kept))
    given = {
        "kept": store.write_samples(kept),
        "dropped": store.write_samples([sample("no", "bill").rejected("too_short")]),
        "embeddings": store.write_bytes(packed(texts_to_remember(loop, kept), context), ".npz"),
        "tables": {name: one.tables for name, one in measured(loop, site).suites.items()},
        "attributing": loop.settings.attribute,
    }
    digests = {"seeds": "s", "suites": {"holdout": "h"}, "prompts": "p", "encoder": f"e-{ENCODING}", "left_out": ()}

    def run(**told: Any) -> Any:
        @flow
        def step() -> Any:
            return attribute_failures.with_options(retries=0)(site, replayed=None, **(given | digests | told))

        return step()

    return run


def test_a_round_says_why_and_leaves_it_in_mlflow_and_in_its_journal(
    site: Site, round_: Round, attribute: Callable[..., Any], mlflow_uri: str, tmp_path: Path
) -> None:
    from wheelwork.tasks.attribute import Lacking, record_attribution

    attributed = attribute()
    found = record_attribution.fn(site, round_, attributed)
    (suite, group), *_ = found.found
    assert (suite, group.name, group.failing) == ("holdout", "bill → wifi", 16)
    causes = {evidence.cause for evidence in group.evidence}
    assert {"forgotten", "missing_coverage"} <= causes
    folder = Path(MlflowClient(mlflow_uri).download_artifacts(round_.run_id, "", str(tmp_path)))
    assert json.loads((folder / "attribution.json").read_text(encoding="utf-8")) == found.model_dump(mode="json")
    table = json.loads((folder / "attribution" / "groups.json").read_text(encoding="utf-8"))
    assert dict(zip(table["columns"], table["data"][0], strict=True))["group"] == "bill → wifi"
    journal = Journal(site.home, "tiny")
    assert journal.read_by("0000-aa") is None and journal.read_by("0001-bb") == attributed.attribution.digest
    held_out = [item.prompt for item in load_loop(site.loop).suites["holdout"].items]
    told = " ".join(remedy.model_dump_json() for _, one in found.found for remedy in one.remedies)
    assert not [text for text in held_out if text in told]

    write_config(site.loop, generate={"samples": 9, "follow": 0.5})
    nothing = Lacking(load_loop(site.loop), site, None)
    assert nothing.cells == {} and nothing.mix == load_loop(site.loop).planned_mix
    # where `missing_coverage` is the strongest, the plan of the next round hears of it
    weak = load_loop(site.loop).settings.attribute
    weak = weak.model_copy(update={"causes": tuple(one for one in weak.causes if one.kind == "missing_coverage")})
    digest = attribute(attributing=weak).attribution.digest
    lacking = Lacking(load_loop(site.loop), site, digest)
    assert list(lacking.cells) == ["bill"]
    assert lacking.mix["bill"] == pytest.approx(2 / 3) and sum(lacking.mix.values()) == pytest.approx(1)
    write_config(site.loop, generate={"samples": 9, "follow": 0.5, "quotas": {"bill": 0}})
    assert Lacking(load_loop(site.loop), site, digest).cells == {}, "what is not wanted is not written, whatever fails"


def test_the_same_answers_are_explained_once(attribute: Callable[..., Any]) -> None:
    first = attribute()
    assert attribute() == first, "its seconds too: it was looked up"


def test_a_round_that_measured_nothing_leaves_nothing_to_follow(site: Site, round_: Round) -> None:
    from wheelwork.tasks.attribute import record_attribution

    assert record_attribution.fn(site, round_, None) is None
    (entry,) = Journal(site.home, "tiny").entries()
    assert (entry.round, entry.attribution, entry.followed) == ("0000-aa", None, None)


def test_the_comparison_is_metrics_tables_and_a_picture(
    site: Site, round_: Round, mlflow_uri: str, tmp_path: Path
) -> None:
    from wheelwork.tasks.compare import COLUMNS, show_comparison

    loop = load_loop(site.loop)
    results = measured(loop, site)
    told = show_comparison.fn(site, round_, results, judged(loop, site, results))["holdout"]
    assert (told["against"], told["fixed"]["n"], told["broken"]["n"]) == ("champion", 1, 16)
    client = MlflowClient(mlflow_uri)
    metrics = client.get_run(round_.run_id).data.metrics
    assert metrics["holdout.delta"] == pytest.approx(-15 / 48)
    assert metrics["holdout.ci_low"] < metrics["holdout.delta"] < metrics["holdout.ci_high"]
    assert (metrics["holdout.wins"], metrics["holdout.losses"]) == (1, 16)
    assert 0 < metrics["holdout.min_detectable"] < 1 and metrics["holdout.p_value"] > 0.5
    folder = Path(client.download_artifacts(round_.run_id, "", str(tmp_path)))

    def table(name: str) -> list[dict[str, Any]]:
        read = json.loads((folder / name).read_text(encoding="utf-8"))
        return [dict(zip(read["columns"], row, strict=True)) for row in read["data"]]

    flipped = table("flips/holdout.json")
    assert [row["change"] for row in flipped if row["against"] == "champion"] == ["broken"] * 16 + ["fixed"]
    assert {row["change"] for row in flipped if row["against"] == "base"} == {"fixed"}
    assert list(table("suites.json")[0]) == COLUMNS and table("suites.json")[0]["broken"] == 16
    slices = {row["slice"]: row for row in table("slices/holdout.json")}
    assert slices["bill"]["delta"] == slices["bill"]["ci_high"] == -1 and slices["(all)"]["items"] == 48
    assert "48 items" in (folder / "benchmark.svg").read_text(encoding="utf-8")


def test_a_round_that_measured_nothing_is_compared_with_nothing(site: Site, round_: Round) -> None:
    from wheelwork.tasks.compare import show_comparison

    nothing = Results(suites={}, calls=0, reused=0, seconds=0)
    decision = Decision(verdict="inconclusive", reasons=("nothing",), figures={}, alpha=0, look=0)
    assert show_comparison.fn(site, round_, nothing, decision) == {}
