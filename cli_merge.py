"""`wheelwork merge`: several files of rows as one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file that is made, of any of the five kinds.")],
    sources: Annotated[list[Path], typer.Argument(metavar="IN...", help="Files of rows, of any of them.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML file: columns by their new names, joins in time, one row for each id.")
    ] = None,
) -> None:
    """Merge files of rows: one after another, columns under common names, each row with the file and line it is of.

    With --config rows get the columns of the row of another file that is nearest in time, and of rows with one id the
    latest is kept; the others stand in OUT-stem.dropped. What cannot be read stands in OUT-stem.quarantined.jsonl.
    """
    from .core.quality.files.run import check_paths
    from .core.quality.merging import Merge, merge_files
    from .core.settings import parse, read_yaml

    settings = Merge()
    if config is not None:
        settings = parse(Merge, read_yaml(config) or {}, str(config))
    for source in sources:
        check_paths(source, out, read=[one for one in (config, *sources) if one is not None and one != source])
    told = merge_files(out, sources, settings)
    print_ = Console(highlight=False, soft_wrap=True).print
    table = Table("source", "rows", "quarantined", "joined", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, of_it in told.sources.items():
        table.add_row(name, f"{of_it.rows:,}", f"{of_it.quarantined:,}", f"{of_it.joined:,}" if of_it.joined else "")
    print_(table)
    print_(f"{out}: {told.kept:,} rows", markup=False)
    if told.dropped:
        print_(f"{out.with_name(f'{out.stem}.dropped{out.suffix}')}: {told.dropped:,} superseded", markup=False)
