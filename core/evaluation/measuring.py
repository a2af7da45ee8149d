"""The benchmark: base, champion and candidate answer every suite, and the answers are scored.

First the engine that serves answers, one model after the other, as switching adapters empties its prompt cache. When
it is closed the training stack is loaded, if a suite wants log-likelihoods, and when that is gone judges and encoders,
if a scorer needs any. So one model is in memory at a time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..chat.cache import CachedChat, ReplyCache, replies_to
from ..engines.base import Adapter
from ..models.store import ModelFiles
from ..quality.review.opening import Reviewed
from ..teaching import Resolve
from .benchmark import Answered, Replies, ask_suite, score_replies
from .opening import open_scoring
from .reading import read_suite_likelihoods, readings, training_stack
from .scorers import LmEval, Pairwise
from .suites import Suite

if TYPE_CHECKING:
    from ..loops import Loop

BASE, CHAMPION, CANDIDATE = "base", "champion", "candidate"

Showing = Callable[..., AbstractContextManager[Callable[[float], object]]]
"""Shows how many of a number are done: `(what, total)`, and for teachers what they cost."""


@dataclass(frozen=True)
class Contest:
    """A loop, its base, the adapters that answer beside it, and the suites that they answer."""

    loop: "Loop"
    base: ModelFiles
    adapters: Mapping[str, Adapter]
    suites: Mapping[str, Suite]
    only: str | None = None
    """The one model that is to be measured; unset: all of them."""

    @property
    def models(self) -> list[str]:
        """Who answers, the base first."""
        if self.only is None:
            return [BASE, *self.adapters]
        # who is measured against another's replies needs them
        return list(dict.fromkeys([*([self.rival] if self._rivalry else []), self.only]))

    @property
    def _rivalry(self) -> bool:
        scorers = [suite.settings.scorer for suite in self.suites.values()]
        return any(isinstance(one, Pairwise) and one.against == "champion" for one in scorers)

    @property
    def rival(self) -> str:
        """The model to beat: the champion, before there is one the base."""
        return CHAMPION if CHAMPION in self.adapters else BASE

    def by(self, stack: str) -> dict[str, Suite]:
        """The suites that are measured by one of the two stacks."""
        return {name: suite for name, suite in self.suites.items() if suite.measured_by == stack}


@dataclass
class Measured:
    """What each model answered to each suite: `answered[suite][model]`; and what it took."""

    answered: dict[str, dict[str, Answered]] = field(default_factory=dict)
    calls: int = 0
    reused: int = 0
    reviewed: Reviewed = field(default_factory=Reviewed)
    seconds: float = 0.0


def measure(contest: Contest, cache: Path, resolve: Resolve, showing: Showing) -> Measured:
    """Answer and score every suite. Raises as engines, models and teachers do."""
    started = time.perf_counter()
    measured = Measured({name: {} for name in contest.suites})
    replies = _served(contest, cache, showing, measured)
    _read(contest, showing, measured)
    _score(contest, replies, cache, resolve, showing, measured)
    measured.seconds = time.perf_counter() - started
    return measured


def _served(contest: Contest, cache: Path, showing: Showing, measured: Measured) -> dict[str, dict[str, Replies]]:
    """Replies through the engine: `replies[suite][model]`; suites of lm-eval are scored at once."""
    suites, loop = contest.by("serving engine"), contest.loop
    replies: dict[str, dict[str, Replies]] = {name: {} for name in suites}
    if not suites:
        return replies
    questions = len(contest.models) * sum(len(suite.items) * suite.settings.repeats for suite in suites.values())
    with (
        closing(ReplyCache(cache / "replies.db")) as kept,
        loop.engine_for(contest.base).start(contest.base, dict(contest.adapters), cache / "adapters") as engine,
        asyncio.Runner() as runner,
        showing("benchmark", questions) as advance,
    ):
        done = 0
        for model in contest.models:
            chat = CachedChat(engine.chat(None if model == BASE else model), kept)
            try:
                for name, suite in suites.items():
                    told = _after(done, advance)
                    if isinstance(suite.settings.scorer, LmEval):
                        measured.answered[name][model] = _harness(suite, runner, chat, told)
                    else:
                        replies[name][model] = runner.run(ask_suite(chat, suite, loop.render, told))
                    done += len(suite.items) * suite.settings.repeats
            finally:
                runner.run(chat.aclose())
            measured.calls, measured.reused = measured.calls + chat.calls, measured.reused + chat.hits
    return replies


def _harness(suite: Suite, runner: asyncio.Runner, chat: CachedChat, told: Callable[[int], None]) -> Answered:
    from .lm_eval_task import Harness

    assert isinstance(suite.settings.scorer, LmEval)
    harness = Harness(suite.path, suite.settings.scorer)
    return harness.by_replies(lambda asked: runner.run(replies_to(chat, asked, told)), suite.settings.max_tokens)


def _read(contest: Contest, showing: Showing, measured: Measured) -> None:
    """Log-likelihoods from the training stack, which is loaded once for all of them."""
    suites = contest.by("training stack")
    if not suites:
        return
    total = len(contest.models) * sum(map(readings, suites.values()))
    with showing("read", total) as advance, training_stack(contest.base, contest.adapters) as stack:
        done = 0
        for model in contest.models:
            reader = stack.model(None if model == BASE else model)
            for name, suite in suites.items():
                told = _after(done, advance)
                if isinstance(suite.settings.scorer, LmEval):
                    from .lm_eval_task import Harness

                    answered = Harness(suite.path, suite.settings.scorer).by_likelihood(reader, told)
                else:
                    answered = read_suite_likelihoods(suite, reader, contest.loop.render, told)
                measured.answered[name][model] = answered
                done += readings(suite)


def _score(
    contest: Contest,
    replies: Mapping[str, Mapping[str, Replies]],
    cache: Path,
    resolve: Resolve,
    showing: Showing,
    measured: Measured,
) -> None:
    suites = [contest.suites[name] for name, by_model in replies.items() if by_model]
    with ExitStack() as stack:
        scoring = open_scoring(contest.loop, suites, resolve, cache, stack, showing)
        for suite in suites:
            by_model = replies[suite.name]
            rival = [reply for own in by_model.get(contest.rival, ()) for reply in own]
            for model, own in by_model.items():
                opened = scoring.opened(rival)
                measured.answered[suite.name][model] = score_replies(suite, own, contest.loop.render, opened)
        measured.reviewed = scoring.reviewed


def _after(before: int, advance: Callable[[float], Any]) -> Callable[[int], None]:
    def told(done: int) -> None:
        advance(before + done)

    return told
