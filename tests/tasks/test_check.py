"""The check of a batch as a step of a round: nothing changes without a correction, and the funnel's embeddings do."""

import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from wheelwork.core.artifacts import Artifact, ArtifactStore
from wheelwork.core.loops import load_loop
from wheelwork.core.quality.batch.picture import Plot, draw
from wheelwork.core.quality.batch.remembered import packed
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.rounds import Checked, Site
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.e2e.command import rows, tiny_loop, write_config

Check = Callable[..., tuple[Checked, Artifact, list[Sample], list[Sample]]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop with its models, to copy."""
    return tiny_loop(tmp_path_factory.mktemp("whole") / "loop")


@pytest.fixture
def check(whole: Path, tmp_path: Path, prefect: None, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs the step on 40 messages, most of them about one label; returns its result, what it got, and both parts."""
    from wheelwork.tasks.check import check_batch
    from wheelwork.tasks.sift import load_encoder, texts_to_remember

    folder = Path(shutil.copytree(whole, tmp_path / "loop"))
    monkeypatch.setenv("WHEELWORK_MODELS", str(tmp_path / "models"))
    site = Site(loop=folder, home=tmp_path / "home")
    store = ArtifactStore(site.artifacts)
    given = [*rows(20, start=10)[:30], *rows(5, start=50)[-5:], *rows(5, start=70)[-5:]]

    def run(embedded: bool = True, **batch: Any) -> tuple[Checked, Artifact, list[Sample], list[Sample]]:
        write_config(folder, batch=batch)
        loop = load_loop(folder)
        samples = [_sample(**row) for row in given]
        kept, dropped = store.write_samples(samples), store.write_samples([_sample("no", "line").rejected("too_short")])
        context = FunnelContext(load_encoder(loop) if embedded else None)
        if embedded:
            context.embed(texts_to_remember(loop, samples))
        embeddings = store.write_bytes(packed(texts_to_remember(loop, samples), context), ".npz")

        @flow
        def step() -> Checked:
            return check_batch.with_options(retries=0)(
                site, kept, dropped, embeddings, loop.settings.batch, loop.planned_mix, (), "seeds", "encoder", 0
            )

        checked = step()
        return checked, kept, list(store.samples(checked.kept)), list(store.samples(checked.dropped))

    return run


def _sample(text: str, label: str) -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content=label)]
    return Sample.make(turns, task="classify", label=label, origin="teacher", scores={"label_margin": len(text) / 100})


def test_without_a_correction_what_is_trained_on_is_the_same_file(check: Check) -> None:
    checked, kept, _, dropped = check()
    assert checked.kept == kept and [sample.reject_reason for sample in dropped] == ["too_short"]
    assert checked.counts == () and checked.report.corrections == ()
    found = {(one.check, one.of): one for one in checked.report.findings}
    assert (checked.report.kept, checked.report.reference) == (40, 12)
    assert found["distance", "embeddings"].said == "40 kept and 12 reference rows; 20 of each are needed"
    assert found["kl", "labels"].said == "furthest: line, 50% for 33%"
    assert found["kl", "labels"].value == pytest.approx(0.5 * math.log(1.5) + 0.5 * math.log(0.75))
    assert found["ks", "label_margin"].said.endswith("20 of each are needed"), "the seeds have it too"


def test_what_the_funnel_did_not_embed_is_embedded_with_the_same_result(check: Check) -> None:
    loaded, *_ = check(embedded=False, min_rows=5)
    known, *_ = check(min_rows=5)
    assert known.report.findings == loaded.report.findings and known.plot == loaded.plot
    assert not [one for one in known.report.of("unknown") if one.check == "distance"]


def test_the_picture_is_drawn_from_what_the_step_keeps(check: Check, tmp_path: Path) -> None:
    checked, *_ = check(min_rows=5)
    plot = Plot.model_validate(ArtifactStore(str(tmp_path / "home" / "artifacts")).read_json(checked.plot))
    assert len(plot.points[0]) == 40 and len(plot.points[1]) == 12
    assert "40 kept beside 12 seeds" in draw(plot, "40 kept beside 12 seeds")


def test_a_draw_and_weights_reach_what_is_trained_on(check: Check) -> None:
    checked, _, kept, dropped = check(sample={"size": 30}, class_weights={"largest": 3})
    assert Counter(sample.label for sample in kept) == {"line": 10, "wifi": 10, "bill": 10}
    assert Counter(sample.reject_reason for sample in dropped) == {"too_short": 1, "not_sampled": 10}
    (count,) = checked.counts
    assert (count.filter, count.rows_in, count.rows_out, count.dropped) == ("sample", 40, 30, {"not_sampled": 10})
    assert [one.kind for one in checked.report.corrections] == ["sample", "class_weights"]
    assert {sample.weight for sample in kept} == {1.0}, "the draw has made them even"
    _, _, weighed, _ = check(class_weights={}, min_rows=5)
    assert {sample.label: round(sample.weight, 3) for sample in weighed} == {
        "line": 0.667,
        "wifi": 1.333,
        "bill": 1.333,
    }


def test_importance_weights_have_mean_1(check: Check) -> None:
    _, _, kept, _ = check(importance_weights={})
    weights = [sample.weight for sample in kept]
    assert sum(weights) / len(weights) == pytest.approx(1) and len(set(weights)) > 10
