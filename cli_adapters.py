"""`wheelwork adapters merge` and `wheelwork distill`: adapters made from adapters, and a student from a champion."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from .cli_export import Alias, Version, find_source
from .cli_filter import clearing_up, watching
from .cli_pool import LoopName
from .core.errors import ConfigError, ModelError
from .core.workspace import home

if TYPE_CHECKING:
    from .core.engines.base import Adapter
    from .core.export.asking import Answerer
    from .core.export.student import Distilled
    from .core.loops import Loop
    from .core.models.progress import Progress
    from .core.models.store import ModelFiles

out = Console(highlight=False, soft_wrap=True)
adapters_app = typer.Typer(help="Adapters made from adapters.", no_args_is_help=True)


@adapters_app.command()
def merge(
    adapters: Annotated[
        list[str], typer.Argument(metavar="ADAPTER...", help="Folders, or LOOP@VERSION, LOOP@champion, LOOP@candidate.")
    ],
    to: Annotated[Path, typer.Option("--out", help="New folder for the merged adapter.")],
    weights: Annotated[str | None, typer.Option(help="One for each, such as 0.7,0.3; without: their mean.")] = None,
    method: Annotated[str, typer.Option(help="linear, cat, ties, dare_linear or dare_ties.")] = "linear",
    density: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of each update that ties and dare keep.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what dare drops.")] = 0,
    base: Annotated[
        str | None, typer.Option(help="The model that all belong to, where their folders do not name it.")
    ] = None,
) -> None:
    """Make one adapter of several of the same base: their weighted sum, or what they agree on (TIES, DARE).

    The result is an adapter like any other; measure it before you use it.
    """
    from .core.export.weighting import Recipe, check_method, merge_adapters

    recipe = Recipe(check_method(method), _weights(weights), density, seed)
    if to.exists():
        raise ConfigError(f"{to}: is there already; give the name of a new folder")
    recipe.for_adapters(len(adapters))
    with clearing_up(), watching() as progress:
        found = [_adapter(ref, progress) for ref in adapters]
        files = _base(base, found, progress)
        made = merge_adapters([adapter for adapter, *_ in found], files, recipe, to.resolve(), progress)
    shared = zip(recipe.for_adapters(len(adapters)), adapters, strict=True)
    shares = ", ".join(f"{weight:g} × {ref}" for weight, ref in shared)
    out.print(f"{to}: {shares}, by {method}; digest {made.digest[:12]}, base {files.name}.", markup=False)


def distill(
    loop: LoopName,
    student: Annotated[str, typer.Option(help="The model that learns: a name, folder, .gguf file or hub id.")],
    to: Annotated[Path, typer.Option("--out", help="New folder for the student's adapter.")],
    teacher: Annotated[str | None, typer.Option(help="Another local model as the teacher, without an adapter.")] = None,
    version: Version = None,
    alias: Alias = None,
    kind: Annotated[str, typer.Option(help="sequence: from replies; logits: from likeliest tokens too.")] = "sequence",
    samples: Annotated[int, typer.Option(min=1, help="Prompts, at most: of the seeds and of the pool.")] = 500,
    top_k: Annotated[int, typer.Option(min=1, max=1000, help="logits: tokens that are kept for each.")] = 20,
    temperature: Annotated[float, typer.Option(min=0.1, max=20, help="logits: of both distributions.")] = 2.0,
    hard: Annotated[
        float, typer.Option(min=0, max=1, help="logits: share of the loss that is the reply itself.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw and of the training.")] = 0,
) -> None:
    """Teach a smaller model what the loop's champion does, and measure both on the target suites.

    The teacher answers prompts of the loop, a LoRA adapter of the student is trained on that as the loop's `train`
    says, and written to --out.
    """
    from .core.export.student import Distilling, distil, prompts_of
    from .core.models.store import ModelStore
    from .core.pool.store import Pool
    from .core.settings import parse

    told = {"kind": kind, "top_k": top_k, "temperature": temperature, "hard": hard}
    settings = parse(Distilling, told, "wheelwork distill")
    if to.exists():
        raise ConfigError(f"{to}: is there already; give the name of a new folder")
    with clearing_up("no student was written; what was answered is kept"), watching() as progress:
        read, who = _teacher(loop, teacher, version, alias, progress)
        learns = ModelStore().get(read.model_ref(student), progress)
        pool = Pool(home(), read.name)
        pooled = list(pool.samples(pool.view(pool.head()).accepted))
        prompts = prompts_of(read, pooled, samples, seed)
        done = distil(
            read, who, learns, prompts, settings, to.resolve(), home() / "cache", seed=seed, progress=progress
        )
    _show(done, who.name, learns.name)
    out.print(f"{to}: an adapter of {learns.name}, to be used as any other.", markup=False)


def _weights(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"--weights {text}: write numbers with commas between them, such as 0.7,0.3") from None


Found = tuple["Adapter", str, "ModelFiles | None"]  # adapter, name of its base, and its base where that is known


def _adapter(ref: str, progress: "Progress") -> Found:
    """The adapter in a folder, or of a loop's registry."""
    from .core.engines.base import Adapter
    from .core.export.merged import adapter_config

    loop, at, which = ref.rpartition("@")
    if at and not Path(ref).is_dir():
        named = which in ("champion", "candidate")
        source = find_source(loop, None if named else which, which if named else None, progress)
        return source.adapter, source.base.name, source.base
    adapter = Adapter.at(Path(ref))
    return adapter, str(adapter_config(adapter).get("base_model_name_or_path") or ""), None


