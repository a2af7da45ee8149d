"""`wheelwork filter` as users run it: figures that add up, one sentence for a mistake, and nothing half-written."""

import json
import os
import signal
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheelwork.benchmarks.corpora import write_corpus
from wheelwork.core.digests import digest_file
from wheelwork.tests.e2e.command import Command, until, write_rows
from wheelwork.tests.tiny import tiny_bert

ROWS = 6000


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.chdir(tmp_path)
    made = Command(tmp_path / "state")
    yield made
    made.end_all()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "rows.jsonl"
    write_corpus(path, ROWS, seed=5)
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_a_file_is_filtered_counted_and_drawn(command: Command, corpus: Path, tmp_path: Path) -> None:
    broken = tmp_path / "in.jsonl"
    broken.write_bytes(corpus.read_bytes() + b"{oops\n")
    ran = command.run("filter", "in.jsonl", "out.jsonl", "--report", "r.json", "--picture", "f.svg")
    assert ran.code == 0, ran.err
    report = json.loads((tmp_path / "r.json").read_text())
    kept, dropped = lines(tmp_path / "out.jsonl"), lines(tmp_path / "out.dropped.jsonl")
    assert (report["rows"], report["kept"], report["quarantined"]) == (ROWS + 1, len(kept), 1)
    assert sum(report["dropped"].values()) == len(dropped) == ROWS - len(kept)
    assert [one["filter"] for one in report["filters"]] == ["rules", "exact_duplicates", "near_duplicates"]
    written = {name: digest_file(tmp_path / name) for name in report["files"]}
    assert report["files"] == written
    left = iter(lines(corpus))
    assert all(any(line == other for other in left) for line in kept), "the order, or a row, was not kept"
    planted = [json.loads(line)["planted"] for line in kept]
    assert not {"exact", "near", "garbage"} & set(planted)
    assert f"{len(kept):,} kept" in ran.out and "duplicate: " in ran.out and f"in.jsonl:{ROWS + 1}: " in ran.out
    ElementTree.parse(tmp_path / "f.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "f.svg", "in.jsonl", "out.dropped.jsonl", "out.jsonl", "out.quarantined.jsonl", "r.json",
    ]  # fmt: skip


