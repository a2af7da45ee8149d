"""Asking judges and verifiers: each teacher of a role, all rows at once, and a reason where no answer came.

A call that fails, and a reply that cannot be read, cost their row its answer and nobody else's. A teacher that fails
several times in a row is gone, and its error ends the step, so that the step can be tried again: every reply that
came is kept, and an outage is never taken for a verdict.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from ...chat.gather import ask_all
from ...chat.messages import Chat, ChatRequest
from ...errors import BudgetSpent, ConfigError, TeacherError
from ...prompts import Template, load_template
from ...teachers import Role

T = TypeVar("T")
Read = Callable[[str], T | None]
"""Makes what is wanted of a reply's text; None where it does not hold it."""

Showing = Callable[[str, int], AbstractContextManager[Callable[[float], object]]]
"""Shows how many of a number of calls are answered; the first argument names what they are."""

TASK = "review"  # of the templates
FAILURES_IN_A_ROW = 5  # calls, each of which the client had tried several times
WARMER = 0.5  # temperature at which a reply that could not be read is asked for again


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why nobody can say: `no_reply`, `unreadable` or `budget_spent`."""

    reason: Literal["no_reply", "unreadable", "budget_spent"]


@dataclass(frozen=True)
class Reviewer:
    """A teacher that is asked about samples, and the name of its model."""

    model: str
    chat: Chat


@contextmanager
def silent(what: str, total: int) -> Iterator[Callable[[float], object]]:
    """Where nobody looks on."""
    yield lambda done: None


class Review:
    """The teachers of a loop that have a say about samples, and what they and filters need to know of it.

    `passages` is the loop's knowledge by id, `writers` the names of the models that write. To be closed at the end:
    it keeps one event loop for all its chats, whose connections belong to it.
    """

    def __init__(
        self,
        reviewers: Mapping[Role, Sequence[Reviewer]],
        *,
        passages: Mapping[str, str] | None = None,
        writers: Sequence[str] = (),
        language: str = "en",
        overrides: Path | None = None,
        showing: Showing = silent,
    ) -> None:
        self.passages = passages or {}
        self.writers = tuple(writers)
        self.remarks: defaultdict[str, list[str]] = defaultdict(list)
        """What was said of a sample, by its id."""
        self._reviewers = reviewers
        self._language = language
        self._overrides = overrides
        self._showing = showing
        self._templates: dict[str, Template] = {}
        self._tallies: dict[Any, Any] = {}
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *_: object) -> None:
        chats = {id(one.chat): one.chat for group in self._reviewers.values() for one in group}
        with self._runner as runner:
            runner.run(_close(list(chats.values())))

    def reviewers(self, role: Role) -> Sequence[Reviewer]:
        """Who has this role. Raises ConfigError when nobody has."""
        if not self._reviewers.get(role):
            raise nobody(role)
        return self._reviewers[role]

    def ask(
        self, role: Role, requests: Sequence[ChatRequest], read: Read[T], retries: int = 1, *, cut: bool = False
    ) -> list[list[T | Unanswered]]:
        """What each teacher of the role answers to each of `requests`: (reviewers, requests), both in their order.

        A reply that `read` makes nothing of, or that ended at the token limit unless it may be `cut`, is asked for
        again, up to `retries` times. Raises ConfigError when nobody
        has the role, and TeacherError when one of them fails several times in a row.
        """
        reviewers = self.reviewers(role)
        with self._showing(role, len(reviewers) * len(requests)) as advance:
            done = 0

            def count() -> None:
                nonlocal done
                done += 1
                advance(done)

            asked = [_Patient(one.chat, read, retries, cut, count) for one in reviewers]
            return self._runner.run(_side_by_side([_answers(one, requests) for one in asked]))

    def template(self, name: str) -> Template:
        """A template of the review, the loop's own before the packaged one."""
        if name not in self._templates:
            self._templates[name] = load_template(TASK, name, self._language, self._overrides)
        return self._templates[name]

    def tally(self, key: object, new: Callable[[], T]) -> T:
        """What a filter remembers from batch to batch, kept under its settings."""
        tally: T = self._tallies.setdefault(key, new())
        return tally

    def kin(self, role: Role) -> list[tuple[str, str]]:
        """(reviewer, writer) where a reviewer's model is of the family of one that writes, each reviewer once."""
        found = {}
        for one in self.reviewers(role):
            if own := [writer for writer in self.writers if related(one.model, writer)]:
                found[one.model] = own[0]
        return list(found.items())


