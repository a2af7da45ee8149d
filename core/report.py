"""A round for people: the table in the terminal and the Markdown on the pages, from one report."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .attribution.telling import lines_of
from .attribution.telling import markdown_of as failures
from .pool.agreement import JudgeAgreement
from .quality.batch.findings import COLUMNS as BATCH_COLUMNS
from .quality.batch.findings import rows as batch_rows
from .quality.batch.findings import summary
from .quality.batch.tables import warnings
from .reporting.suites import MORE_COLUMNS, SUITE_COLUMNS, benchmark_lines, flip_sentences, suite_rows, whole_rows
from .rounds import Report
from .training.focus.record import FocusRecord

COLOUR = {"promoted": "green", "rejected": "red", "inconclusive": "yellow"}
MEANING = {
    "promoted": "The candidate is the new champion.",
    "rejected": "The champion stays.",
    "inconclusive": "The champion stays: the evidence does not decide.",
}


def meaning(report: Report) -> str:
    """What the verdict comes to; of a round that was promoted before, what became of that."""
    note: str = report.registry.get("note", "") if report.registry.get("status") == "already" else ""
    return f"{note[:1].upper()}{note[1:]}." if note else MEANING[report.verdict]


def funnel_rows(report: Report) -> list[list[str]]:
    """Generated, drops by reason from the commonest, kept."""
    generated = report.funnel["generated"]
    drops = sorted(report.funnel["dropped"].items(), key=lambda item: (-item[1], item[0]))
    counted = [("generated", generated), *((f"– {reason}", rows) for reason, rows in drops)]
    counted.append(("kept", report.funnel["kept"]))
    return [[name, str(rows), f"{rows / generated:.0%}" if generated else "–"] for name, rows in counted]


def markdown_table(columns: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def as_markdown(report: Report) -> str:
    """The whole report as Markdown, for the Prefect page and MLflow."""
    reasons = "\n".join(f"- {reason}" for reason in report.reasons)
    return f"""# {report.loop}: {report.verdict}

{meaning(report)}

{reasons}

{markdown_table([*SUITE_COLUMNS, *MORE_COLUMNS], whole_rows(report))}
{benchmark_lines(report)}
{markdown_table(["funnel", "samples", "share"], funnel_rows(report))}

