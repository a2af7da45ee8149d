"""The report as people read it."""

from io import StringIO

from rich.console import Console
from wheelwork.core.quality.batch.findings import BatchReport, Corrected, Finding, unknown
from wheelwork.core.report import as_markdown, as_renderable
from wheelwork.core.rounds import Report
from wheelwork.core.training.focus.record import Emphasised, FocusRecord, Ordered

SUITE = {
    "role": "target",
    "n": 312,
    "base": 0.0,
    "champion": None,
    "candidate": 0.875,
    "delta": 0.875,
    "ci": [0.83, 0.91],
    "p_value": 1.4e-80,
    "outcome": "pass",
}
REPORT = Report(
    loop="desk",
    round="0000-abcdef01",
    seed=0,
    verdict="promoted",
    reasons=("holdout: better",),
    teacher={
        "calls": 25,
        "reused": 3,
        "prompt_tokens": 5000,
        "completion_tokens": 900,
        "cost": 0.0,
        "seconds": 70.0,
    },
    funnel={"generated": 200, "kept": 80, "dropped": {"label_disagrees": 100, "too_short": 20}},
    train={"samples": 176, "tokens": 120_000, "seconds": 200.0, "tokens_per_second": 600.0, "final_loss": 0.01},
    suites={"holdout": SUITE},
    timings={"start": 10.0, "train": 200.0, "total": 300.0},
    cache={"train": "hit"},
    adapter={"version": "3", "digest": "ab" * 32, "path": "/somewhere"},
    mlflow={"run_id": "r1", "model_version": "3", "url": "http://127.0.0.1:5000"},
    gate={"alpha": 0.025, "look": 1},
    replay={"version": None, "samples": 0, "passed_over": {}},
    pool={"version": "cd" * 32, "accepted": 80, "marked": 0, "excluded": 0},
)


def printed(report: Report, width: int = 80) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(as_renderable(report))
    return console.export_text()


def test_a_terminal_of_80_columns_shows_every_figure_whole() -> None:
    text = printed(REPORT)
    assert "…" not in text
    for shown in ("PROMOTED", "holdout", "0.875", "+0.88 [+0.83, +0.91]", "1.4e-80", "label_disagrees", "from cache"):
        assert shown in text


def test_what_is_unknown_is_a_dash_and_not_zero() -> None:
    unknown = SUITE | {"candidate": None, "delta": None, "ci": None}
    text = as_markdown(REPORT.model_copy(update={"suites": {"holdout": unknown}}))
    assert "| holdout | target | 312 | 0.000 | – | – | – |" in text


def test_what_judges_did_and_said_is_told_and_nothing_where_there_are_none() -> None:
    assert "Judges" not in as_markdown(REPORT) and "Judges" not in printed(REPORT)
    reviewed = {"calls": 1200, "reused": 3, "prompt_tokens": 9000, "completion_tokens": 1000, "cost": 1.5}
    funnel = REPORT.funnel | {
        "reviewed": reviewed,
        "figures": {"judge": {"alpha": 0.613, "asked": 600.0}, "verifier": {"asked": 600.0}},
        "notes": ["judge: 2 of 600 rows could not be judged (no_reply 2) and were kept."],
    }
    judged = REPORT.model_copy(update={"funnel": funnel})
    said = "Judges and verifiers answered 1,200 calls; 3 more replies were there already; 10,000 tokens cost 1.50; "
    assert f"- {said}the judges of `judge` agree at α = 0.61.\n- judge: 2 of 600 rows" in as_markdown(judged)
    assert "2 of 600 rows" in printed(judged, width=200)


def test_remarks_of_filters_are_told_where_no_judge_was_asked() -> None:
    funnel = REPORT.funnel | {
        "reviewed": {"calls": 0, "reused": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0},
        "figures": {"bleu": {"scored": 598.0, "unscored": 2.0, "mean": 31.5}},
        "notes": ["bleu: 2 of 600 rows could not be scored (no_reference 2) and were kept."],
    }
    text = as_markdown(REPORT.model_copy(update={"funnel": funnel}))
    assert "- bleu: 2 of 600 rows" in text and "Judges" not in text


