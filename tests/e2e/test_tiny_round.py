"""Whole rounds by the real command, on random models: the report, the records, the repeat, and what a kill costs.

A start of the command takes 10 to 20 s, nearly all of it Prefect and MLflow coming up, so that rounds are shared.
"""

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from wheelwork.core.artifacts import ArtifactStore
from wheelwork.core.digests import digest_file
from wheelwork.core.pool.store import Pool
from wheelwork.tests.e2e.command import Ran, tiny_loop, until
from wheelwork.tests.e2e.rounds import Disturbed, Home, Report, Undisturbed

STEPS = ["generate", "filter", "check", "rehearse", "embed", "leaks", "train", "benchmark", "attribute"]
SAMPLES, REHEARSED = 90, 6
CONTRACT = {
    "loop", "round", "seed", "verdict", "reasons", "funnel", "train", "suites", "timings", "cache", "adapter", "mlflow",
}  # fmt: skip
SUITE = {"role", "n", "base", "champion", "candidate", "delta", "ci", "p_value", "min_detectable"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_loop(folder / "loop")
    return folder


@pytest.fixture(scope="module")
def undisturbed(place: Path, databases: Path, server: str) -> Iterator[Undisturbed]:
    home = Home.made(place / "home", place / "loop", place / "models", databases)
    rounds, made, samples = [], [], []
    for seed in ("0", "0", "1"):
        rounds.append(home.round("--seed", seed))
        made.append(len(home.made_so_far()))
        samples.append(home.sample_files())
        home.command.environment["PREFECT_API_URL"] = server  # only the first has a Prefect of its own, as users do
    client = MlflowClient(tracking_uri=f"sqlite:///{home.command.home / 'mlflow.db'}")
    yield Undisturbed(home, *rounds, (made[0], made[1], made[2]), (samples[0], samples[1]), client)
    home.command.end_all()


@pytest.fixture(scope="module")
def report(undisturbed: Undisturbed) -> Report:
    return undisturbed.first[1]


# the report


def test_the_report_has_what_others_rely_on(report: Report) -> None:
    assert set(report) >= CONTRACT
    assert report["loop"] == "tiny" and report["seed"] == 0 and report["round"].startswith("0000-")
    assert report["reasons"] and all(isinstance(reason, str) for reason in report["reasons"])


def test_the_funnel_adds_up(report: Report) -> None:
    funnel = report["funnel"]
    assert funnel["generated"] == SAMPLES
    assert funnel["kept"] + sum(funnel["dropped"].values()) == SAMPLES
    assert funnel["kept"] > SAMPLES / 2


def test_training_saw_the_seeds_the_kept_and_the_rehearsed(report: Report) -> None:
    train = report["train"]
    most = 12 + report["funnel"]["kept"] + REHEARSED
    assert most - REHEARSED <= train["samples"] <= most  # a base without words has nothing to rehearse
    assert train["tokens_per_second"] == pytest.approx(train["tokens"] / train["seconds"])
    assert 0 < train["final_loss"] < 6


def test_every_suite_has_its_figures(report: Report) -> None:
    assert {name: (suite["role"], suite["n"]) for name, suite in report["suites"].items()} == {
        "holdout": ("target", 48),
        "general": ("guard", 24),
    }
    for suite in report["suites"].values():
        assert set(suite) >= SUITE
        assert suite["champion"] is None  # there was none before the first round
        assert suite["delta"] == pytest.approx(suite["candidate"] - suite["base"])
        assert suite["ci"][0] <= suite["delta"] <= suite["ci"][1]
        assert 0 <= suite["p_value"] <= 1 and 0 < suite["min_detectable"] <= 1


def test_a_model_that_learned_to_answer_at_all_is_promoted(report: Report) -> None:
    holdout = report["suites"]["holdout"]
    assert (report["verdict"], holdout["base"]) == ("promoted", 0.0)
    assert holdout["candidate"] > 0.2 and holdout["p_value"] < report["gate"]["alpha"]


def test_times_add_up_to_what_was_waited(undisturbed: Undisturbed) -> None:
    ran, report = undisturbed.first
    times = report["timings"]
    assert set(times) == {"start", *STEPS, "record", "total"}
    assert all(seconds > 0 for seconds in times.values())
    assert sum(times.values()) - times["total"] == pytest.approx(times["total"])
    assert times["total"] <= ran.seconds


def test_the_adapter_is_where_the_report_says(report: Report) -> None:
    folder = Path(report["adapter"]["path"])
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in folder.iterdir()}
    assert json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["r"] == 16


