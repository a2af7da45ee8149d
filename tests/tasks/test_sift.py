"""The funnel as a step of a round: judges answer over the wire, through the cache, and what they said is kept."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from wheelwork.core.artifacts import Artifact, ArtifactStore
from wheelwork.core.errors import ConfigError, ModelError
from wheelwork.core.loops import load_loop
from wheelwork.core.quality.scores.head import Pair, fit_preference, write_head
from wheelwork.core.quality.scores.opening import NO_CHAMPION, scoring_identity
from wheelwork.core.rounds import Champion, Sifted, Site
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.quality.review.panel import grades
from wheelwork.tests.e2e.command import tiny_loop, write_config
from wheelwork.tests.endpoint import endpoint
from wheelwork.tests.tiny import tiny_adapter

GOOD, BAD, STUCK, ODD = "the line is down", "the bill is good", "the modem is stuck", "the phone is odd"
ROWS = {GOOD: "line", BAD: "bill", STUCK: "line", ODD: "wifi"}
KEPT, DROPPED = [GOOD, STUCK, ODD], [BAD]
FUNNEL = {"filters": [{"kind": "rules", "min_words": 2}, {"kind": "judge"}]}


def judge(body: dict[str, Any]) -> str | None:
    """Likes all but one, refuses a call about another, and does not answer in grades about a third."""
    text = body["messages"][-1]["content"]
    if STUCK in text:
        return None
    return (
        "a fine message" if ODD in text else grades(2, because="that is no label for it") if BAD in text else grades(5)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop with its models, to copy."""
    return tiny_loop(tmp_path_factory.mktemp("whole") / "loop")


@pytest.fixture
def sift(
    whole: Path, tmp_path: Path, prefect: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Sifted, list[Sample], list[Sample]]]:
    """Runs the step on ROWS, as a round does; returns what it made, the kept and the dropped."""
    from wheelwork.tasks.sift import filter_samples
    from wheelwork.tasks.teachers import reviewers_identity

    folder = Path(shutil.copytree(whole, tmp_path / "loop"))
    monkeypatch.setenv("WHEELWORK_MODELS", str(tmp_path / "models"))
    site = Site(loop=folder, home=tmp_path / "home")
    store = ArtifactStore(site.artifacts)

    def run(
        teachers: list[dict[str, Any]], champion: Champion | None = None, **settings: Any
    ) -> tuple[Sifted, list[Sample], list[Sample]]:
        write_config(folder, **({"funnel": FUNNEL, "teacher": [{"kind": "embedded"}, *teachers]} | settings))
        loop = load_loop(folder)
        candidates = store.write_samples(map(_row, ROWS.items()))

        @flow
        def step(candidates: Artifact) -> Sifted:
            identity, scoring = reviewers_identity(loop), scoring_identity(loop)
            return filter_samples.with_options(retries=0)(
                site, (candidates,), loop.settings.funnel, (), "seeds", {}, "encoder", identity, scoring, champion
            )

        sifted = step(candidates)
        return sifted, list(store.samples(sifted.kept)), list(store.samples(sifted.dropped))

    return run


def _row(row: tuple[str, str]) -> Sample:
    text, label = row
    turns = [Message(role="user", content=text), Message(role="assistant", content=label)]
    return Sample.make(turns, task="classify", label=label, origin="teacher", controls={"review": "of its parent"})


def openai(url: str, **more: Any) -> dict[str, Any]:
    return {"kind": "openai", "base_url": url, "model": "qwen3-32b", "roles": ["judge"], **more}


def prompts(samples: list[Sample]) -> list[str]:
    return [sample.prompt for sample in samples]


def test_a_round_drops_what_the_judge_marks_down_and_keeps_what_it_could_not_grade(sift: Any) -> None:
    with endpoint(judge) as url:
        sifted, kept, dropped = sift([openai(url)])
    assert (prompts(kept), prompts(dropped)) == (KEPT, DROPPED)
    assert [set(sample.scores) > {"judge", "judge_accuracy"} for sample in kept] == [True, False, False]
    assert dropped[0].reject_reason == "marked_down" and dropped[0].scores["judge_accuracy"] == 2
    assert [sample.controls["review"] for sample in (*kept, *dropped)] == [
        "judge qwen3-32b: accuracy 5: so it is",
        "judge: unscored, no_reply",
        "judge: unscored, unreadable",
        "judge qwen3-32b: accuracy 2: that is no label for it",
    ]
    (count,) = [count for count in sifted.counts if count.filter == "judge"]
    assert (count.figures["asked"], count.figures["unscored"]) == (4, 2)
    assert count.notes == ("judge: 2 of 4 rows could not be judged (no_reply 1, unreadable 1) and were kept.",)


def test_unscored_rows_are_dropped_where_the_loop_says_so(sift: Any) -> None:
    with endpoint(judge) as url:
        _, kept, dropped = sift([openai(url)], funnel={"filters": [{"kind": "judge", "unscored": "drop"}]})
    assert prompts(kept) == [GOOD]
    assert Counter(sample.reject_reason for sample in dropped) == {"judge_unscored": 2, "marked_down": 1}