def test_the_funnel_lists_the_commonest_reason_first() -> None:
    text = as_markdown(REPORT)
    assert text.index("label_disagrees") < text.index("too_short") < text.index("| kept | 80 | 40% |")


def test_the_batch_warns_in_the_terminal_and_is_whole_on_the_page() -> None:
    assert "Batch" not in as_markdown(REPORT) and "Batch" not in printed(REPORT)
    batch = BatchReport(
        kept=80,
        reference=96,
        findings=(
            Finding(
                check="kl", of="labels", value=0.4, threshold=0.12, p_value=1e-4, outcome="warn", said="a|b, 9% for 40%"
            ),
            Finding(check="evenness", of="labels", value=0.97, threshold=0.8, outcome="fine"),
            unknown("psi", "nearest_seed", "only the kept has it"),
        ),
        corrections=(Corrected(kind="sample", figures={"rows": 60}, said="60 of 80 samples drawn"),),
        seconds=0.5,
    )
    report = REPORT.model_copy(update={"batch": batch})
    text, page = printed(report), as_markdown(report)
    assert "…" not in text and "a|b, 9% for 40%" in text and "evenness" not in text and "nearest_seed" not in text
    said = "Batch: 3 checks of 80 kept beside 96 reference rows, 1 warn, 1 unknown."
    assert said in " ".join(text.split()) and "sample: 60 of 80 samples drawn." in text
    assert f"{said} [Picture](http://127.0.0.1:5000/artifacts/batch.svg)" in page
    assert "| KL to the target | labels | 0.400 | 0.120 | 0.0001 | warn | a\\|b, 9% for 40% |" in page
    assert "| evenness | labels | 0.970 | 0.800 | – | fine |  |" in page
    assert "| PSI | nearest_seed | – | – | – | unknown | only the kept has it |" in page
    assert report.model_dump(mode="json")["batch"]["findings"][2]["value"] is None


def test_what_a_training_focused_on_is_told_a_sentence_each() -> None:
    assert "Focus" not in as_markdown(REPORT) and "Order" not in printed(REPORT)
    emphasis = {"rows": 90, "smallest": 1.0, "largest": 1.0, "effective_rows": 45.0, "unknown": 0}
    focus = FocusRecord(
        measured_by="champion",
        seconds=3.0,
        emphases=(
            Emphasised.model_validate(emphasis | {"kind": "top_loss", "chosen": 45, "loss_correlation": 0.8}),
            Emphasised.model_validate(
                {"kind": "gradient_norm", "rows": 45, "chosen": 45, "smallest": 0.2, "largest": 3.1}
                | {"effective_rows": 30.2, "unknown": 2, "loss_correlation": None}
            ),
        ),
        order=Ordered(
            kind="competence", difficulty="loss", rows=45, unknown=2, length_correlation=-0.1, loss_correlation=1.0
        ),
    )
    report = REPORT.model_copy(update={"train": REPORT.train | {"focus": focus.model_dump(mode="json")}})
    page = as_markdown(report)
    assert "- Focus `top_loss`: 45 of 90 samples chosen; ρ = +0.80 to the loss of the champion.\n" in page
    assert "weights from 0.20 to 3.10, worth 30 of them; 2 could not be told.\n" in page
    assert "- Order `competence`, by the loss under the champion; ρ = -0.10 to the length; 2 of 45" in page
    assert "Focus `top_loss`" in printed(report, width=200)
    assert "focus.top_loss.chosen" not in focus.metrics and focus.metrics["top_loss.chosen"] == 45
    assert "gradient_norm.loss_correlation" not in focus.metrics, "what is unknown is no figure"


def test_how_a_training_ended_is_told_with_a_link_to_its_curve() -> None:
    picture = "[The loss of every step](http://127.0.0.1:5000/artifacts/loss.svg)"
    assert f"- {picture}\n" in as_markdown(REPORT) and "ended early" not in as_markdown(REPORT)
    ended = {
        "steps": 42,
        "step": 20,
        "stopped": "the validation loss had not fallen in 3 measurements",
        "validation_loss": 0.25,
        "notes": ["answers longer than the 256 tokens of `train.max_length`: 3 left out"],
    }
    report = REPORT.model_copy(update={"train": REPORT.train | ended})
    for text in (as_markdown(report), printed(report, width=200)):
        assert "The training ended early, in step 42: the validation loss had not fallen in 3 measurements." in text
        assert "The adapter is that of step 20; its loss on samples held back is 0.2500." in text
        assert "Answers longer than the 256 tokens of `train.max_length`: 3 left out." in text


