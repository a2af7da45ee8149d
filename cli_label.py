"""`wheelwork review queue` and `pseudo`: which texts of the traffic to label next, and which need nobody."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Console

from .cli_pool import LoopName
from .core.errors import ConfigError
from .core.workspace import home

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from .core.loops import Loop
    from .core.people.nearest_mean import NearestMean
    from .core.people.traffic import Told, Traffic
    from .core.pool.annotators import Tool
    from .core.pool.store import Pool
    from .core.pool.versions import View

FORMATS: "dict[str, Tool | None]" = {"sheet": None, "argilla": "argilla", "label-studio": "label-studio"}
out = Console(highlight=False, soft_wrap=True)

TrafficFile = Annotated[
    Path, typer.Argument(metavar="TRAFFIC", help="Texts: .jsonl, .json, .csv, .tsv or .parquet. Labels are not read.")
]
Out = Annotated[Path, typer.Option("--out", help="File to write: .csv, .tsv, .jsonl, .json or .parquet.")]
Format = Annotated[str, typer.Option("--format", help="sheet, argilla or label-studio; the last two are .json.")]


def queue(
    loop: LoopName,
    traffic: TrafficFile,
    to: Out,
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="How many texts.")] = 50,
    by: Annotated[str, typer.Option(help="How uncertainty is measured: entropy or margin.")] = "entropy",
    apart: Annotated[
        float,
        typer.Option(min=0, max=1, help="Largest cosine of two texts of the queue; 1: alike ones may stand in it."),
    ] = 0.9,
    reviewer: Annotated[list[str] | None, typer.Option(help="A column for this person; repeat.")] = None,
    format: Format = "sheet",
) -> None:
    """Write the texts that are worth a label most: uncertain ones, no two of them alike."""
    from .core.people.queue import queue_of
    from .core.people.writing import write_queue, write_suggestions

    tool = _tool(format)
    if by not in ("entropy", "margin"):
        raise ConfigError(f"--by {by}: there is no such measure; give entropy or margin")
    if reviewer and tool:
        raise ConfigError(f"--reviewer goes with a sheet; {format} knows by itself who answered")
    opened = _opened(loop, traffic)
    model, counts = opened.model, opened.traffic.counts
    found = queue_of(opened.told, model.labels, n, "margin" if by == "margin" else "entropy", apart)
    if tool:
        write_suggestions(to, found.rows, tool, model.labels)
    else:
        write_queue(to, found.rows, reviewer or [])
    alike = f", {found.alike} passed over as one like them is asked" if found.alike else ""
    out.print(f"{to}: {len(found.rows)} texts of {_counted(counts)}{alike}.")
    if model.temperature is None:
        out.print("Probabilities are not calibrated: no label has a second row that people wrote. The order holds.")
    out.print(f"Write a label for each under `label`: {', '.join(opened.loop.labels)}")
    out.print(f"Then: wheelwork review import {loop} {to}")


def pseudo(
    loop: LoopName,
    traffic: TrafficFile,
    to: Out,
    threshold: Annotated[float, typer.Option(min=0.5, max=1, help="Smallest probability of a label.")] = 0.95,
    per_label: Annotated[int, typer.Option(min=1, help="Most texts of one label, the surest first.")] = 100,
    into_pool: Annotated[bool, typer.Option("--into-pool", help="Accept them to the pool of the loop.")] = False,
    format: Format = "sheet",
) -> None:
    """Label what the loop's labelled rows leave no doubt about; each row weighs its probability, less than 1."""
    from .core.people.pseudo import accept_pseudo, pseudo_labels, pseudo_row
    from .core.people.writing import write_pseudo, write_suggestions

    tool = _tool(format)
    opened = _opened(loop, traffic)
    model, counts = opened.model, opened.traffic.counts
    found = pseudo_labels(opened.told, opened.loop, opened.view, threshold, per_label, traffic.name)
    rows = [pseudo_row(sample) for sample in found.samples]
    if tool:
        write_suggestions(to, rows, tool, model.labels)
    else:
        write_pseudo(to, rows)
    out.print(f"{to}: {len(rows)} texts of {_counted(counts + found.counts)} have a label.")
    out.print(_precision(model, threshold))
    if into_pool:
        line = accept_pseudo(opened.pool, found.samples, f"pseudo-labels of {traffic.name} from {threshold:g}")
        at = f"is at {(line.version or '')[:12]}: {line.accepted} accepted" if line else "stays as it is"
        out.print(f"The pool {at}.")


class Opened(NamedTuple):
    """A loop, its pool, the classifier of its labelled rows, and the texts as it sees them."""

    loop: "Loop"
    view: "View"
    pool: "Pool"
    model: "NearestMean"
    traffic: "Traffic"
    told: "Iterator[Told]"


def _opened(ref: str, traffic: Path) -> "Opened":
    from .core.loops import load_loop
    from .core.models.encoder import Encoder
    from .core.models.store import ModelStore
    from .core.people.traffic import Traffic, model_of, require_labels
    from .core.pool.lookup import find_pool

    found = find_pool(home(), ref)
    view = found.pool.view(found.pool.head())
    loop = load_loop(found.folder, excluded=view.excluded)
    require_labels(loop)
    texts = Traffic(traffic, loop, view, found.pool)  # a mistake in the file ends here, before a model is loaded
    encoder = Encoder.load(ModelStore().get(loop.model_ref(loop.settings.encoder)))
    model = model_of(loop, view, found.pool, encoder)
    return Opened(loop, view, found.pool, model, texts, texts.told_by(model, encoder))


def _tool(format: str) -> "Tool | None":
    from .core.text import nearest

    if format not in FORMATS:
        raise ConfigError(f"--format {format}: there is no such format; {nearest(format, FORMATS)}")
    return FORMATS[format]


def _counted(counts: "Counter[str]") -> str:
    others = ", ".join(f"{count} {reason}" for reason, count in counts.most_common() if reason != "read" and count)
    return f"{counts['read']}" + (f" ({others})" if others else "")


def _precision(model: "NearestMean", threshold: float) -> str:
    """What to expect of the labels, or that it cannot be told."""
    told = model.precision(threshold)
    if told.of == 0:
        return "How many are right cannot be told: no label has a second row that people wrote. Label some more."
    seen = f"{told.rows} of {told.of} labelled rows lie above {threshold:g} when they are left out"
    if told.interval is None:
        return f"How many are right cannot be told: only {seen}, {told.right} of them right. Label some more."
    low, high = told.interval
    share = told.right / told.rows
    return f"Expect {share:.0%} of them to be right (95%: {low:.0%} to {high:.0%}): {seen}."