def test_a_second_try_asks_only_for_what_has_no_reply(sift: Any) -> None:
    asked: list[str] = []

    def listening(body: dict[str, Any]) -> str | None:
        asked.append(json.dumps(body["messages"]))
        return judge(body)

    with endpoint(listening) as url:
        first, *_ = sift([openai(url)])
        before = len(asked)
        # another limit makes it another step, with the same questions
        again, kept, _ = sift([openai(url)], funnel={"filters": [{"kind": "judge", "min_score": 1}]})
    assert (first.reviewed.calls, first.reviewed.reused) == (4, 0)
    assert (again.reviewed.calls, again.reviewed.reused) == (0, 4)
    assert prompts(kept) == list(ROWS)
    assert len(asked) - before == 1 and STUCK in asked[-1], "only the call that had failed is made again"


def test_what_reviewers_cost_is_counted_and_limited(sift: Any) -> None:
    with endpoint(judge) as url:
        teacher = openai(url, prices={"prompt": 1000.0}, parallel=1)
        whole, *_ = sift([teacher])
        limited, kept, _ = sift([teacher | {"model": "qwen3-32b"}], funnel=FUNNEL | {"budget": {"calls": 0}})
        assert whole.reviewed.cost > 0
        assert limited.reviewed.calls == 0 and limited.reviewed.reused == 4, "what was answered costs nothing"
    with endpoint(judge) as url:
        spent, kept, _ = sift([openai(url, parallel=1)], funnel=FUNNEL | {"budget": {"calls": 1}})
    assert prompts(kept) == list(ROWS) and spent.reviewed.calls == 1
    (note,) = next(count.notes for count in spent.counts if count.filter == "judge")
    assert "budget_spent 3" in note


def test_judges_of_several_endpoints_vote_and_their_agreement_is_told(sift: Any) -> None:
    with endpoint(judge) as one, endpoint(lambda body: grades(5), "phi-4") as other:
        sifted, kept, dropped = sift([openai(one), openai(other, model="phi-4")])
    # the second one alone could grade two of them, which is no more than half of two judges
    assert (prompts(kept), prompts(dropped)) == (KEPT, DROPPED)
    figures = next(count.figures for count in sifted.counts if count.filter == "judge")
    assert (figures["judges"], figures["unscored"]) == (2, 2) and figures["alpha"] < 0.85


def test_a_missing_key_is_told_before_any_row_is_written(sift: Any) -> None:
    with pytest.raises(ConfigError, match=r"\$NO_SUCH_KEY, which is not set"):
        sift([openai("http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY")])


def test_without_judges_nobody_is_asked_for(sift: Any) -> None:
    sifted, kept, _ = sift([], funnel={"filters": [{"kind": "rules", "min_words": 2}]})
    assert prompts(kept) == list(ROWS) and sifted.reviewed.calls == sifted.reviewed.reused == 0


def test_models_of_the_loop_score_its_rows(sift: Any, tmp_path: Path) -> None:
    from wheelwork.core.models.store import ModelStore
    from wheelwork.tasks.sift import load_encoder

    loop = load_loop(tmp_path / "loop")
    pairs = [Pair(f"line {n} down", f"modem red {n}", f"bill high {n}") for n in range(24)]
    write_head(tmp_path / "loop" / "head.json", fit_preference(pairs, load_encoder(loop)))
    filters = [
        {"kind": "perplexity", "model": "champion"},
        {"kind": "bert_score", "against": "prompt"},
        {"kind": "preference", "head": "head.json"},
        {"kind": "diversity"},
    ]
    first, kept, _ = sift([], funnel={"filters": filters})
    assert all({"perplexity", "bits_per_byte"} <= set(sample.scores) for sample in kept) and len(kept) == len(ROWS)
    notes = [note for count in first.counts for note in count.notes]
    assert f"perplexity: 4 of 4 rows {NO_CHAMPION}." in notes
    base = ModelStore(tmp_path / "models").get(str(tmp_path / "loop" / "tiny.gguf"))
    adapter = tiny_adapter(tmp_path / "adapter", base.folder, std=0.3)
    champion = Champion(version="1", digest="of the adapter", folder=adapter)
    then, again, _ = sift([], champion, funnel={"filters": filters})
    assert not any(NO_CHAMPION in note for count in then.counts for note in count.notes)
    assert [one.scores["perplexity"] for one in again] != [one.scores["perplexity"] for one in kept]
    figures = {count.filter: count.figures for count in then.counts}
    assert figures["diversity"]["texts"] == 4 and figures["preference"]["unscored"] == 4  # labels are no answers


def test_a_model_or_head_that_is_missing_is_told_before_the_round(sift: Any) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        sift([], funnel={"filters": [{"kind": "perplexity", "model": "./nowhere"}]})
    with pytest.raises(ConfigError, match="wheelwork review preference"):
        sift([], funnel={"filters": [{"kind": "preference", "head": "none.json"}]})