def test_the_terminal_shows_the_verdict_and_no_machinery(undisturbed: Undisturbed) -> None:
    ran, report = undisturbed.first
    assert report["verdict"].upper() in ran.out and report["adapter"]["digest"][:12] in ran.out
    assert "Traceback" not in ran.err and "prefect.flow_runs" not in ran.err


# the repeat, and another seed


def test_a_new_round_is_done_and_an_old_one_is_looked_up(undisturbed: Undisturbed) -> None:
    assert undisturbed.first[1]["cache"] == dict.fromkeys(STEPS, "miss")
    assert undisturbed.again[1]["cache"] == dict.fromkeys(STEPS, "hit")


def test_the_repeat_asks_no_model_and_writes_no_sample(undisturbed: Undisturbed) -> None:
    first, again, other = undisturbed.made
    assert first == again < other
    assert undisturbed.samples[0] == undisturbed.samples[1]


def test_the_repeat_ends_with_the_same_figures(undisturbed: Undisturbed) -> None:
    first, again = undisturbed.first[1], undisturbed.again[1]
    for part in ("round", "verdict", "reasons", "funnel", "train", "suites", "adapter", "gate"):
        assert again[part] == first[part], part


def test_another_seed_writes_other_samples(undisturbed: Undisturbed) -> None:
    assert undisturbed.other[1]["cache"]["generate"] == "miss"
    assert undisturbed.other[1]["adapter"]["digest"] != undisturbed.first[1]["adapter"]["digest"]
    zero, one = undisturbed.home.texts(0), undisturbed.home.texts(1)
    assert zero and one and len(zero & one) < len(one) / 2


def test_the_next_round_measures_the_champion_that_serves(undisturbed: Undisturbed) -> None:
    before, after = undisturbed.first[1]["suites"], undisturbed.other[1]["suites"]
    assert {name: suite["champion"] for name, suite in after.items()} == {
        name: suite["candidate"] for name, suite in before.items()
    }


def test_no_reply_is_made_twice(undisturbed: Undisturbed) -> None:
    made = undisturbed.home.made_so_far()
    assert len(made) == len(set(made))


# the pool


def test_a_promoted_round_fills_the_pool_and_the_repeat_adds_nothing(undisturbed: Undisturbed, report: Report) -> None:
    pool = Pool(undisturbed.home.command.home, "tiny")
    first, second = pool.lines()  # of three commands
    assert (first.round, first.why, first.before) == (report["round"], "promoted", None)
    assert first.accepted == report["funnel"]["kept"] == report["pool"]["accepted"]
    assert undisturbed.again[1]["pool"] == report["pool"]
    assert (second.round, second.drawn) == (undisturbed.other[1]["round"], first.version)


def test_the_first_round_replays_nothing_and_the_second_its_share(undisturbed: Undisturbed, report: Report) -> None:
    assert report["replay"] == {"version": None, "samples": 0, "passed_over": {}}
    second = undisturbed.other[1]
    kept, replayed = second["funnel"]["kept"], second["replay"]["samples"]
    assert second["replay"]["version"] == report["pool"]["version"] and second["cache"]["replay"] == "miss"
    assert replayed == int(kept * 0.15 / 0.85 + 0.5) > 10
    assert kept + 12 + replayed <= second["train"]["samples"] <= kept + 12 + replayed + REHEARSED
    assert f"{replayed} of them replayed from the pool" in " ".join(undisturbed.other[0].out.split())
    run = undisturbed.client.get_run(second["mlflow"]["run_id"]).data
    assert (run.metrics["replay.samples"], run.params["replay.share"]) == (replayed, "0.15")
    assert run.tags["wheelwork.pool"] == report["pool"]["version"]


