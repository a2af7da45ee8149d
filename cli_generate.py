"""`wheelwork generate`: samples into a file, without Prefect and MLflow."""

import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .core.errors import ConfigError
from .core.workspace import home

if TYPE_CHECKING:
    from .core.generation.material import Material
    from .core.samples import Sample
    from .core.teaching import Teachers, Teaching

ENCODER = "all-minilm-l6-v2"
console = Console(stderr=True, highlight=False)


def generate(
    out: Annotated[Path, typer.Option("--out", help="File to write: .jsonl, .json, .csv, .tsv or .parquet.")],
    loop: Annotated[
        str | None, typer.Argument(metavar="[LOOP]", help="Take task, seeds, teacher and prompts from this loop.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Without a loop: classify, qa, grounded_qa, summarize, rewrite, dialogue, code.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="How many samples to ask for.")] = None,
    seeds: Annotated[Path | None, typer.Option(help="Your own examples, in the fields of the task.")] = None,
    documents: Annotated[Path | None, typer.Option(help="Folder or file (.md, .txt) that samples are about.")] = None,
    labels: Annotated[Path | None, typer.Option(help="classify: YAML file of `label: description`.")] = None,
    topics: Annotated[Path | None, typer.Option(help="YAML file of `topic: description`, to spread over.")] = None,
    about: Annotated[str | None, typer.Option(help="One sentence: who writes, about what.")] = None,
    instruction: Annotated[str | None, typer.Option(help="The system prompt that samples are answers under.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible endpoint, up to /v1; else the embedded model.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name there; or a model to embed.")] = None,
    key_env: Annotated[str, typer.Option(help="Environment variable that holds the endpoint's key.")] = "",
    parallel: Annotated[int, typer.Option(min=1, max=1024, help="Most calls of the endpoint at once.")] = 8,
    language: Annotated[str, typer.Option(help="Language of the prompts: en or zh.")] = "en",
    difficulty: Annotated[
        list[int] | None, typer.Option(min=1, max=5, help="A grade to spread over, with --teacher; repeat.")
    ] = None,
    style: Annotated[list[str] | None, typer.Option(help="A style to spread over, with --teacher; repeat.")] = None,
    max_tokens: Annotated[int, typer.Option(min=4, help="Longest reply, in tokens.")] = 400,
    augment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Vary the samples of this file instead of writing new ones.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
) -> None:
    """Write samples to a file: from a loop, from examples, from documents, or from one sentence.

    Every reply is kept, so the same command goes on where it was stopped and asks nothing twice. What could not be
    used stands beside OUT in OUT-stem.dropped, each row with its reason.
    """
    from .core.generation.planning import quotas
    from .core.rows import kind_of

    kind_of(out)
    keep_cut = False
    if (loop is None) == (task is None) and augment is None:
        raise ConfigError("give either a LOOP or --task; `wheelwork generate --help` shows both")
    if augment is not None and (difficulty or style):
        raise ConfigError("--augment varies what there is and tells no --difficulty or --style; leave these out")
    if loop is not None:
        own = {
            "--seeds": seeds, "--documents": documents, "--labels": labels, "--topics": topics, "--about": about,
            "--instruction": instruction, "--teacher": teacher, "--model": model, "--key-env": key_env,
            "--difficulty": difficulty, "--style": style,
        }  # fmt: skip
        if given := [name for name, value in own.items() if value]:
            raise ConfigError(
                f"{given[0]} goes with --task; the loop {loop} says that in its loop.yaml, so leave one out"
            )
        material, teachers, keep_cut = _of_loop(loop, n)
    else:
        options = {
            "kind": task or "qa",
            "documents": {"path": str(documents)} if documents else None,
            "labels": str(labels) if labels else None,
            "topics": str(topics) if topics else None,
            "setting": about,
            "instruction": instruction,
        }
        asked = {
            "samples": n or 20,
            "max_tokens": max_tokens,
            "controls": {"difficulty": difficulty or [], "style": style or []},
        }
        material, teachers = _of_options(
            {name: value for name, value in options.items() if value is not None},
            asked,
            _teacher(teacher, model, key_env, parallel),
            seeds,
            language,
        )
    if augment is not None:
        _run(
            "augment",
            out,
            teachers,
            material,
            lambda teaching: _vary(augment, material, teaching, language, seed),
            keep_cut,
        )
    else:
        wanted = quotas(material.settings.samples, list(material.categories), material.settings)
        _run("generate", out, teachers, material, lambda teaching: _write(material, teaching, wanted, seed), keep_cut)


def _of_loop(ref: str, n: int | None) -> "tuple[Material, Teachers, bool]":
    """Material and teachers of a loop, and whether its funnel keeps what the token limit cut."""
    from .core.loops import Overrides, load_loop
    from .core.pool.lookup import find_pool
    from .core.teaching import Teachers, unresolved

    found = find_pool(home(), ref)
    loop = load_loop(found.folder, Overrides(samples=n), found.pool.excluded())  # an excluded seed is no example
    resolve = unresolved
    if any(teacher.kind == "block" for teacher in loop.settings.teachers("writer")):
        from .blocks.environment import prepare

        prepare(home())
        from .blocks.teacher import resolve_block as resolve
    teachers = Teachers(loop.settings.teachers("writer"), loop.embedded, loop.engine_for, resolve)
    keep_cut = all(getattr(judge, "allow_cut", True) for judge in loop.settings.funnel.filters)
    return loop.material, teachers, keep_cut


def _of_options(
    task: dict[str, Any], asked: dict[str, Any], teacher: dict[str, Any], seeds: Path | None, language: str
) -> "tuple[Material, Teachers]":
    from .core.generation.standalone import Asked

    options = Asked.from_options(task, asked, teacher, seeds)
    return options.material(seeds, language), options.teachers()


def _teacher(address: str | None, model: str | None, key_env: str, parallel: int) -> dict[str, Any]:
    if address is None:
        return {"kind": "embedded", "model": model}
    if model is None:
        raise ConfigError("--teacher needs --model, the model's name at that endpoint")
    return {"kind": "openai", "base_url": address, "model": model, "api_key_env": key_env, "parallel": parallel}


def _write(
    material: "Material", teaching: "Teaching", wanted: dict[str, int], seed: int
) -> "tuple[AsyncGenerator[Sample, None], int]":
    from .core.generation.fill import fill_orders

    orders = material.orders(wanted, choices=teaching.choices, seed=seed)
    source = f"teacher:{teaching.chat.fingerprint[:16]}"
    return fill_orders(orders, material.writing, teaching.chat, origin="teacher", source=source), sum(wanted.values())


def _vary(
    path: Path, material: "Material", teaching: "Teaching", language: str, seed: int
) -> "tuple[AsyncGenerator[Sample, None], int]":
    from .core.formats import read_samples
    from .core.generation.augment.children import augment, wishes
    from .core.generation.augment.longtail import extra_children
    from .core.generation.augment.settings import Augmentation
    from .core.models.encoder import Encoder
    from .core.models.store import ModelStore

    settings = (material.settings.augment or Augmentation()).model_copy(update={"seed": seed})
    parents = list(read_samples(path, task=material.writing.kind))
    labelled = [(parent.prompt, parent.label) for parent in parents if parent.label]
    encoder = Encoder.load(ModelStore().get(ENCODER))
    source = f"teacher:{teaching.chat.fingerprint[:16]}"
    extra = extra_children(parents, settings, material.settings.quotas, encoder)
    stream = augment(
        parents, settings, teaching.chat, encoder, seeds=labelled, language=language, extra=extra, source=source
    )
    return stream, sum(1 for parent in parents for _ in wishes(parent, settings, extra.get(parent.id, 0)))


def _run(what: str, out: Path, teachers: "Teachers", material: "Material", start: Any, keep_cut: bool) -> None:
    """Open the teachers, stream their rows to the files, and say what came of it."""
    from .core.generation.fill import Rows
    from .core.generation.standalone import write_file
    from .core.pace import showing

    began = time.perf_counter()
    with ExitStack() as stack:
        with console.status("starting the teacher"):
            teaching = teachers.open(home() / "cache", material.settings.budget, stack)
        stream, total = start(teaching)
        advance = stack.enter_context(showing(what, total, lambda: teaching.cost))
        outcome = write_file(Rows(stream, teaching.chat, advance), out, keep_cut=keep_cut)
    seconds, chat = time.perf_counter() - began, teaching.chat
    console.print(f"{out}: {outcome.made} samples in {seconds:.1f} s; {chat.calls} calls, {chat.hits} replies reused")
    if teaching.cost:
        console.print(f"{chat.prompt_tokens + chat.completion_tokens:,} tokens, cost {teaching.cost:.4f}")
    if outcome.dropped:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(outcome.dropped.items()))
        console.print(f"{outcome.dropped_path}: {sum(outcome.dropped.values())} dropped ({reasons})")
