"""`wheelwork filter`: a funnel over a file, without Prefect and MLflow."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .core.errors import ConfigError, ModelError
from .core.workspace import write_text

if TYPE_CHECKING:
    from .core.models.encoder import Encode
    from .core.models.progress import Progress
    from .core.quality.batch.check import Checked
    from .core.quality.batch.sides import Embed
    from .core.quality.files.beside import Comparison
    from .core.quality.files.run import Filtered
    from .core.quality.filters import FunnelContext
    from .core.quality.funnel import Funnel

ENCODER = "all-minilm-l6-v2"
console = Console(stderr=True, highlight=False)


def filter_(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Rows: .jsonl, .json, .csv, .tsv or .parquet.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File for the rows that are kept, of any of these kinds.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML file with `filters:`, as under `funnel:` in loop.yaml.")
    ] = None,
    seeds: Annotated[Path | None, typer.Option(help="Rows that nothing may copy, and whose labels count.")] = None,
    holdout: Annotated[list[Path] | None, typer.Option(help="Rows that are measured on; repeat.")] = None,
    encoder: Annotated[str, typer.Option(help="Encoder of the filters that need one: a name or a folder.")] = ENCODER,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. The cores of this machine.")] = None,
    examples: Annotated[int, typer.Option(min=0, help="Texts to show for each reason, masked.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Write the figures to this file as JSON.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the funnel in this file, .svg or .html.")] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="REFERENCE", help="Compare what is kept, as a whole, with these rows.")
    ] = None,
) -> None:
    """Filter a file of rows: texts with or without labels, prompts with or without answers, conversations.

    Judged is what the user said last. OUT has every column of IN, in its order. What is dropped stands beside it in
    OUT-stem.dropped with its reason, what cannot be read in OUT-stem.quarantined.jsonl with its line. Without --config
    rows pass rules and lose duplicates; with --seeds they must also be new and fit their label. --check tells whether
    what is kept is spread as REFERENCE is: numbers, labels, embeddings; --picture then draws that beside the funnel.
    """
    from .core.parallel import in_processes
    from .core.quality.files.beside import picture_beside
    from .core.quality.files.picture import check_ending, write_picture
    from .core.quality.files.run import check_paths, filter_file, processes_for
    from .core.quality.files.run import report as as_json

    read = [path for path in (config, seeds, check, *(holdout or ())) if path is not None]
    second = picture_beside(picture) if picture is not None and check is not None else None
    check_paths(source, out, [path for path in (report, picture, second) if path is not None], read)
    if picture is not None:
        check_ending(picture)
    funnel = _funnel(config, seeds is not None)
    context = _context(funnel, seeds, holdout or [], encoder)
    compared = _comparison(check, config)
    embed = _embed(context, encoder) if compared else ""  # a mistake in it is told before anything is written
    processes = processes_for(source, workers)
    with _clearing_up(), _watching() as progress:
        each = in_processes(processes) if processes > 1 else map
        result = filter_file(
            source,
            out,
            funnel,
            context,
            each=each,
            progress=progress,
            examples=examples,
            watch=compared and compared.kept,
            numbers=compared.numbers if compared else (),
        )
    with _clearing_up("the rows are written, and were not compared; the same command starts anew"):
        checked = compared and compared.finish(embed)
    if picture is not None:
        write_picture(picture, result, f"{source.name}: {result.kept:,} of {result.rows:,} rows kept")
    settings = {"source": str(source), "workers": processes, "funnel": funnel.model_dump()}
    if report is not None:
        write_text(report, as_json(result, settings | ({"batch": checked.report.model_dump()} if checked else {})))
    _show(result, source, out)
    if checked and compared and check is not None:
        _show_check(checked, compared.settings.corrects, f"{out.name} beside {check.name}", second)


def _funnel(config: Path | None, with_seeds: bool) -> "Funnel":
    """The funnel of a file: its `filters:`, or the section `funnel:` of a whole loop.yaml."""
    from .core.quality.files.run import standalone
    from .core.quality.funnel import Funnel
    from .core.settings import parse, read_yaml

    if config is None:
        return standalone(with_seeds)
    if not config.exists():
        raise ConfigError(f"{config}: there is no such file; write the filters there, as under `funnel:` in loop.yaml")
    settings = read_yaml(config)
    if isinstance(settings, dict) and "funnel" in settings:
        return parse(Funnel, settings["funnel"], f"{config}: funnel")
    return parse(Funnel, settings, str(config))


def _context(funnel: "Funnel", seeds: Path | None, holdout: list[Path], encoder: str) -> "FunnelContext":
    """What the filters look at; the encoder is loaded only for one that needs it."""
    from .core.quality.files.run import needs
    from .core.quality.files.source import read_all
    from .core.quality.filters import FunnelContext

    needed = needs(funnel)
    if "seeds" in needed and seeds is None:
        raise ConfigError(f"the filter `{needed['seeds']}` compares with seeds; give --seeds FILE, or leave it out")
    if "review" in needed:
        raise ConfigError(
            f"the filter `{needed['review']}` asks the teachers of a loop; leave it out here, or run it in a loop"
        )
    known = [(sample.prompt, sample.label or "") for sample in read_all(seeds)] if seeds is not None else []
    held_out = [sample.prompt for path in holdout for sample in read_all(path)]
    return FunnelContext(
        _encoder(encoder, f"the filter `{needed['encoder']}`") if "encoder" in needed else None, known, held_out
    )


def _comparison(reference: Path | None, config: Path | None) -> "Comparison | None":
    """The reference of --check, with the limits that `batch:` of a whole loop.yaml sets."""
    from .core.quality.batch.settings import Batch
    from .core.quality.files.beside import comparison
    from .core.settings import parse, read_yaml

    if reference is None:
        return None
    settings = read_yaml(config) if config is not None else {}
    given = settings.get("batch", {}) if "funnel" in settings else {}
    return comparison(reference, parse(Batch, given, f"{config}: batch"))


def _embed(context: "FunnelContext", encoder: str) -> "Embed | str":
    """What embeds for --check: the funnel's own encoder, another, or why there is none."""
    if context.encodes:
        return context.embed
    try:
        return _encoder(encoder, "--check")
    except ModelError as error:
        if encoder != ENCODER:
            raise
        return str(error)


