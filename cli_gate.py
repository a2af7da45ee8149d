"""`wheelwork gate`: the gate by itself, on files of scores that anything may have made."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .core.errors import ConfigError
from .core.workspace import write_text

if TYPE_CHECKING:
    from .core.evaluation.gate import Decision, GateSettings, SliceFigures, SuiteFigures

EXIT = {"promoted": 0, "rejected": 10, "inconclusive": 11}
COLOUR = {"promoted": "green", "rejected": "red", "inconclusive": "yellow"}
TARGET = "target"  # what the suite of --champion and --candidate is called


class _Files(NamedTuple):
    """One suite as an option names it: its files, and the number after the last colon."""

    name: str
    champion: Path
    candidate: Path
    base: Path | None
    number: float | None


def gate(
    champion: Annotated[Path, typer.Option(metavar="FILE", help="Scores of what is in use: rows {id, score}.")],
    candidate: Annotated[Path, typer.Option(metavar="FILE", help="Scores of what may take its place, same ids.")],
    base: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Scores of the base: shown, and with --any held to as well.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B[,BASE][:FLOOR]", help="One more target: champion's and candidate's files."),
    ] = None,
    guard: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B[,BASE][:MARGIN]", help="A suite that must not get worse by MARGIN; repeat."),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Tolerated damage: of guards without one of their own, of targets with --any.")
    ] = None,
    floor: Annotated[float | None, typer.Option(help="The least mean score of the candidate.")] = None,
    any_: Annotated[bool, typer.Option("--any", help="One target that gets better is enough; needs --margin.")] = False,
    slice_limit: Annotated[float | None, typer.Option(help="The drop of a slice that is not tolerated.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Chance of a false promotion, over all looks. 0.05.")] = None,
    look: Annotated[int, typer.Option(min=1, help="How often these items were looked at, this time included.")] = 1,
    min_items: Annotated[int | None, typer.Option(help="Items below which a suite says nothing. 20.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of bootstrap and permutations.")] = 0,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML with every setting, as under `gate:` in loop.yaml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON, and nothing else.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every figure to this file as JSON.")
    ] = None,
) -> None:
    """Judge a candidate by scores that are there already: is it better, and is nothing else worse?

    Rows are {id, score, slice?, group?, suite?, scorer?} in .jsonl, .json, .csv, .tsv or .parquet, one file a model.
    The exit code is 0 for promoted, 10 for rejected, 11 for inconclusive, 2 for files that cannot be judged.
    """
    from .core.evaluation.gate import decide
    from .core.evaluation.score_files import suite_of

    settings = _settings(config, alpha=alpha, min_items=min_items, slice_limit=slice_limit, any_=any_, margin=margin)
    targets = [_Files(TARGET, champion, candidate, base, floor)] + [_files("target", one) for one in target or ()]
    guards = [_files("guard", one) for one in guard or ()]
    _check_margin(guards, margin, any_)
    _check_report(report, [*targets, *guards], config)
    suites = [suite_of(one.name, "target", *one[1:4], floor=one.number) for one in targets]
    suites += [
        suite_of(one.name, "guard", *one[1:4], margin=margin or 0.0 if one.number is None else one.number)
        for one in guards
    ]
    decision = decide(suites, settings, look, seed)
    told = decision.model_dump(mode="json") | {"settings": settings.model_dump(mode="json"), "seed": seed}
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    if report is not None:
        write_text(report, text)
    if as_json:
        typer.echo(text, nl=False)
    else:
        _show(decision, Console(highlight=False))
    raise typer.Exit(EXIT[decision.verdict])


def _settings(
    config: Path | None,
    *,
    alpha: float | None,
    min_items: int | None,
    slice_limit: float | None,
    any_: bool,
    margin: float | None,
) -> "GateSettings":
    """The settings of the file, or the defaults, under what the options say."""
    from .core.evaluation.gate import GateSettings
    from .core.settings import parse, read_yaml

    told: Any = read_yaml(config) if config is not None else {}
    if isinstance(told, dict):
        told = told["gate"] if isinstance(told.get("gate"), dict) else told
        named = {"alpha": alpha, "min_items": min_items, "slice_limit": slice_limit}
        told = told | {name: value for name, value in named.items() if value is not None}
        if any_:
            told = told | {"targets": "any"} | ({} if margin is None else {"target_margin": margin})
            if told.get("target_margin") is None:
                raise ConfigError(
                    "--any needs --margin, the damage that is tolerated in targets that do not get better"
                )
    return parse(GateSettings, told if told is not None else {}, str(config or "wheelwork gate"))


def _files(option: str, text: str) -> _Files:
    """NAME=CHAMPION,CANDIDATE[,BASE][:NUMBER]. Raises ConfigError."""
    name, _, rest = text.partition("=")
    head, _, tail = rest.rpartition(":")
    number = None
    if head:
        with suppress(ValueError):  # a colon in the name of a file
            number, rest = float(tail), head
    paths = [Path(part.strip()) for part in rest.split(",") if part.strip()]
    if not name.strip() or len(paths) not in (2, 3):
        example = "faq=old.jsonl,new.jsonl" + (":0.02" if option == "guard" else "")
        raise ConfigError(f"--{option} {text}: expected NAME=CHAMPION,CANDIDATE, such as {example}")
    return _Files(name.strip(), paths[0], paths[1], paths[2] if len(paths) == 3 else None, number)


def _check_margin(guards: list[_Files], margin: float | None, any_: bool) -> None:
    without = [one.name for one in guards if one.number is None]
    if without and margin is None:
        raise ConfigError(f"guard `{without[0]}` has no margin; write :MARGIN behind its files, or give --margin")
    if margin is not None and not without and not any_:
        raise ConfigError("--margin is for guards without one of their own and for --any, and there is neither")


def _check_report(report: Path | None, suites: list[_Files], config: Path | None) -> None:
    read = [path for one in suites for path in (one.champion, one.candidate, one.base) if path is not None]
    if report is not None and report.resolve() in {path.resolve() for path in (*read, *([config] if config else ()))}:
        raise ConfigError(f"--report {report}: this file is read here; give another name")


def _show(decision: "Decision", out: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    columns = ("suite", "items", "champion", "candidate", "change [95%]", "p", "held to", "outcome")
    for column in columns:
        table.add_column(column, no_wrap=True, justify="left" if column == "suite" else "right")
    for name, suite in decision.figures.items():
        table.add_row(escape(name), *_cells(suite), f"{suite.p_value:.2g}", f"{suite.alpha:.2g}", suite.outcome)
        for part, figures in suite.slices.items():
            tested = figures.p_value is not None and figures.alpha is not None
            p_value, alpha = (f"{figures.p_value:.2g}", f"{figures.alpha:.2g}") if tested else ("–", "–")
            table.add_row(f"  {escape(part)}", *_cells(figures), p_value, alpha, figures.outcome or "–")
    out.print(table)
    out.print(f"\n[bold {COLOUR[decision.verdict]}]{decision.verdict.upper()}[/]")
    for line in (*decision.reasons, *(f"Note: {note}" for note in decision.notes)):
        out.print(line, markup=False, soft_wrap=True)
    out.print(
        f"Look {decision.look} at these items, which may spend α = {decision.alpha:.3g}.", style="dim", soft_wrap=True
    )


def _cells(figures: "SuiteFigures | SliceFigures") -> list[str]:
    """Items, both means, and the change with its interval; what is unknown is a dash."""
    means = ["–" if mean is None else f"{mean:.3f}" for mean in (figures.champion, figures.candidate)]
    change = "–" if figures.delta is None else f"{figures.delta:+.3f}"
    if figures.ci is not None:
        change += " [{:+.3f}, {:+.3f}]".format(*figures.ci)
    return [str(figures.n), *means, change]