def test_the_verdict_decides_whether_the_second_rounds_samples_are_accepted(undisturbed: Undisturbed) -> None:
    second = undisturbed.other[1]
    view = Pool(undisturbed.home.command.home, "tiny").view(second["pool"]["version"])
    marks = {entry.mark for entry in view.entries.values() if entry.first_round == second["round"]}
    assert marks == {None if second["verdict"] == "promoted" else second["verdict"]}
    used = {entry.id for entry in view.entries.values() if entry.last_round == second["round"] != entry.first_round}
    assert len(used) == second["replay"]["samples"]


# what MLflow and Prefect hold


def runs(undisturbed: Undisturbed, kind: str) -> list[Any]:
    experiment = undisturbed.client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(undisturbed.client.search_runs([experiment.experiment_id], f"tags.`wheelwork.kind` = '{kind}'"))


def test_every_round_is_a_finished_run_under_that_of_the_loop(undisturbed: Undisturbed) -> None:
    (parent,) = runs(undisturbed, "loop")
    rounds = runs(undisturbed, "round")
    assert {run.info.run_id for run in rounds} == {
        ran[1]["mlflow"]["run_id"] for ran in (undisturbed.first, undisturbed.again, undisturbed.other)
    }
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in rounds)
    assert {run.info.status for run in rounds} == {"FINISHED"}


def test_the_run_has_settings_figures_and_digests(undisturbed: Undisturbed, report: Report) -> None:
    run = undisturbed.client.get_run(report["mlflow"]["run_id"])
    assert run.data.params["train.rank"] == "16" and run.data.params["seed"] == "0"
    assert run.data.metrics["holdout.candidate"] == report["suites"]["holdout"]["candidate"]
    assert run.data.metrics["filter.kept"] == report["funnel"]["kept"]
    assert run.data.metrics["time.generate"] == pytest.approx(report["timings"]["generate"])
    assert run.data.tags["wheelwork.verdict"] == report["verdict"]
    assert run.data.tags["wheelwork.adapter"] == report["adapter"]["digest"]
    assert len(run.data.tags["wheelwork.data"]) == len(run.data.tags["wheelwork.prompts"]) == 64


def test_the_run_has_the_loss_curve(undisturbed: Undisturbed, report: Report) -> None:
    curve = undisturbed.client.get_metric_history(report["mlflow"]["run_id"], "train.loss")
    assert [point.step for point in curve] == list(range(1, len(curve) + 1)) and len(curve) > 20
    assert curve[0].value > 2 * curve[-1].value > 0


def test_the_run_has_samples_and_answers_as_tables(undisturbed: Undisturbed, report: Report, tmp_path: Path) -> None:
    folder = Path(undisturbed.client.download_artifacts(report["mlflow"]["run_id"], "", str(tmp_path)))
    kept, dropped, answers = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("samples/kept.json", "samples/dropped.json", "answers/holdout.json")
    )
    assert len(kept["data"]) == report["funnel"]["kept"]
    reasons = [row[dropped["columns"].index("reason")] for row in dropped["data"]]
    assert {reason: reasons.count(reason) for reason in reasons} == report["funnel"]["dropped"]
    assert len(answers["data"]) == 48
    assert (folder / "report.json").is_file() and (folder / "report.md").is_file() and (folder / "loss.svg").is_file()
    for name in ("benchmark.svg", "suites.json", "flips/holdout.json", "slices/holdout.json", "attribution.json"):
        assert (folder / name).is_file(), name
    assert report["attribution"]["suites"]["holdout"]["scored"] == 48
    flips = report["suites"]["holdout"]["flips"]
    assert flips["against"] == "base" and flips["fixed"]["n"] == report["suites"]["holdout"]["wins"]


