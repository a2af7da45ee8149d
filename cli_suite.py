"""`wheelwork suite`: how worn each holdout is, and a fresh one from the reserve."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from .cli_pool import LoopName
from .core.errors import ConfigError, DataError
from .core.workspace import home, user_name

if TYPE_CHECKING:
    from .core.evaluation.holdouts.texts import Said
    from .core.loops import Loop
    from .tasks.looks import Looks

out = Console(highlight=False, soft_wrap=True)
suite_app = typer.Typer(help="The suites of a loop: how often each was looked at, rotation.", no_args_is_help=True)


@suite_app.command("list")
def list_(loop: LoopName) -> None:
    """Each suite: role, items, digest, looks, the α of the next look and of all to come, rotation, rows in reserve."""
    from .core.evaluation.holdouts.rotation import rotations
    from .core.loops import load_loop
    from .core.naming import find_loop

    read = load_loop(find_loop(loop))
    looks = _looks(read)
    rotated = {one.suite: one.at[:10] for one in rotations(read.folder)}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("suite", "role", "items", "digest", "looks", "α next", "α left", "rotated", "reserve"):
        table.add_column(name, no_wrap=True)
    for name, suite in read.suites.items():
        seen = looks.get(name)
        spends = seen is not None and suite.settings.role == "target"
        table.add_row(
            name,
            suite.settings.role,
            str(len(suite.items)),
            suite.digest[:8],
            str(seen.taken) if seen else "–",
            f"{seen.next_alpha:.3g}" if seen and spends else "–",
            f"{seen.left:.3g}" if seen and spends else "–",
            rotated.get(name, "–"),
            _reserve(read, name),
        )
    out.print(table)
    if not looks:
        out.print("No round of it has ended here, so nobody has looked yet.", style="dim")


@suite_app.command()
def rotate(
    loop: LoopName,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The suite that gets fresh rows.")],
    from_: Annotated[Path | None, typer.Option("--from", help="The reserve; by default the suite's `reserve`.")] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="How many rows; by default as many as now.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    why: Annotated[str, typer.Option(help="The reason, for whoever reads rotations.jsonl.")] = "",
    who: Annotated[str, typer.Option("--by", help="Who does it; by default the user of this machine.")] = "",
) -> None:
    """Draw a fresh holdout from a reserve; the old one is kept beside it, and looks are counted anew."""
    from .core.evaluation.holdouts.rotation import read_reserve
    from .core.evaluation.holdouts.rotation import rotate as draw
    from .core.loops import load_loop
    from .core.naming import find_loop
    from .core.workspace import locked

    read = load_loop(find_loop(loop))
    busy = f"a round of the loop `{read.name}` is running; wait for it, or stop it first"
    with locked(home() / "locks" / f"{read.name}.lock", busy):
        reserve = read_reserve(read, suite, from_, _trained(read))
        done = draw(read, suite, reserve, n=n, seed=seed, who=who or user_name(), why=why)
    out.print(
        f"{suite}: {done.rows} fresh rows from {done.reserve}, {done.left} left there; the old ones are "
        f"{done.kept_as}. Looks at it are counted anew."
    )


def say_looks(loop: "Loop", console: Console) -> None:
    """How often each suite was looked at, where rounds of the loop have ended; for `wheelwork check`."""
    told = [f"{name} {seen.taken}" for name, seen in _looks(loop).items() if seen.taken]
    if told:
        console.print(f"looked at so far: {', '.join(told)}; `wheelwork suite list` says more", style="dim")


def _looks(loop: "Loop") -> "dict[str, Looks]":
    """The looks at each suite; empty where MLflow was never written to, which is not asked then."""
    if "MLFLOW_TRACKING_URI" not in os.environ and not (home() / "mlflow.db").exists():
        return {}
    from .blocks.environment import prepare

    prepare(home())
    from .blocks.tracking import Tracking
    from .tasks.looks import looks_at_suites

    return looks_at_suites(Tracking(loop.name, home()), loop)


def _trained(loop: "Loop") -> "list[Said]":
    """What the loop's pool holds, and what people corrected: all that was or may be trained on."""
    from .core.evaluation.holdouts.texts import learnt_from, said_of
    from .core.ledger.store import Ledger
    from .core.pool.store import Pool

    pool = Pool(home(), loop.name)
    held = Ledger(home(), loop.name).held().values()
    said = learnt_from(pool.samples(pool.view(pool.head()).entries.values()), "pool")
    return said + [said_of(one.entry.item, "ledger", one.entry.id) for one in held]


def _reserve(loop: "Loop", name: str) -> str:
    from .core.evaluation.holdouts.rotation import read_reserve

    with suppress(ConfigError):
        try:
            return str(len(read_reserve(loop, name, None, _trained(loop)).items))
        except DataError:
            return "unreadable"
    return "–"