def nobody(role: Role) -> ConfigError:
    """What to say where a filter asks teachers of a role that none has."""
    return ConfigError(
        f"a filter of the funnel asks a {role}, and no teacher has the role `{role}`; give one that role"
    )


FAMILY = re.compile(r"[a-z]+")
ANY_MODEL = {"base", "chat", "code", "coder", "distill", "gguf", "instruct", "it", "large", "medium", "mini", "model"}
ANY_MODEL |= {"preview", "small", "tiny", "turbo", "b", "m", "q", "k", "s", "v"}  # words that name no family
SIBLINGS = {"chatgpt": "gpt", "o": "gpt", "mixtral": "mistral", "ministral": "mistral", "codestral": "mistral"}
SIBLINGS |= {"magistral": "mistral", "qwq": "qwen", "codellama": "llama", "codegemma": "gemma"}


def related(model: str, other: str) -> bool:
    """Whether two model names speak of one family: qwen3-32b and Qwen/Qwen2.5-7B-Instruct do.

    A name's family is its first word without version and owner; a distilled model is of both its families
    (DeepSeek-R1-Distill-Qwen-7B). Names that say nothing of a family are related only when they are the same.
    """
    first, second = _families(model), _families(other)
    return bool(first[:1] and first[0] in second) or bool(second[:1] and second[0] in first) or model == other


def _families(model: str) -> list[str]:
    """The words of a name that may be of a family, its own first."""
    name = model.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].casefold()
    return [SIBLINGS.get(word, word) for word in FAMILY.findall(name) if word not in ANY_MODEL]


class _Patient(Generic[T]):
    """Looks like a chat to `ask_all`: answers with what was read of a reply, or with why nothing was."""

    def __init__(self, chat: Chat, read: Read[T], retries: int, cut: bool, count: Callable[[], None]) -> None:
        self._chat = chat
        self._read = read
        self._retries = retries
        self._cut = cut
        self._count = count
        self._failures = 0

    @property
    def parallel(self) -> int:
        return self._chat.parallel

    async def __call__(self, request: ChatRequest) -> T | Unanswered:
        answer = await self._answer(request)
        self._count()
        return answer

    async def _answer(self, request: ChatRequest) -> T | Unanswered:
        for attempt in range(self._retries + 1):
            try:
                reply = await self._chat(_again(request, attempt))
            except BudgetSpent:
                return Unanswered("budget_spent")
            except TeacherError:
                self._failures += 1
                if self._failures >= FAILURES_IN_A_ROW:
                    raise
                return Unanswered("no_reply")
            self._failures = 0
            # half a list of claims could be mended, and would then speak for the whole
            if (self._cut or reply.finish != "length") and (found := self._read(reply.text)) is not None:
                return found
        return Unanswered("unreadable")


def _again(request: ChatRequest, attempt: int) -> ChatRequest:
    """The same question once more; greedy and with the same seed it would bring the same reply."""
    if not attempt:
        return request
    drawn = {"seed": (request.seed + attempt * 1_000_003) % 2**31, "temperature": max(request.temperature, WARMER)}
    return request.model_copy(update=drawn)


async def _answers(asked: _Patient[T], requests: Sequence[ChatRequest]) -> list[T | Unanswered]:
    async with aclosing(ask_all(asked, requests)) as answers:
        return [answer async for answer in answers]


async def _side_by_side(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results; the first error ends the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(chats: Sequence[Chat]) -> None:
    await asyncio.gather(*(chat.aclose() for chat in chats))
