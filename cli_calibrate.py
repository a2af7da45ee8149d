"""`wheelwork calibrate`: from which cosine on two texts say the same, told by data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from .cli_filter import ENCODER, find_encoder, load_encoder, watching
from .core.workspace import home

if TYPE_CHECKING:
    from .core.quality.thresholds import Calibration

SIZES = (100, 1_000, 10_000, 100_000)  # rows of a batch


def calibrate(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Pairs (text, other, same: 1 or 0), or rows that are all different."),
    ],
    encoder: Annotated[str, typer.Option(help="The encoder: a name or a folder.")] = ENCODER,
    false_positives: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Of pairs: share of those not the same that may be taken for it.")
    ] = 0.01,
) -> None:
    """Find the cosine from which on this encoder's texts say the same, and keep it for `threshold: auto`.

    Pairs tell it at once. Rows that all say something of their own tell how near unrelated texts come, so that the
    threshold rises with the rows that are compared. What is found is kept in the state folder, for this encoder alone.
    """
    from .core.quality.calibrating import calibrate as calibrated
    from .core.quality.thresholds import write_calibration

    with watching() as progress:
        files = find_encoder(encoder, "this", progress)
    found = calibrated(
        source,
        load_encoder(files, "this"),
        encoder=files.name,
        model=files.digest,
        false_positives=false_positives,
    )
    path = write_calibration(home(), found)
    out = Console(highlight=False, soft_wrap=True)
    for line in _said(found):
        out.print(line, markup=False)
    out.print(f"kept in {path}", markup=False, style="dim")


def _said(found: "Calibration") -> list[str]:
    if found.tail is None:
        same, other = found.pairs or (0, 0)
        return [
            f"{found.encoder}: texts say the same from a cosine of {found.threshold:.3f} on.",
            f"Of the {same} pairs that do, {found.recall or 0:.1%} reach it; of pairs like the {other} that do not, at "
            f"most {found.false_positives:.2g} of all.",
        ]
    return [
        f"{found.encoder}: told by {found.tail.rows} rows, for at most 5.0% of rows that are dropped though no other "
        "says the same:",
        *(f"  among {rows:>7,} rows  {found.tail.cosine(rows - 1, 0.05):.3f}" for rows in SIZES),
    ]
