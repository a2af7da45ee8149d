"""`wheelwork canary`: how a trial stands, and what a person wants done with it, also while a gateway runs elsewhere."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from .cli_pool import LoopName
from .core.errors import RegistryError
from .core.workspace import home, user_name

if TYPE_CHECKING:
    from .core.serving.canary.ruling import Ruling
    from .core.serving.canary.settings import CanarySettings
    from .core.serving.canary.state import State
    from .core.serving.canary.trial import Remembered, Trial

canary_app = typer.Typer(
    help="The canary of a loop: a promoted version on trial with some users.", no_args_is_help=True
)

Reason = Annotated[str, typer.Option(help="Why, for whoever reads the history.")]
ASLEEP = 15.0  # seconds without a look after which no gateway is taken to be running
WAIT = 5.0  # seconds that an order is waited for
SHOWN = 5  # decisions


@canary_app.command()
def status(
    loop: LoopName, as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False
) -> None:
    """Who is on trial, with which share, and what each test says so far."""
    name, state, settings = _opened(loop)
    told = state.read()
    if as_json:
        print(json.dumps(_as_json(name, told, settings), indent=2, ensure_ascii=False))
        return
    trial = told.trial
    if trial is None:
        _say(f"{name}: no version is on trial. {_serving(told)}")
    else:
        _show(name, trial, settings)
        waiting = [one for one in state.orders()[told.orders :] if one.candidate == trial.candidate]
        for order in waiting:
            _say(f"Ordered by {order.by}, not carried out yet: {order.act}.")
        if waiting or time.time() - told.looked > ASLEEP:
            _say(_looking(told))
    if told.trouble:
        Console(highlight=False).print(f"[yellow]Not in order:[/] {escape(told.trouble)}", soft_wrap=True)
    for decision in told.decisions[-SHOWN:]:
        _say(f"{_time(decision.at)}  {decision.sentence}")


@canary_app.command()
def widen(
    loop: LoopName,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="To all users at once; the trial is over then.")
    ] = False,
    reason: Reason = "",
) -> None:
    """On to the next stage now, whatever the tests say."""
    _order(loop, "widen", reason, everybody)


@canary_app.command()
def hold(loop: LoopName, reason: Reason = "") -> None:
    """Stay at this stage until `resume` or `widen`. Harm that is shown is rolled back all the same."""
    _order(loop, "hold", reason)


@canary_app.command()
def resume(loop: LoopName, reason: Reason = "") -> None:
    """Go on after `hold`: the tests decide again."""
    _order(loop, "resume", reason)


@canary_app.command()
def stop(loop: LoopName, reason: Reason = "") -> None:
    """End the trial: everybody gets the stable version again, and it becomes champion (a rollback)."""
    _order(loop, "stop", reason)


def _order(loop: str, act: Any, reason: str, everybody: bool = False) -> None:
    """Give an order, and wait a moment for a gateway to carry it out."""
    from .core.serving.canary.state import Order
    from .core.serving.gateway.audit import note

    name, state, _ = _opened(loop)
    told = state.read()
    trial = told.trial
    if trial is None:
        raise RegistryError(
            f"{name}: no version is on trial, so there is nothing to {act}; `wheelwork history {loop}` tells who is "
            "champion, `wheelwork rollback` goes back"
        )
    if trial.status == "leaving":
        raise RegistryError(
            f"{name}: version {trial.candidate} is being rolled back already ({trial.reason}); promote it again with "
            f"`wheelwork rollback {loop} --to {trial.candidate} --reason …` if it should be champion"
        )
    order = Order(
        at=time.time(), by=user_name(), act=act, candidate=trial.candidate, reason=reason.strip(), everybody=everybody
    )
    number = state.order(order)
    note(home(), f"canary: {act}", name, version=trial.candidate, reason=order.reason)
    until = time.monotonic() + (WAIT if time.time() - told.looked < ASLEEP else 0)
    while (told := state.read()).orders < number and time.monotonic() < until:
        time.sleep(0.1)
    if told.orders < number:
        _say(f"{name}: written down. {_looking(told)}")
        return
    by = [one for one in told.decisions if one.by == order.by and one.at >= order.at]
    _say(f"{name}: {by[-1].sentence}." if by else f"{name}: nothing to do, that is so already.")


def _opened(loop: str) -> "tuple[str, State, CanarySettings]":
    """Name, state files and canary settings of a loop; its data is not read."""
    from .core.naming import CONFIG, find_loop, loop_name
    from .core.serving.canary.settings import CanarySettings
    from .core.serving.canary.state import State
    from .core.settings import parse, read_yaml

    name, path = loop_name(loop), find_loop(loop) / CONFIG
    serve = read_yaml(path).get("serve")
    told = serve.get("canary", {}) if isinstance(serve, dict) else {}
    told = CanarySettings.switched(told)
    return name, State(home(), name), parse(CanarySettings, told, f"{path}: serve.canary")


def _show(name: str, trial: "Trial", settings: "CanarySettings") -> None:
    stable = "the base" if trial.stable == "base" else f"version {trial.stable}"
    plan, now = settings.plan, time.time()
    stage = plan[trial.stage].in_words if trial.stage < len(plan) else "past the stages that the settings have now"
    requests = trial.evidence.requests
    _say(f"{name}: version {trial.candidate} is on trial against {stable}, {STATUS[trial.status]}.")
    _say(
        f"Stage {trial.stage + 1} of {len(plan)}: {stage}, for {_span(now - trial.since)}; "
        f"{requests[1]:,} requests to the candidate, {requests[0]:,} to the stable version."
    )
    if trial.reason:
        _say(f"Reason: {trial.reason}")
    ruling = _ruling(trial, settings)
    for finding in ruling.findings:
        _say(f"  {finding.sentence}")
    if trial.status == "running":
        said = {"widen": "widens", "hold": "holds", "roll_back": "rolls back"}[ruling.act]
        _say(f"The evidence {said}: {ruling.reason}.")


STATUS = {"running": "the tests decide", "held": "held by a person", "leaving": "and is being rolled back"}


def _ruling(trial: "Trial", settings: "CanarySettings") -> "Ruling":
    from .core.serving.canary.ruling import rule

    return rule(trial.evidence, settings, max(0.0, time.time() - trial.since))


def _as_json(name: str, told: "Remembered", settings: "CanarySettings") -> dict[str, Any]:
    found: dict[str, Any] = {"loop": name, "champion": told.champion, "looked": told.looked or None, "trial": None}
    if (trial := told.trial) is not None:
        ruling = _ruling(trial, settings)
        stages = [stage.in_words for stage in settings.plan]
        found["trial"] = {
            "candidate": trial.candidate, "stable": trial.stable, "status": trial.status, "reason": trial.reason,
            "stage": trial.stage + 1, "stages": stages, "begun": trial.begun, "since": trial.since,
            "requests": {"stable": trial.evidence.requests[0], "candidate": trial.evidence.requests[1]},
            "ruling": {"act": ruling.act, "reason": ruling.reason},
            "findings": [{"state": one.state, "kind": one.kind, "sentence": one.sentence} | one.figures
                         for one in ruling.findings],
        }  # fmt: skip
    decisions = [one.model_dump(mode="json") for one in told.decisions]
    return found | {"decisions": decisions, "trouble": told.trouble}


def _serving(told: "Remembered") -> str:
    if not told.known:
        return "No gateway has served this loop yet."
    return f"Everybody gets {'version ' + told.champion if told.champion else 'the base'}."


def _looking(told: "Remembered") -> str:
    since = f"since {_time(told.looked)}" if told.looked else "yet"
    return f"No gateway has looked {since}; the next one to run will carry it out."


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _say(text: str) -> None:
    Console(highlight=False).print(text, soft_wrap=True, markup=False)