def _base(ref: str | None, found: list[Found], progress: "Progress") -> "ModelFiles":
    """The one base of all. Raises ModelError where they name different ones, or none."""
    from .core.models.store import ModelStore

    known = {files.digest: files for _, _, files in found if files is not None}
    names = {name: adapter for adapter, name, _ in found}
    if len(known) > 1 or (ref is None and len(names) > 1):
        said = "; ".join(f"{adapter.folder}: {name or 'names none'}" for name, adapter in names.items())
        raise ModelError(f"these adapters are of different bases ({said}), so they have no sum; give adapters of one")
    if known:
        return next(iter(known.values()))
    name = ref or next(iter(names))
    if not name:
        raise ModelError(f"{found[0][0].folder}: does not say which model it belongs to; give it as --base")
    return ModelStore().get(name, progress)


def _teacher(
    ref: str, model: str | None, version: str | None, alias: str | None, progress: "Progress"
) -> "tuple[Loop, Answerer]":
    """The loop, and who teaches: its adapter in the registry, or another model."""
    from .core.export.asking import Answerer, engine_serving
    from .core.loops import load_loop
    from .core.models.store import ModelStore
    from .core.naming import find_loop

    if model is not None and (version or alias):
        raise ConfigError("--teacher is a model by itself; leave out --version and --alias, or --teacher")
    if model is not None:
        loop = load_loop(find_loop(ref))
        files = ModelStore().get(loop.model_ref(model), progress)
        return loop, Answerer(files.name, files, None, engine_serving(loop, files))
    source = find_source(ref, version, alias, progress)
    return source.loop, Answerer(source.name, source.base, source.adapter, engine_serving(source.loop, source.base))


def _show(done: "Distilled", teacher: str, student: str) -> None:
    cut = f", {done.cut} of them cut by the token limit" if done.cut else ""
    out.print(f"{student} learnt from {done.taught} replies of {teacher}{cut}, in {done.trained.seconds:.0f} s.")
    table = Table("suite", "items", "teacher", "student before", "student now", box=None, header_style="dim")
    for name, scores in done.suites.items():
        shown = ("–" if one is None else f"{one:.3f}" for one in (scores.teacher, scores.before, scores.after))
        table.add_row(name, str(scores.items), *shown)
    out.print(table)