def _encoder(name: str, asked_by: str) -> "Encode":
    from .core.models.encoder import Encoder
    from .core.models.store import ModelStore

    try:
        with _watching() as progress:
            return Encoder.load(ModelStore().get(name, progress))
    except ModelError as error:
        hint = f"`wheelwork models pull {ENCODER}` fetches one where there is a network, --encoder takes a folder"
        raise ModelError(f"{asked_by} needs an encoder: {error} ({hint})") from None


@contextmanager
def _clearing_up(left: str = "nothing was written, and the same command starts anew") -> Iterator[None]:
    """Let Ctrl-C clear away what is under way, and say what is left."""
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"\nwheelwork: stopped; {left}", markup=False)
        raise typer.Exit(130) from None


@contextmanager
def _watching() -> Iterator["Progress"]:
    """A callback that draws a bar for each thing that is done, one after another."""
    from .core.pace import showing

    with ExitStack() as stack:
        shown: dict[str, Callable[[float], str]] = {}

        def progress(label: str, done: int, total: int) -> None:
            if label not in shown:
                stack.close()
                shown.clear()
                shown[label] = stack.enter_context(showing(label, max(1, total)))
            shown[label](done)

        yield progress


def _show(result: "Filtered", source: Path, out: Path) -> None:
    """The table of a run, a few of what was dropped, and where everything is."""
    print_ = Console(highlight=False, soft_wrap=True).print
    table = Table("filter", "in", "out", "seconds", "rows/s", "dropped", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:5]:
        column.justify = "right"
    for count in result.filters:
        reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in _sorted(count.dropped))
        speed = f"{count.rows_in / count.seconds:,.0f}" if count.seconds else "–"
        table.add_row(count.filter, f"{count.rows_in:,}", f"{count.rows_out:,}", f"{count.seconds:.1f}", speed, reasons)
    print_(table)
    for reason, texts in result.examples.items():
        for text in texts:
            print_(f"[dim]{escape(reason)}:[/] {escape(text)}")
    speed = result.rows / max(result.seconds, 1e-9)
    print_(f"\n{source}: {result.rows:,} rows in {result.seconds:.1f} s, {speed:,.0f}/s", markup=False)
    for path, rows, what in _files(result, out):
        print_(f"{path}: {rows:,} {what}", markup=False)
    for complaint in result.complaints:
        print_(f"  {complaint}", markup=False, style="dim")


def _show_check(checked: "Checked", corrects: bool, title: str, picture: Path | None) -> None:
    """The findings on what was kept, and their picture."""
    from .core.quality.batch.findings import summary
    from .core.quality.batch.picture import draw
    from .core.quality.batch.tables import table
    from .core.quality.files.picture import write_svg

    out = Console(highlight=False)
    out.print()
    out.print(table(checked.report.findings))
    for line in (summary(checked.report), *checked.report.notes):
        out.print(line, markup=False)
    if corrects:
        out.print("The corrections of `batch:` are for rounds; a file is only looked at.", markup=False)
    if picture is not None:
        write_svg(picture, draw(checked.plot, title), title)
        out.print(f"{picture}: the same as a picture", markup=False, soft_wrap=True)


def _files(result: "Filtered", out: Path) -> Iterator[tuple[Path, int, str]]:
    from .core.quality.files.run import Beside

    files = Beside.of(out)
    share = f"kept, {result.kept / result.rows:.1%}" if result.rows else "kept"
    yield files.out, result.kept, share
    if dropped := sum(result.dropped.values()):
        before = sum(result.rejected_before.values())
        yield (
            files.dropped,
            dropped,
            "dropped" + (f", {before:,} of them with a reason that they came with" * bool(before)),
        )
    if result.quarantined:
        yield files.quarantined, result.quarantined, "could not be read"


def _sorted(reasons: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
