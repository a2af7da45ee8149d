"""`wheelwork export`: an adapter of a loop as files that others can load, and how far their answers agree."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .cli_filter import clearing_up, watching
from .cli_pool import LoopName
from .core.errors import ConfigError, ModelError
from .core.workspace import home

if TYPE_CHECKING:
    from .core.export.agreement import Agreement
    from .core.export.card import Format, Source
    from .core.export.exporting import Exported
    from .core.models.progress import Progress
    from .core.rounds import Report

out = Console(highlight=False, soft_wrap=True)

Version = Annotated[str | None, typer.Option(help="Version of the adapter in the registry.")]
Alias = Annotated[str | None, typer.Option(help="champion or candidate. Without it and --version: the champion.")]


def export(
    loop: LoopName,
    format: Annotated[str, typer.Option(help="peft, merged, gguf or ollama.")],
    to: Annotated[Path | None, typer.Option("--out", help="New folder to write. LOOP-vVERSION-FORMAT here.")] = None,
    version: Version = None,
    alias: Alias = None,
    quantize: Annotated[
        str, typer.Option(help="Bits of a GGUF's weights: f32, f16, bf16, q8_0, q6_k, q5_k, q5_0, q4_k, q4_0 …")
    ] = "q8_0",
    dtype: Annotated[
        str, typer.Option(help="Of merged weights: auto (as the base's files), float32, float16, bfloat16.")
    ] = "auto",
    check: Annotated[int, typer.Option("--check", min=1, help="Questions to compare answers on.")] = 20,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not compare.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is there already.")] = False,
) -> None:
    """Write an adapter for others: for PEFT, merged with its base, as one GGUF, or ready for Ollama.

    What was written is loaded and asked questions of the loop, beside base and adapter as the loop serves them; how
    far the answers agree is printed and stands in the export's README.md. The folder appears whole, or not at all.
    """
    from .core.export.exporting import Wanted, check_folder
    from .core.export.exporting import export as write
    from .core.export.merged import check_dtype
    from .core.export.quantizing import check_kind

    kind = _format(format)
    wanted = Wanted(kind, check_kind(quantize), check_dtype(dtype), 0 if no_check else check, force)
    if to is not None:
        check_folder(to, force)
    with clearing_up("no export was written; what was answered is kept"), watching() as progress:
        source = find_source(loop, version, alias, progress)
        folder = to or Path(f"{source.name}-{kind}")
        done = write(source, wanted, folder, home() / "cache", progress)
    _show(done, wanted.bar)


def find_source(ref: str, version: str | None, alias: str | None, progress: "Progress") -> "Source":
    """The adapter that the options name, with its base. Raises ConfigError where there is none, or another base."""
    from .core.engines.base import Adapter
    from .core.export.card import Source
    from .core.loops import load_loop
    from .core.models.store import ModelStore
    from .core.naming import find_loop

    if version is not None and alias is not None:
        raise ConfigError("--version and --alias name an adapter each; give one of them")
    if alias not in (None, "champion", "candidate"):
        raise ConfigError(f"--alias {alias}: there is no such alias; take champion or candidate")
    loop = load_loop(find_loop(ref))
    which = version or alias or "champion"
    if "MLFLOW_TRACKING_URI" not in os.environ and not (home() / "mlflow.db").is_file():
        raise _none(ref, which)
    from .blocks.environment import prepare

    prepare(home())
    progress("looking the adapter up", 0, 1)
    from .blocks.registry import ModelRegistry
    from .core.registry.fingerprint import check_fitting, fingerprint_of

    found = ModelRegistry(loop.name).release(which)
    progress("looking the adapter up", 1, 1)
    if found is None:
        raise _none(ref, which)
    base = ModelStore().get(loop.model_ref(loop.settings.model), progress)
    if found.base != base.digest:
        raise ModelError(
            f"{loop.name} version {found.adapter.version}: the adapter is of another base ({found.base[:12]}) than "
            f"the loop has now ({base.name}, {base.digest[:12]}); set `model` as it was, or give a --version since then"
        )
    adapter = Adapter.at(found.adapter.folder)
    asked = int(found.asked) if found.asked else None
    now = fingerprint_of(loop, base, adapter.digest)
    measured = found.measured or now.model_copy(update={"adapter": found.adapter.digest})
    what = f"{loop.name} version {found.adapter.version}"
    changed = check_fitting(measured, now, what, "put back what changed, or take another --version")
    version, verdict, report = found.adapter.version, found.verdict, _report(found.report)
    return Source(loop, loop.folder.name, base, adapter, version, verdict, report, asked, changed)


def _report(text: str | None) -> "Report | None":
    """The report of the adapter's round; one that another version of wheelwork wrote may not be readable."""
    from pydantic import ValidationError

    from .core.rounds import Report

    try:
        return Report.model_validate_json(text) if text else None
    except ValidationError:
        return None


def _none(ref: str, which: str) -> ConfigError:
    if which == "champion":
        return ConfigError(f"{ref}: has no champion yet; run `wheelwork improve {ref}` until a round is promoted")
    if which == "candidate":
        return ConfigError(f"{ref}: has no candidate yet; run `wheelwork improve {ref}`")
    return ConfigError(f"{ref}: has no adapter of version {which}; MLflow's page lists those there are")


def _format(name: str) -> "Format":
    from .core.export.exporting import FORMATS
    from .core.text import nearest

    for one in FORMATS:
        if one == name:
            return one
    raise ConfigError(f"--format {name}: there is no such format; {nearest(name, FORMATS)}")


def _show(done: "Exported", bar: float) -> None:
    table = Table("file", "MB", box=None, pad_edge=False, header_style="dim")
    table.columns[1].justify = "right"
    for name, size in done.files.items():
        table.add_row(name, f"{size / 1e6:,.1f}")
    out.print(table)
    for note in done.notes:
        out.print(note, markup=False)
    if done.agreement is None:
        out.print("The answers were not compared.", style="yellow")
    else:
        show_agreement(done.agreement, bar)
    out.print(f"{done.folder}", markup=False)


def show_agreement(found: "Agreement", bar: float) -> None:
    """The table of a comparison, and a warning below `bar`."""
    out.print()
    columns = ("answers of", "beside", "questions", "the same", "tokens alike", "texts alike")
    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    shares = (found.exact, found.tokens, found.characters)
    table.add_row(found.exported, found.original, str(found.asked), *(f"{share:.1%}" for share in shares))
    out.print(table)
    if found.first_difference is not None:
        asked, one, other = (_short(text) for text in found.first_difference)
        out.print(f"[dim]first difference:[/] {escape(asked)}")
        out.print(f"  {found.original}: {one}", markup=False)
        out.print(f"  {found.exported}: {other}", markup=False)
    if found.below(bar):
        out.print(
            f"Fewer than {bar:.0%} of the answers are the same: measure the export before you rely on it, or take more "
            "bits.", style="yellow",
        )  # fmt: skip


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