def test_the_registry_has_each_adapter_once_with_where_it_comes_from(undisturbed: Undisturbed) -> None:
    versions = {v.version: v for v in undisturbed.client.search_model_versions("name = 'tiny'")}
    reports = {r["adapter"]["version"]: r for r in (undisturbed.first[1], undisturbed.other[1])}
    assert {str(version) for version in versions} == set(reports) == {"1", "2"}
    for number, version in versions.items():
        report = reports[str(number)]
        assert version.tags["adapter_digest"] == report["adapter"]["digest"]
        assert version.tags["verdict"] == report["verdict"]
        assert len(version.tags["base_digest"]) == len(version.tags["data_digest"]) == 64
        assert version.tags["previous_champion"] == ("" if str(number) == "1" else "1")


def test_the_aliases_follow_the_verdicts(undisturbed: Undisturbed) -> None:
    champion = "2" if undisturbed.other[1]["verdict"] == "promoted" else "1"
    for alias, version in (("candidate", "2"), ("champion", champion)):
        assert str(undisturbed.client.get_model_version_by_alias("tiny", alias).version) == version


def test_the_registered_adapter_is_the_measured_one_and_no_base(undisturbed: Undisturbed, report: Report) -> None:
    stored = sorted((undisturbed.home.command.home / "artifacts" / "mlflow").rglob("adapter_model.safetensors"))
    measured = Path(report["adapter"]["path"]) / "adapter_model.safetensors"
    assert len(stored) == 2
    assert digest_file(measured) in {digest_file(path) for path in stored}
    assert not list((undisturbed.home.command.home / "artifacts").rglob("*.gguf"))


def test_prefect_shows_the_round(undisturbed: Undisturbed) -> None:
    with closing(sqlite3.connect(undisturbed.home.command.home / "prefect.db")) as database:
        artifacts = set(database.execute("SELECT key, type FROM artifact WHERE key IS NOT NULL"))
        bars = database.execute("SELECT description, data FROM artifact WHERE type = 'progress'").fetchall()
        states = {state for (state,) in database.execute("SELECT state_type FROM flow_run")}
    assert artifacts >= {
        ("tiny-verdict", "markdown"),
        ("tiny-suites", "table"),
        ("tiny-funnel", "table"),
        ("tiny-mlflow", "markdown"),
    }
    assert {said.partition(":")[0] for said, _ in bars} == {"generate", "rehearse", "train", "benchmark"}
    assert all(float(done) == 100 for _, done in bars)
    assert states == {"COMPLETED"}


# what a kill costs


@pytest.fixture(scope="module")
def disturbed(place: Path, databases: Path, server: str, undisturbed: Undisturbed) -> Iterator[Disturbed]:
    home = Home.made(place / "disturbed", place / "loop", place / "models", databases)
    made: list[int] = []

    def broken(sent: signal.Signals, after: int) -> Ran:
        process = home.start("--seed", "0")
        until(lambda: len(home.made_so_far()) >= after, process, f"reply {after}")
        if sent == signal.SIGKILL:
            os.killpg(process.pid, sent)
        else:
            process.send_signal(sent)
        ran = home.command.finish(process)
        made.append(len(home.made_so_far()))
        return ran

    with home.slow():
        stopped = [broken(signal.SIGINT, after=10), broken(signal.SIGTERM, after=made[-1] + 10)]
        survivors = [" ".join(process.cmdline()) for process in home.command.running()]
        broken(signal.SIGKILL, after=made[-1] + 20)
        home.command.environment["PREFECT_API_URL"] = server
        broken(signal.SIGKILL, after=SAMPLES + REHEARSED + 30)
    _, report = home.round("--seed", "0")
    yield Disturbed(home, stopped, survivors, made, report)
    home.command.end_all()


def test_ctrl_c_and_sigterm_are_one_sentence_and_leave_nothing_running(disturbed: Disturbed) -> None:
    for stopped in disturbed.stopped:
        assert stopped.code == 130
        assert "stopped; what was done is kept" in stopped.sentence
        assert "Traceback" not in stopped.err
    assert disturbed.survivors == []