{_teacher_sentence(report)} {_training_sentence(report)}
{_training_lines(report)}{_registry_lines(report)}{_review_lines(report)}{_ledger_lines(report)}{_batch_section(report)}
{failures(report.attribution)}{_look_sentence(report)} Round `{report.round}`, seed {report.seed}.
"""


def as_renderable(report: Report) -> RenderableType:
    """The whole report for a terminal."""
    colour = COLOUR[report.verdict]
    verdict = Text(f"{report.verdict.upper()}  ", style=f"bold {colour}")
    verdict.append(meaning(report), style="default")
    for reason in report.reasons:
        verdict.append(f"\n{reason}", style="default")
    # without the role, which the verdict's sentences tell, so that 80 columns hold every figure
    suites = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in SUITE_COLUMNS:
        if name != "role":
            suites.add_column(name, no_wrap=True, justify="left" if name == "suite" else "right")
    for row in suite_rows(report):
        suites.add_row(row[0], *row[2:])
    funnel = Table("funnel", "samples", "share", box=None, pad_edge=False, header_style="dim")
    for row in funnel_rows(report):
        funnel.add_row(*row)
    steps = Table("step", "seconds", "", box=None, pad_edge=False, header_style="dim")
    for name, seconds in report.timings.items():
        steps.add_row(name, f"{seconds:.1f}", {"hit": "from cache"}.get(report.cache.get(name, ""), ""))
    side_by_side = Table.grid(padding=(0, 6))
    side_by_side.add_row(funnel, steps)
    return Group(
        Panel(verdict, title=f"{report.loop} · round {report.round}", border_style=colour, padding=(0, 1)),
        suites,
        *map(Text, (*flip_sentences(report), *report.gate.get("notes", ()))),
        *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines_of(report.attribution)),  # whole on the page
        Text(),
        side_by_side,
        Text(),
        Text(f"{_teacher_sentence(report)} {_training_sentence(report)}"),
        *map(
            Text,
            (
                *training_sentences(report),
                *registry_sentences(report),
                *focus_sentences(report),
                *review_sentences(report),
            ),
        ),
        *map(Text, _honest(report)),
        *(warnings(report.batch) if report.batch else ()),
        Text(_where_sentence(report), style="dim"),
    )


def show(report: Report, console: Console) -> None:
    """Print the report."""
    console.print()
    console.print(as_renderable(report))


def _training_sentence(report: Report) -> str:
    train: dict[str, Any] = report.train
    if not train["samples"]:
        return "Nothing was trained."
    replayed = report.replay.get("samples", 0)
    old = f", {replayed} of them replayed from the pool" if replayed else ""
    return (
        f"Trained on {train['samples']} samples{old} ({train['tokens']:,} tokens over all epochs) in "
        f"{train['seconds']:.0f} s, {train['tokens_per_second']:.0f} tokens/s; final loss {train['final_loss']:.4f}."
    )


def training_sentences(report: Report) -> list[str]:
    """How the training ended, where not as planned, and what was measured on samples held back."""
    train: dict[str, Any] = report.train
    sentences = []
    if stopped := train.get("stopped"):
        sentences.append(f"The training ended early, in step {train['steps']}: {stopped}.")
    if (validation := train.get("validation_loss")) is not None:
        sentences.append(
            f"The adapter is that of step {train['step']}; its loss on samples held back is {validation:.4f}."
        )
    return sentences + [f"{note[:1].upper()}{note[1:]}." for note in train.get("notes", [])]


def _training_lines(report: Report) -> str:
    """The same as a list of Markdown, and the curve of the loss."""
    picture = f"[The loss of every step]({report.mlflow['url']}/artifacts/{LOSS_PICTURE})"
    lines = [*training_sentences(report), *([picture] if report.train["samples"] else [])]
    return "\n" + "\n".join(f"- {line}" for line in lines) + "\n" if lines else ""


def registry_sentences(report: Report) -> list[str]:
    """That the champion was measured anew with other parts than before; nothing where it was not."""
    changed = report.registry.get("changed", [])
    return [f"The champion was measured anew, as it is served now: {'; '.join(changed)}."] if changed else []


def _registry_lines(report: Report) -> str:
    """The same as a list of Markdown."""
    return "".join(f"\n- {sentence}\n" for sentence in registry_sentences(report))


def _teacher_sentence(report: Report) -> str:
    """What the samples cost; rates are over the calls that were made now, not over replies that were there."""
    teacher: dict[str, Any] = report.teacher
    said = f"The teacher answered {teacher['calls']:,} calls in {teacher['seconds']:.0f} s"
    if teacher["reused"]:
        said += f"; {teacher['reused']:,} more replies were there already"
    return said + _cost(teacher) + "."


def _cost(asked: dict[str, Any]) -> str:
    """What calls cost, where they have a price; an endpoint that does not count tokens says 0 of them."""
    tokens = asked["prompt_tokens"] + asked["completion_tokens"]
    return f"; {f'{tokens:,} tokens' if tokens else 'they'} cost {asked['cost']:.2f}" if asked["cost"] else ""


def focus_sentences(report: Report) -> list[str]:
    """How the samples were weighted, chosen and ordered before the training; nothing where nothing was asked for."""
    told = report.train.get("focus")
    return FocusRecord.model_validate(told).sentences if told else []


def review_sentences(report: Report) -> list[str]:
    """What judges, verifiers and people did, and every remark of a filter; nothing where none was asked."""
    return [*_remarks(report), *people_sentences(report)]


def _remarks(report: Report) -> list[str]:
    """What judges and verifiers did, where any was asked, and every remark of a filter."""
    notes: list[str] = report.funnel.get("notes", [])
    if not any("asked" in figures for figures in report.funnel.get("figures", {}).values()):
        return notes
    reviewed: dict[str, Any] = report.funnel["reviewed"]
    said = f"Judges and verifiers answered {reviewed['calls']:,} calls"
    if reviewed["reused"]:
        said += f"; {reviewed['reused']:,} more replies were there already"
    said += _cost(reviewed)
    alphas = {name: found["alpha"] for name, found in report.funnel.get("figures", {}).items() if "alpha" in found}
    agreed = [f"the judges of `{name}` agree at α = {alpha:.2f}" for name, alpha in alphas.items()]
    return ["; ".join([said, *agreed]) + ".", *notes]


def people_sentences(report: Report) -> list[str]:
    """What people decided before the round trained, and how far they agree; nothing where nobody was asked."""
    review = report.review
    if not review:
        return []
    done = ", ".join(f"{review[name]} {name}" for name in ("accepted", "rejected", "corrected", "undecided"))
    sentences = [f"People decided on {review['decided']} of {review['asked']} rows: {done}."]
    for pair in review["agreement"]:
        kappa = "not defined" if pair["kappa"] is None else f"{pair['kappa']:.2f}"
        both = f"{pair['one'] or 'somebody'} and {pair['other'] or 'somebody'}"
        sentences.append(f"{both} agree on {pair['share']:.0%} of {pair['rows']} rows; Cohen's κ {kappa}.")
    if review["judge"]:
        sentences.append(JudgeAgreement.model_validate(review["judge"]).sentence)
    return sentences


def _review_lines(report: Report) -> str:
    """The same as a list of Markdown between empty lines."""
    sentences = [*focus_sentences(report), *review_sentences(report)]
    return "\n" + "\n".join(f"- {sentence}" for sentence in sentences) + "\n" if sentences else ""


def _honest(report: Report) -> list[str]:
    """What was compared with the holdouts before training, and what the ledger did."""
    return [*(report.holdouts.sentences if report.holdouts else ()), *report.ledger.sentences]


def _ledger_lines(report: Report) -> str:
    """What the ledger did, and each correction that is undone."""
    lines = [*_honest(report), *report.ledger.lines_of_markdown]
    return "\n" + "\n".join(f"- {line}" for line in lines) + "\n" if lines else ""


BATCH_PICTURE, LOSS_PICTURE = "batch.svg", "loss.svg"
"""Their names among the artifacts of the round's run."""


def _batch_section(report: Report) -> str:
    """The findings on the batch as Markdown, with a link to the picture."""
    if (batch := report.batch) is None:
        return ""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in batch_rows(batch.findings)]
    said = "".join(f"- {line}\n" for line in (*(f"{one.kind}: {one.said}." for one in batch.corrections), *batch.notes))
    picture = f"{report.mlflow['url']}/artifacts/{BATCH_PICTURE}"
    return f"""
## The batch as a whole

{summary(batch)} [Picture]({picture})

{markdown_table(list(BATCH_COLUMNS), cells)}

{said}"""


def _look_sentence(report: Report) -> str:
    """Which look at the holdout this was; none where nothing was measured."""
    if not report.suites:
        return "Nothing was measured, so that no look at the target was spent."
    return f"This was look {report.gate['look']} at the target; it could spend α = {report.gate['alpha']:.3g}."


def _where_sentence(report: Report) -> str:
    return (
        f"Adapter version {report.adapter['version']} ({report.adapter['digest'][:12]}) in {report.adapter['path']}; "
        f"MLflow run {report.mlflow['run_id']}. See it all: wheelwork up"
    )