def test_a_round_that_did_not_train_says_so_and_has_no_figures_of_a_training() -> None:
    nothing = {"train": {"samples": 0, "expected": {"rows": 9}}, "suites": {}, "verdict": "inconclusive"}
    report = REPORT.model_copy(update=nothing | {"reasons": ("no improvement was expected",)})
    text = as_markdown(report)
    assert "Nothing was trained." in text and "loss.svg" not in text
    assert "Nothing was measured, so that no look at the target was spent." in text
    assert "Nothing was trained." in printed(report) and "no improvement was expected" in printed(report)


def test_which_items_flipped_is_one_line_a_suite_and_a_link_on_the_page() -> None:
    assert "fixed" not in printed(REPORT)
    flips = {"against": "champion", "fixed": {"n": 12, "ids": ["a"]}, "broken": {"n": 3, "ids": ["b"]}}
    report = REPORT.model_copy(update={"suites": {"holdout": SUITE | {"flips": flips, "min_detectable": 0.0612}}})
    assert "holdout: 12 fixed, 3 broken against the champion." in printed(report)
    page = as_markdown(report)
    assert "| 1.4e-80 | pass | 0.061 | 12 | 3 |" in page
    link = "[Which](http://127.0.0.1:5000/artifacts/flips/holdout.json)"
    assert f"- holdout: 12 fixed, 3 broken against the champion. {link}\n" in page
    assert "[All suites in one picture](http://127.0.0.1:5000/artifacts/benchmark.svg)" in page


def test_what_else_the_gate_saw_is_told() -> None:
    note = "holdout: slice `move`: 0.50 against 0.80, may be chance"
    report = REPORT.model_copy(update={"gate": REPORT.gate | {"notes": [note]}})
    assert note in printed(report) and f"- {note}\n" in as_markdown(report)


def test_why_items_fail_is_told_in_few_lines_and_whole_on_the_page() -> None:
    assert "Fails" not in printed(REPORT) and "Where it fails" not in as_markdown(REPORT)
    row = {
        "suite": "holdout",
        "along": "confusion",
        "group": "speed → billing",
        "failing": 9,
        "items": 9,
        "p": None,
        "cause": "missing_coverage",
        "evidence": "1 of 61 training samples are `speed`",
        "remedy": "write about 36 more samples of `speed`",
    }
    suites = {"holdout": {"scored": 312, "failing": 11, "other": 2, "notes": []}}
    told = {"suites": suites, "groups": [row], "followed": None}
    report = REPORT.model_copy(update={"attribution": told})
    text = printed(report, width=120)
    assert "Fails 11 of 312 items of holdout (2 in no group):" in text
    assert "- 9× speed → billing: missing coverage; write about 36 more samples of `speed`" in text
    page = as_markdown(report)
    assert "## Where it fails, and why" in page and "1 of 61 training samples are `speed`" in page


def test_a_round_that_was_promoted_before_says_what_became_of_it() -> None:
    told = {"status": "already", "note": "version 3 was rolled back"}
    report = REPORT.model_copy(update={"registry": told})
    for text in (as_markdown(report), printed(report)):
        assert "Version 3 was rolled back." in text and "new champion" not in text
    late = REPORT.model_copy(update={"registry": {"status": "refused", "note": "x"}, "verdict": "inconclusive"})
    assert "The champion stays: the evidence does not decide." in as_markdown(late)


def test_a_champion_that_was_measured_with_other_parts_is_told() -> None:
    report = REPORT.model_copy(update={"registry": {"status": "stays", "changed": ["the engine (1 then, 2 now)"]}})
    for text in (as_markdown(report), " ".join(printed(report).split())):
        assert "The champion was measured anew, as it is served now: the engine (1 then, 2 now)." in text
    assert "measured anew" not in as_markdown(REPORT)