def test_it_was_stopped_where_it_should_be(disturbed: Disturbed, undisturbed: Undisturbed) -> None:
    writing, on, writing_too, measuring = disturbed.made
    assert 10 <= writing < on < writing_too < SAMPLES
    assert SAMPLES + REHEARSED < measuring < undisturbed.made[0]


def test_a_killed_round_repeats_no_reply(disturbed: Disturbed, undisturbed: Undisturbed) -> None:
    made, written = disturbed.home.made_so_far(), SAMPLES + REHEARSED
    assert len(made) == len(set(made)) == undisturbed.made[0]
    assert made[:written] == undisturbed.home.made_so_far()[:written]


def test_a_killed_round_ends_with_the_same_samples_and_adapter(
    disturbed: Disturbed, undisturbed: Undisturbed, report: Report
) -> None:
    assert disturbed.home.sample_files() == undisturbed.samples[0]
    for part in ("round", "verdict", "reasons", "funnel", "suites", "gate"):
        assert disturbed.report[part] == report[part], part
    assert disturbed.report["adapter"]["digest"] == report["adapter"]["digest"]


def test_a_killed_round_takes_up_the_steps_that_had_ended(disturbed: Disturbed) -> None:
    assert disturbed.report["cache"] == dict.fromkeys(STEPS, "hit") | {"benchmark": "miss", "attribute": "miss"}


def test_a_killed_round_is_one_run_in_mlflow(disturbed: Disturbed) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{disturbed.home.command.home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["wheelwork.kind"] for run in found) == ["loop", "round"]
    assert len(client.search_model_versions("name = 'tiny'")) == 1


def test_nothing_half_written_stays(disturbed: Disturbed) -> None:
    store = ArtifactStore(str(disturbed.home.command.home / "artifacts"))
    scratch = Path(store.root) / ".tmp"
    assert not [path for path in scratch.rglob("*") if path.is_file()]
    assert not list((disturbed.home.command.home / "cache" / "training").rglob("checkpoint-*"))


# what is made of the champion


def test_the_champion_becomes_a_file_that_answers_as_it_does(undisturbed: Undisturbed, tmp_path: Path) -> None:
    command, out = undisturbed.home.command, tmp_path / "out"
    ran = command.run(
        "export", str(undisturbed.home.loop), "--format", "ollama", "--quantize", "f16", "--version", "1",
        "--out", str(out), "--check", "8",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    facts = json.loads((out / "export.json").read_text(encoding="utf-8"))
    assert facts["agreement"]["asked"] == 8 and facts["agreement"]["exact"] > 0.7
    assert facts["adapter"] == undisturbed.first[1]["adapter"]["digest"]
    assert {"tiny-v1-f16.gguf", "Modelfile", "README.md"} <= {path.name for path in out.iterdir()}
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "| holdout | target | 48 |" in card and "--samples 90 --seed 0" in card
    assert "first difference" in ran.out or f"{1:.1%}" in ran.out
    again = command.run("export", str(undisturbed.home.loop), "--format", "peft", "--out", str(out))
    assert again.code == 2 and "--force to replace it" in again.sentence


def test_versions_are_merged_and_a_student_learns_from_one(undisturbed: Undisturbed, tmp_path: Path) -> None:
    command, loop = undisturbed.home.command, str(undisturbed.home.loop)
    both = tmp_path / "both"
    ran = command.run("adapters", "merge", f"{loop}@1", f"{loop}@2", "--method", "ties", "--out", str(both))
    assert ran.code == 0, ran.err
    assert json.loads((both / "adapter_config.json").read_text(encoding="utf-8"))["r"] == 16
    ran = command.run(
        "distill", loop, "--student", str(undisturbed.home.loop / "tiny.gguf"), "--out", str(tmp_path / "student"),
        "--kind", "logits", "--samples", "24",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "student now" in ran.out and (tmp_path / "student" / "adapter_model.safetensors").is_file()
