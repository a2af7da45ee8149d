"""`wheelwork review`: a sheet of the last round for people, and what they decided."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from .cli_pool import LoopName
from .core.errors import ConfigError
from .core.workspace import home

if TYPE_CHECKING:
    from .core.pool.annotators import Tool

FORMATS: "dict[str, Tool | None]" = {"sheet": None, "argilla": "argilla", "label-studio": "label-studio"}
out = Console(highlight=False, soft_wrap=True)
review_app = typer.Typer(
    help="People's look at the last round: a sheet out, decisions in; and what they prefer.", no_args_is_help=True
)

Sheet = Annotated[Path, typer.Argument(metavar="FILE", help="The sheet, or what Argilla or Label Studio exported.")]


@review_app.command("export")
def export_(
    loop: LoopName,
    to: Annotated[Path, typer.Option("--out", help="File to write: .csv, .tsv, .jsonl, .json or .parquet.")],
    n: Annotated[int, typer.Option("--n", min=1, help="How many rows.")] = 20,
    by: Annotated[str, typer.Option(help="Score by which rows are uncertain: the smallest first.")] = "label_margin",
    reviewer: Annotated[list[str] | None, typer.Option(help="A column for this person; repeat.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random half.")] = 0,
    format: Annotated[str, typer.Option(help="sheet, argilla or label-studio; the last two are .json.")] = "sheet",
) -> None:
    """Write rows of the last round for people to decide on: half at random, half the most uncertain."""
    from .core.pool.lookup import find_pool
    from .core.pool.reviewing import write_review
    from .core.text import nearest

    if format not in FORMATS:
        raise ConfigError(f"--format {format}: there is no such format; {nearest(format, FORMATS)}")
    if reviewer and format != "sheet":
        raise ConfigError(f"--reviewer goes with a sheet; {format} knows by itself who answered")
    pool = find_pool(home(), loop).pool
    rows = write_review(pool, to, n, by, reviewer or [], seed, FORMATS[format])
    out.print(f"{to}: {rows} rows. Write accept or reject under `decision`, or a better text or answer under `new_…`.")
    out.print(f"Then: wheelwork review import {loop} {to}")


@review_app.command("import")
def import_(loop: LoopName, file: Sheet) -> None:
    """Take in a sheet: rejected rows leave the pool for ever, corrected ones come in, accepted ones are vouched for."""
    from .core.pool.lookup import find_pool
    from .core.pool.reviewing import take_in

    found = find_pool(home(), loop)
    done = take_in(found.pool, found.folder, file)
    said = [f"{count} {what}" for what, count in done.counts.items() if count]
    out.print(f"{found.pool.loop}: {', '.join(said) or 'no row was decided on'}.")
    for pair in done.agreement:
        kappa = "not defined, both said one thing throughout" if pair.kappa is None else f"{pair.kappa:.2f}"
        out.print(f"{pair.one} and {pair.other} agree on {pair.share:.0%} of {pair.rows} rows; Cohen's κ {kappa}.")
    if done.line is None:
        out.print("The pool stays as it is.")
    else:
        version = (done.line.version or "")[:12]
        out.print(f"The pool is at {version}: {done.line.accepted} accepted, {done.line.excluded} excluded.")


@review_app.command("preference")
def preference(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="Rows {prompt, chosen, rejected}, of any kind of file.")
    ],
    to: Annotated[Path, typer.Option("--out", help="File to write: the head, as JSON.")],
    encoder: Annotated[
        str, typer.Option(help="The model whose embeddings are looked at: a name or a folder.")
    ] = "all-minilm-l6-v2",
    l2: Annotated[float, typer.Option(min=1e-6, max=1e6, help="Strength of the penalty on large weights.")] = 1.0,
) -> None:
    """Learn from pairs of answers what people prefer, for the filter `preference`."""
    from .core.models.encoder import Encoder
    from .core.models.store import ModelStore
    from .core.quality.scores.head import fit_preference, read_pairs, write_head

    if pairs.resolve() == to.resolve():
        raise ConfigError(f"{to}: this would be written over the pairs; give another name")
    rows = list(read_pairs(pairs))
    head = fit_preference(rows, Encoder.load(ModelStore().get(encoder)), l2=l2)
    write_head(to, head)
    held = head.held_out
    out.print(f"{to}: fitted on {head.pairs} pairs of {head.prompts} prompts.")
    out.print(f"Right about {held.accuracy:.0%} of pairs that it did not see [95%: {held.low:.0%} to {held.high:.0%}].")
    if held.low <= 0.5:
        out.print("That may be chance: do not drop rows by it; bring more pairs, or another --encoder.", style="yellow")
    out.print(f"Then, in a funnel: {{ kind: preference, head: {to} }}")
