"""The `wheelwork` command: reads options, checks them at the door, and calls what does the work."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .cli_adapters import adapters_app, distill
from .cli_benchmark import benchmark
from .cli_calibrate import calibrate
from .cli_canary import canary_app
from .cli_deploy import deploy
from .cli_export import export
from .cli_filter import filter_
from .cli_gate import gate
from .cli_generate import generate
from .cli_hooks import hooks_app
from .cli_keys import keys_app
from .cli_ledger import ledger_app
from .cli_merge import merge
from .cli_pool import pool_app
from .cli_registry import history, rollback
from .cli_review import review_app
from .cli_serve import PORT, serve
from .cli_suite import say_looks, suite_app
from .cli_traffic import collect, traffic_app
from .core.errors import WheelworkError
from .core.steps import Step
from .core.workspace import home, write_text

if TYPE_CHECKING:
    from .core.loops import Loop

app = typer.Typer(
    name="wheelwork",
    help="A self-improving fine-tuning loop for small language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The model store: what is there, fetch it, where it lies.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(pool_app, name="pool")
app.add_typer(review_app, name="review")
app.add_typer(ledger_app, name="ledger")
app.add_typer(suite_app, name="suite")
app.add_typer(hooks_app, name="hooks")
app.add_typer(adapters_app, name="adapters")
app.add_typer(traffic_app, name="traffic")
app.add_typer(canary_app, name="canary")
app.add_typer(keys_app, name="keys")
console = Console(stderr=True, highlight=False)

Samples = Annotated[int | None, typer.Option(min=0, help="How many samples to ask the teacher for.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice; the same seed gives the same round.")]
ReportFile = Annotated[Path | None, typer.Option("--report", help="Write the report to this file as JSON.")]
FromStep = Annotated[
    Step | None, typer.Option(help="Do this step and those after it again, though nothing has changed.")
]
LoopFolder = Annotated[str, typer.Argument(metavar="LOOP", help="Folder of the loop, or the name of a scenario.")]


@app.command()
def demo(samples: Samples = None, seed: Seed = 0, report: ReportFile = None) -> None:
    """Run one round of the scenario home_broadband and print what came of it."""
    console.print("[bold]wheelwork demo[/]: a support line for home broadband learns to route its messages.")
    _round("home_broadband", samples, seed, None, report)


@app.command()
def improve(
    loop: LoopFolder, samples: Samples = None, seed: Seed = 0, from_step: FromStep = None, report: ReportFile = None
) -> None:
    """Run one round: generate, filter, train, benchmark, gate, promote.

    A round that was stopped or killed goes on where it was when the same command is given again. A round that
    ended is looked up and not done anew; give another --seed for fresh samples, or --from-step to do it again.
    """
    _round(loop, samples, seed, from_step, report)


app.command()(generate)
app.command("filter")(filter_)
app.command()(calibrate)
app.command()(gate)
app.command()(merge)
app.command()(export)
app.command()(distill)
app.command()(benchmark)
app.command()(history)
app.command()(rollback)
app.command()(collect)
app.command()(serve)
app.command()(deploy)


@app.command()
def check(loop: LoopFolder) -> None:
    """Check a loop before anything is spent: settings, data, leaks into suites, and whether the task is fit for it."""
    from .core.loops import load_loop
    from .core.models.store import ModelStore
    from .core.naming import find_loop

    read = load_loop(find_loop(loop))
    base = ModelStore().at_hand(read.model_ref(read.settings.model))
    if base is not None:  # else this is looked at when a round has fetched it
        read.check_training(base)
    table = Table("part", "rows", "of it", box=None, pad_edge=False, header_style="dim")
    table.add_row("seeds", str(len(read.seeds)), f"in {len(read.material.categories)} categories")
    if read.material.passages:
        documents = {passage.document for passage in read.material.passages.values()}
        table.add_row("passages", str(len(read.material.passages)), f"of {len(documents)} documents")
    for name, suite in read.suites.items():
        by = suite.settings.scorer.kind + (" by the training stack" if suite.measured_by == "training stack" else "")
        table.add_row(name, str(len(suite.items)), f"{suite.settings.role}, scored by {by}")
    for judge in read.settings.funnel.asking:
        table.add_row(judge.kind, str(len(read.settings.teachers(judge.role))), f"teachers, as {judge.role}")
    if (review := read.settings.review).mode != "off":
        then = f"the round waits at most {review.wait}" if review.mode == "required" else "the round does not wait"
        table.add_row("people", str(review.rows), f"rows for review, {review.mode}: {then}")
    table.add_row("train", "", read.settings.train.in_words)
    fit = Table("is the task …", "", "why", box=None, pad_edge=False, header_style="dim")
    colours = {"yes": "green", "weak": "yellow", "no": "red"}
    for question in ("structured", "learnable", "verifiable"):
        answer = getattr(read.suitability, question)
        fit.add_row(question, f"[{colours[answer.verdict]}]{answer.verdict}[/]", escape(answer.why))
    out = Console(highlight=False)
    out.print(table)
    out.print()
    out.print(fit)
    for bad, reason in read.acknowledged:
        out.print(f"[yellow]acknowledged:[/] {bad.kind.replace('_', ' ')} ({escape(bad.evidence)}): {escape(reason)}")
    for sentence in _compared(read):
        out.print(escape(sentence), style="dim", soft_wrap=True)
    say_looks(read, out)
    out.print(f"\n{read.name}: everything is in order. Next: wheelwork improve {loop}", soft_wrap=True)


def _compared(loop: "Loop") -> list[str]:
    """What was found when seeds and rehearsal were compared with the suites; LeakError for a copy."""
    from .core.evaluation.holdouts.leaks import look_at, refuse_leaked
    from .core.models.encoder import Encoder
    from .core.models.store import ModelStore

    files = ModelStore().at_hand(loop.model_ref(loop.settings.encoder)) if loop.settings.leaks.cosine else None
    with console.status("comparing seeds and rehearsal with the suites"):
        found = look_at(loop, Encoder.load(files) if files else None)
    refuse_leaked(found, loop.name)
    return found.looked.sentences


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the loop.")],
    task: Annotated[str, typer.Option(help="What the model is to do: classify, grounded_qa or dialogue.")] = "classify",
    from_: Annotated[Path | None, typer.Option("--from", help="Your labelled rows: CSV, TSV, JSONL, parquet.")] = None,
    holdout: Annotated[
        Path | None,
        typer.Option(help="Rows to measure on, never trained on. Without it a fifth of --from is set aside."),
    ] = None,
) -> None:
    """Make a loop, from your own labelled rows or from the example scenario."""
    from .core.scaffold import make_loop

    made = make_loop(folder, task, from_, holdout)
    out = Console(highlight=False, soft_wrap=True)
    suites = ", ".join(f"{len(suite.items)} rows in {name}" for name, suite in made.suites.items())
    out.print(f"{folder}: {len(made.labels)} labels, {len(made.seeds)} seeds, {suites}.")
    out.print("Rows that repeat, or that are held out as well, were left out of the seeds.", style="dim")
    out.print(f"Next: wheelwork improve {folder}")


@app.command()
def up(
    loop: Annotated[
        str, typer.Argument(metavar="[LOOP]", help="The loop that the deployments run.")
    ] = "home_broadband",
    prefect_port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of Prefect's page and API.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of MLflow's page and API.")] = 5000,
    gateway_port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of the gateway.")] = PORT,
) -> None:
    """Start everything in this terminal: Prefect and MLflow pages, a worker, the gateway. Ctrl-C ends it."""
    from .blocks.environment import prepare
    from .core.loops import load_loop
    from .core.naming import find_loop

    folder = find_loop(loop)
    load_loop(folder)
    prepare(home())
    from .blocks.services import run_all

    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, signal.default_int_handler)  # services end in their order before we do
    try:
        run_all(home(), str(folder), prefect_port, mlflow_port, gateway_port, console)
    except KeyboardInterrupt:
        _stop()


@models_app.command("list")
def models_list() -> None:
    """The embedded models, and which are on this machine."""
    from .core.models.store import ModelStore

    table = Table("name", "role", "on disk", "licence", "what it is", box=None, pad_edge=False, header_style="dim")
    for line in ModelStore().status():
        size = f"{line.size / 1e6:.0f} MB" if line.present else "not fetched"
        table.add_row(line.name, line.entry.role, size, line.entry.licence, line.entry.description)
    Console().print(table)


@models_app.command("pull")
def models_pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names, folders, .gguf files, hub ids; all embedded.")
    ] = None,
) -> None:
    """Fetch models, check their hashes, convert them once."""
    from .core.models.store import ModelStore, catalogue

    store = ModelStore()
    for name in names or list(catalogue()):
        with _showing() as progress:
            files = store.get(name, progress)
        console.print(f"{name}: {files.folder}")


@models_app.command("path")
def models_path(name: Annotated[str, typer.Argument(help="A name, folder, .gguf file or hub id.")]) -> None:
    """Where a model lies, fetched first if need be."""
    from .core.models.store import ModelStore

    with _showing() as progress:
        files = ModelStore().get(name, progress)
    print(files.folder)


def _round(ref: str, samples: int | None, seed: int, from_step: Step | None, report: Path | None) -> None:
    """One round in this process, on the services of `wheelwork up` if they run, else on a server of its own."""
    from .core.loops import load_loop
    from .core.models.store import ModelStore
    from .core.naming import find_loop

    folder = find_loop(ref)
    loop = load_loop(folder)  # a user's mistake ends here, in a second, before anything is started
    with _showing() as progress:
        loop.check_training(ModelStore().get(loop.model_ref(loop.settings.model), progress))
        ModelStore().get(loop.model_ref(loop.settings.encoder), progress)
    from .blocks.environment import prepare, stoppable

    prepare(home())
    with console.status("starting Prefect and MLflow"):
        from .core.report import show
        from .flows.improve import improve as flow
    console.print(f"state in {home()}", style="dim")
    outcome = stoppable(flow)(str(folder), samples=samples, seed=seed, from_step=from_step)
    show(outcome, Console(highlight=False))
    if report is not None:
        write_text(report, outcome.model_dump_json(indent=2) + "\n")


@contextmanager
def _showing() -> Iterator["object"]:
    """A progress bar for downloads and conversions, shown when there is something to wait for."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    bars: dict[str, TaskID] = {}
    with Progress(
        TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn(),
        console=console, transient=True,
    ) as shown:  # fmt: skip

        def progress(label: str, done: int, total: int) -> None:
            if label not in bars:
                bars[label] = shown.add_task(label, total=total)
                if not console.is_terminal:
                    console.print(f"  {label} …")
            shown.update(bars[label], completed=done, total=total)

        yield progress


def main() -> None:
    """Entry point: a WheelworkError is one sentence and its exit code, Ctrl-C is 130, anything else is our bug."""
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, _stop)
    try:
        app(standalone_mode=True)
    except WheelworkError as error:
        console.print(f"[bold red]wheelwork:[/] {escape(str(error))}", soft_wrap=True)
        _end(error.exit_code)


def _stop(*_: object) -> None:
    """End at once: everything that was done is on disk already, and Prefect must not wait for its own server."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said = "\nwheelwork: stopped; what was done is kept, and the same command goes on from there"
    console.print(said, markup=False, soft_wrap=True)
    _end(130)


def _end(code: int) -> None:
    """Leave with `code`, and with nothing running that was started here."""
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=5)[1]:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    sys.stdout.flush()
    os._exit(code)  # engine threads would keep the process alive
