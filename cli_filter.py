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
    from .core.models.store import ModelFiles
    from .core.quality.batch.check import Checked
    from .core.quality.batch.sides import Embed
    from .core.quality.context import FunnelContext
    from .core.quality.files.beside import Comparison
    from .core.quality.files.run import Filtered
    from .core.quality.funnel import Funnel
    from .core.quality.scores.models import Models

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
    pool: Annotated[
        list[Path] | None, typer.Option(help="Rows that are had already, for filters with `pool: true`; repeat.")
    ] = None,
    encoder: Annotated[str, typer.Option(help="Encoder of the filters that need one: a name or a folder.")] = ENCODER,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. The cores of this machine.")] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Write scores beside the kept rows too.")] = False,
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

    read = [path for path in (config, seeds, check, *(holdout or ()), *(pool or ())) if path is not None]
    funnel = _funnel(config, seeds is not None)
    second = picture_beside(picture) if picture is not None and check is not None else None
    drawn = [path for path in (report, picture, second) if path is not None]
    check_paths(source, out, [*funnel.remembering, *drawn], read)
    if picture is not None:
        check_ending(picture)
    processes = processes_for(source, workers)
    with clearing_up(), watching() as progress:
        compared = _comparison(check, config)
        context = _context(funnel, source, seeds, holdout or [], pool or [], encoder, progress)
        embed = _embed(context, encoder, progress) if compared else ""  # a mistake in it is told before a row is read
        each = in_processes(processes) if processes > 1 else map
        result = filter_file(
            source,
            out,
            funnel,
            context,
            each=each,
            progress=progress,
            examples=examples,
            with_scores=scores,
            watch=compared and compared.kept,
            numbers=compared.numbers if compared else (),
        )
    with (
        clearing_up("the rows are written, and were not compared; the same command starts anew"),
        watching() as progress,
    ):
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


def _context(
    funnel: "Funnel",
    source: Path,
    seeds: Path | None,
    holdout: list[Path],
    pool: list[Path],
    encoder: str,
    progress: "Progress",
) -> "FunnelContext":
    """What the filters look at; the encoder is loaded only for one that needs it, other models when they are used."""
    from .core.quality.context import FunnelContext
    from .core.quality.files.source import read_all
    from .core.quality.known import Text
    from .core.quality.thresholds import read_calibration
    from .core.workspace import home

    needed = funnel.needs
    if "seeds" in needed and seeds is None:
        raise ConfigError(f"the filter `{needed['seeds']}` compares with seeds; give --seeds FILE, or leave it out")
    if "pool" in needed and not pool:
        raise ConfigError(
            f"the filter `{needed['pool']}` has `pool: true`; give --pool FILE with the rows that are had already"
        )
    if "review" in needed:
        raise ConfigError(
            f"the filter `{needed['review']}` asks the teachers of a loop; leave it out here, or run it in a loop"
        )
    asked_by = f"the filter `{needed['encoder']}`" if "encoder" in needed else ""
    known = read_all(seeds) if seeds is not None else []
    model = find_encoder(encoder, asked_by, progress) if "encoder" in needed else None
    encode = load_encoder(model, asked_by) if model is not None else None
    context = FunnelContext(
        encode,
        [(sample.prompt, sample.label or "") for sample in known],
        [Text(sample.prompt, sample.source, path.name) for path in holdout for sample in read_all(path)],
        models=_models(funnel, source, encoder, encode, progress) if "models" in needed else None,
        pool=[Text(sample.prompt, sample.source) for path in pool for sample in read_all(path)],
        seed_places=[sample.source for sample in known],
        calibration=read_calibration(home(), model.digest) if model is not None else None,
    )
    if "threshold" in needed:
        context.limit("auto", len(known), 0.05)  # that it can be told, before a row is read
    return context


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


def _embed(context: "FunnelContext", encoder: str, progress: "Progress") -> "Embed | str":
    """What embeds for --check: the funnel's own encoder, another, or why there is none."""
    if context.encodes:
        return context.embed
    try:
        return load_encoder(find_encoder(encoder, "--check", progress), "--check")
    except ModelError as error:
        if encoder != ENCODER:
            raise
        return str(error)


def find_encoder(name: str, asked_by: str, progress: "Progress") -> "ModelFiles":
    """The files of an encoder. Raises ModelError, naming what asks for it."""
    from .core.models.store import ModelStore

    try:
        return ModelStore().get(name, progress)
    except ModelError as error:
        raise ModelError(f"{asked_by} needs an encoder: {error} ({_hint()})") from None


def load_encoder(files: "ModelFiles", asked_by: str) -> "Encode":
    """An encoder in memory. Raises ModelError, naming what asks for it."""
    from .core.models.encoder import Encoder

    try:
        return Encoder.load(files)
    except ModelError as error:
        raise ModelError(f"{asked_by} needs an encoder: {error} ({_hint()})") from None


def _hint() -> str:
    return f"`wheelwork models pull {ENCODER}` fetches one where there is a network, --encoder takes a folder"


def _models(funnel: "Funnel", source: Path, encoder: str, encode: "Encode | None", progress: "Progress") -> "Models":
    """The models that filters score with. Each must be there before any row is read, as must each preference head."""
    from .core.models.store import ModelStore
    from .core.quality.scores.models import Models, found_alone
    from .core.quality.scores.preference import fitting_head

    @contextmanager
    def showing(what: str, total: int) -> Iterator[Callable[[float], object]]:
        yield lambda done: progress(what, int(done), total)

    find = found_alone(lambda name: ModelStore().get(name, progress), encoder)
    models = Models(find, images=source.parent, showing=showing)
    for judge in funnel.filters:
        for name in getattr(judge, "scored_by", ()):
            try:
                models.find(name)
            except ModelError as error:
                raise ModelError(f"the filter `{judge.kind}` needs a model: {error}") from None
    if encode is not None:
        for path in funnel.files:
            fitting_head(models.folder / path, encode.fingerprint)
    return models


@contextmanager
def clearing_up(left: str = "nothing was written, and the same command starts anew") -> Iterator[None]:
    """Let Ctrl-C clear away what is under way, and say what is left."""
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"\nwheelwork: stopped; {left}", markup=False)
        raise typer.Exit(130) from None


@contextmanager
def watching() -> Iterator["Progress"]:
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
    for count in result.filters:
        if count.figures:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in count.figures.items())
            print_(f"{count.filter}: {shown}", markup=False)
        for note in count.notes:
            print_(note, markup=False, style="yellow")
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