def test_killed_at_any_time_the_same_command_gives_the_same_files(
    command: Command, corpus: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.jsonl"
    large.write_bytes(corpus.read_bytes() * 8)  # enough for processes of its own
    arguments = ["filter", "large.jsonl", "out.parquet", "--workers", "2"]
    (tmp_path / "alone").mkdir()
    alone = command.run("filter", "large.jsonl", "alone/out.parquet", "--workers", "1")
    assert alone.code == 0, alone.err
    wanted = {path.name: digest_file(path) for path in (tmp_path / "alone").iterdir()}

    def scratch() -> list[Path]:
        return list(tmp_path.glob(".wheelwork-filter-*"))

    def is_writing() -> bool:
        return any(path.exists() for folder in scratch() for path in folder.glob("out*"))

    for moment in (lambda: bool(scratch()), lambda: len(command.running()) > 2, is_writing):
        started = command.start(*arguments)
        until(moment, started, "the moment to be killed in")
        os.kill(started.pid, signal.SIGKILL)  # only the first process: its workers must notice
        started.communicate()
        assert not list(tmp_path.glob("out*")), "a file appeared before all was done"
    ran = command.run(*arguments)
    assert ran.code == 0, ran.err
    assert {path.name: digest_file(path) for path in tmp_path.glob("out*")} == wanted
    assert not scratch(), "what the killed ones left is still there"
    until_gone(command)


def until_gone(command: Command) -> None:
    with command.start("--help") as helper:  # something that lives while the others end
        until(lambda: len(command.running()) <= 1, helper, "every process to end")


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_leaves_nothing(command: Command, corpus: Path, tmp_path: Path, signal_: int) -> None:
    large = tmp_path / "large.jsonl"
    large.write_bytes(corpus.read_bytes() * 8)
    started = command.start("filter", "large.jsonl", "out.jsonl", "--workers", "2")
    until(lambda: len(command.running()) > 2, started, "its workers")
    os.killpg(started.pid, signal_)
    ran = command.finish(started)
    assert (ran.code, ran.out) == (130, ""), ran.err
    assert "stopped; nothing was written" in ran.sentence
    assert "Traceback" not in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["large.jsonl"]


def test_seeds_and_held_out_rows_count(command: Command, tmp_path: Path) -> None:
    tiny_bert(tmp_path / "encoder", ["line", "down", "bill", "high"])
    write_rows(
        tmp_path / "seeds.jsonl", [{"text": "the line is down", "label": "line"}, {"text": "a bill", "label": "b"}]
    )
    (tmp_path / "held.csv").write_text("question,answer\nis my bill too high?,no\n")
    write_rows(
        tmp_path / "in.jsonl",
        [{"prompt": text} for text in ("The line is down!", "is my bill too high", "why is it so dark in here today")],
    )
    (tmp_path / "funnel.yaml").write_text(
        "funnel: {filters: [{kind: exact_duplicates}, {kind: novelty, max_cosine: 1}]}"
    )
    ran = command.run(
        "filter", "in.jsonl", "out.jsonl", "--config", "funnel.yaml", "--seeds", "seeds.jsonl", "--holdout", "held.csv",
        "--encoder", "encoder",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    dropped = [json.loads(line) for line in lines(tmp_path / "out.dropped.jsonl")]
    assert [row["reject_reason"] for row in dropped] == ["copies_seed", "held_out"]


def test_what_is_kept_is_compared_with_a_reference(command: Command, tmp_path: Path) -> None:
    tiny_bert(tmp_path / "encoder", ["line", "down", "bill", "high"])
    for name, more in (("in", " and so it has been since"), ("reference", "")):
        rows = [{"text": f"the line {n} of {name} is down{more * (n % 3)}", "label": "ab"[n % 2]} for n in range(60)]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    (tmp_path / "all.yaml").write_text("funnel: {filters: [{kind: rules}]}\nbatch: {sample: {size: 9}}")
    ran = command.run(
        "filter", "in.jsonl", "out.jsonl", "--check", "reference.jsonl", "--encoder", "encoder", "--config", "all.yaml",
        "--report", "r.json", "--picture", "p.svg",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    batch = json.loads((tmp_path / "r.json").read_text())["batch"]
    assert (batch["kept"], batch["reference"], len(lines(tmp_path / "out.jsonl"))) == (60, 60, 60)
    found = {(one["check"], one["of"]): one["outcome"] for one in batch["findings"]}
    assert found["ks", "words"] == "warn" and found["kl", "labels"] == "fine" and ("distance", "embeddings") in found
    assert f"Batch: {len(found)} checks of 60 kept beside 60 reference rows, " in ran.out
    assert "The corrections of `batch:` are for rounds" in ran.out and "p.batch.svg: the same as a picture" in ran.out
    ElementTree.parse(tmp_path / "p.batch.svg")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["in.jsonl", "in.jsonl"], "in.jsonl: this would be written over a file that is read"),
        (["nowhere.jsonl", "out.jsonl"], "nowhere.jsonl: there is no such file"),
        (["in.jsonl", "out.docx"], "the name must end in .jsonl"),
        (["in.jsonl", "out.jsonl", "--picture", "f.png"], "f.png: the picture's name must end in .svg or .html"),
        (["in.jsonl", "out.jsonl", "--config", "no.yaml"], "no.yaml: there is no such file; write the filters there"),
        (
            ["in.jsonl", "out.jsonl", "--config", "kind.yaml"],
            "`filters.0.kind`: there is no `ruls`; did you mean `rules`?",
        ),
        (["in.jsonl", "out.jsonl", "--config", "key.yaml"], "`filters.0.rules.min_word`; did you mean `min_words`?"),
        (
            ["in.jsonl", "out.jsonl", "--config", "novelty.yaml"],
            "the filter `novelty` compares with seeds; give --seeds",
        ),
        (
            ["in.jsonl", "out.jsonl", "--config", "novelty.yaml", "--seeds", "in.jsonl", "--encoder", "./none"],
            "the filter `novelty` needs an encoder: ./none: there is no such file or folder",
        ),
        (["in.jsonl", "out.jsonl", "--check", "in.jsonl", "--encoder", "./none"], "--check needs an encoder: ./none:"),
        (["in.jsonl", "out.jsonl", "--check", "bad.jsonl"], "bad.jsonl:1: this is not JSON"),
        (["in.jsonl", "check.jsonl", "--check", "check.jsonl"], "check.jsonl: this would be written over a file that"),
        (
            ["in.jsonl", "out.jsonl", "--check", "in.jsonl", "--config", "batch.yaml"],
            "`numbers.psy`; did you mean `psi`?",
        ),
        (["in.jsonl", "out.jsonl", "--confg", "key.yaml"], "No such option: --confg"),
        (["bad.jsonl", "out.jsonl"], "bad.jsonl:1: this is not JSON"),
    ],
)
def test_a_mistake_is_one_sentence(command: Command, tmp_path: Path, arguments: list[str], says: str) -> None:
    write_rows(tmp_path / "in.jsonl", [{"text": "the line is down again", "label": "line"}])
    (tmp_path / "bad.jsonl").write_text("oops\n")
    (tmp_path / "kind.yaml").write_text("filters: [{kind: ruls}]")
    (tmp_path / "key.yaml").write_text("filters: [{kind: rules, min_word: 2}]")
    (tmp_path / "batch.yaml").write_text("funnel: {filters: []}\nbatch: {numbers: {psy: 0.1}}")
    (tmp_path / "novelty.yaml").write_text("filters: [{kind: novelty}]")
    before = sorted(tmp_path.iterdir())
    ran = command.run("filter", *arguments)
    assert ran.code == 2, ran.err
    assert says in ran.sentence
    assert "Traceback" not in ran.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_head_is_fitted_on_pairs_and_scores_a_file(command: Command, tmp_path: Path) -> None:
    tiny_bert(tmp_path / "encoder", ["line", "down", "bill", "high"])
    write_rows(
        tmp_path / "pairs.jsonl",
        [
            {"prompt": f"case {n}", "chosen": "line " * (1 + n % 4), "rejected": "bill " * (1 + n % 3)}
            for n in range(30)
        ],
    )
    ran = command.run("review", "preference", "pairs.jsonl", "--out", "head.json", "--encoder", "./encoder")
    assert ran.code == 0 and "fitted on 30 pairs of 30 prompts" in ran.out and "95%" in ran.out, ran.err
    (tmp_path / "f.yaml").write_text("filters: [{ kind: preference, head: head.json }, { kind: rouge_l, max: 0.9 }]")
    rows = [{"prompt": "case", "completion": word, "reference": "line down"} for word in ("line", "bill", "line down")]
    write_rows(tmp_path / "in.jsonl", rows)
    told = ("filter", "in.jsonl", "out.jsonl", "--config", "f.yaml", "--encoder", "./encoder", "--scores")
    ran = command.run(*told)
    assert ran.code == 0, ran.err
    kept = [json.loads(line) for line in lines(tmp_path / "out.jsonl")]
    assert len(kept) == 2 and kept[0]["scores"]["preference"] > kept[1]["scores"]["preference"]
    assert "rouge_l_high 1" in ran.out and "preference: scored 3" in ran.out


@pytest.mark.parametrize(
    ("filter_", "said"),
    [
        ("{ kind: perplexity }", "name a model, such as `model: smollm2-135m-instruct`"),
        ("{ kind: perplexity, model: ./gone }", "the filter `perplexity` needs a model: ./gone: there is no such file"),
        ("{ kind: preference, head: gone.json }", "`wheelwork review preference PAIRS --out gone.json` fits one"),
        ("{ kind: bleu, min: 101 }", "`min` is above 100"),
    ],
)
def test_a_score_that_cannot_be_is_one_sentence(command: Command, tmp_path: Path, filter_: str, said: str) -> None:
    tiny_bert(tmp_path / "encoder", ["line"])
    (tmp_path / "f.yaml").write_text(f"filters: [{filter_}]")
    write_rows(tmp_path / "in.jsonl", [{"prompt": "a", "completion": "b"}])
    ran = command.run("filter", "in.jsonl", "out.jsonl", "--config", "f.yaml", "--encoder", "./encoder")
    assert ran.code == 2 and said in ran.sentence and "Traceback" not in ran.err
    assert not (tmp_path / "out.jsonl").exists()
