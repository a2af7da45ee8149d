"""`wheelwork review`: a sheet of the last round for people, and what they decided."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from .cli_label import FORMATS, pseudo, queue
from .cli_pool import LoopName
from .core.errors import ConfigError
from .core.workspace import home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .core.people.giving import Laid
    from .core.people.labels import TookLabels
    from .core.pool.agreement import JudgeAgreement, PairAgreement
    from .core.pool.log import Line

out = Console(highlight=False, soft_wrap=True)
review_app = typer.Typer(
    help="What people look at: sheets out, decisions and labels in; and what they prefer.", no_args_is_help=True
)
review_app.command()(queue)
review_app.command()(pseudo)

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
    """Write rows for people to decide on: those that a round waits for, else half at random, half uncertain ones."""
    from .core.people.desk import waiting_desk
    from .core.people.giving import write_desk
    from .core.pool.lookup import find_pool
    from .core.pool.reviewing import write_review
    from .core.text import nearest

    if format not in FORMATS:
        raise ConfigError(f"--format {format}: there is no such format; {nearest(format, FORMATS)}")
    if reviewer and format != "sheet":
        raise ConfigError(f"--reviewer goes with a sheet; {format} knows by itself who answered")
    pool = find_pool(home(), loop).pool
    if (desk := waiting_desk(home(), pool.loop)) is not None:
        rows = write_desk(desk, to, reviewer or [], FORMATS[format])
        out.print("A round waits for these rows; --n, --by and --seed do not count.")
    else:
        rows = write_review(pool, to, n, by, reviewer or [], seed, FORMATS[format])
    out.print(f"{to}: {rows} rows. Write accept or reject under `decision`, or a better text or answer under `new_…`.")
    out.print(f"Then: wheelwork review import {loop} {to}")


@review_app.command("import")
def import_(
    loop: LoopName,
    file: Sheet,
    rest: Annotated[
        bool, typer.Option("--rest", help="Rows without a decision stay as they are: a waiting round goes on.")
    ] = False,
) -> None:
    """Take in a sheet: of a round that waits for it, of the last round, or of texts to label.

    Rejected rows leave for ever, corrected ones come in, accepted ones are vouched for.
    """
    from .core.people.desk import desk_with
    from .core.people.giving import lay_decisions
    from .core.people.labels import is_queue, take_labels
    from .core.pool.lookup import find_pool
    from .core.pool.reviewing import take_in
    from .core.pool.sheet import read_sheet

    found = find_pool(home(), loop)
    if is_queue(file):
        _say_labels(take_labels(found.pool, found.folder, file), found.pool.loop)
        return
    rows = read_sheet(file)
    if (desk := desk_with(home(), found.pool.loop, [row.id for row in rows])) is not None:
        _say_laid(lay_decisions(desk, found.pool.store, found.folder, file, rows, rest), found.pool.loop)
        return
    done = take_in(found.pool, found.folder, file)
    said = [f"{count} {what}" for what, count in done.counts.items() if count]
    out.print(f"{found.pool.loop}: {', '.join(said) or 'no row was decided on'}.")
    if done.ledger:
        out.print(f"Of corrections for the ledger: {done.ledger}.")
    _say_agreement(done.agreement, done.judge)
    _say_line(done.line)


def _say_laid(laid: "Laid", loop: str) -> None:
    out.print(f"{loop}: {laid.decided} rows of round {laid.round} are decided on.")
    _say_agreement(laid.agreement, laid.judge)
    if laid.late:
        out.print("The round trains already: these decisions change the pool when it ends.")
    elif laid.left:
        out.print(f"{laid.left} rows are left. The round waits for them; with --rest they stay as they are.")
    else:
        out.print("No row is left: the round goes on. If none runs, it does so when it is started again.")


def _say_labels(took: "TookLabels", loop: str) -> None:
    said = [f"{count} {what}" for what, count in took.counts.items()]
    out.print(f"{loop}: {', '.join(said) or 'no text has a label'}.")
    if took.ledger:
        out.print(f"Of corrections for the ledger: {took.ledger}.")
    _say_agreement(took.agreement, None)
    _say_line(took.line)


def _say_agreement(pairs: "Sequence[PairAgreement]", judge: "JudgeAgreement | None") -> None:
    for pair in pairs:
        kappa = "not defined, both said one thing throughout" if pair.kappa is None else f"{pair.kappa:.2f}"
        out.print(f"{pair.one} and {pair.other} agree on {pair.share:.0%} of {pair.rows} rows; Cohen's κ {kappa}.")
    if judge is not None:
        out.print(judge.sentence)


def _say_line(line: "Line | None") -> None:
    if line is None:
        out.print("The pool stays as it is.")
    else:
        version = (line.version or "")[:12]
        out.print(f"The pool is at {version}: {line.accepted} accepted, {line.excluded} excluded.")


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
