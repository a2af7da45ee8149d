"""Teachers at work: the engines and endpoints of a list of settings as one chat with a cache and a budget."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .chat.budget import FREE, Budget, BudgetedChat, Spending
from .chat.cache import CachedChat, ReplyCache
from .chat.messages import Chat
from .chat.openai import OpenAIChat
from .chat.pool import ChatPool, Member
from .chat.preflight import reachable
from .digests import digest_of
from .engines.base import EngineSettings
from .errors import ConfigError
from .models.store import ModelFiles
from .teachers import BlockTeacher, EmbeddedTeacher, Teacher

Resolve = Callable[[BlockTeacher], OpenAIChat]  # a teacher whose address is kept elsewhere
ModelOf = Callable[[EmbeddedTeacher], ModelFiles]
EngineOf = Callable[[ModelFiles], EngineSettings]


def unresolved(teacher: BlockTeacher) -> OpenAIChat:
    """Where no orchestrator is at hand. Raises ConfigError."""
    raise ConfigError(
        f"the teacher `{teacher.name}` is a Prefect block, which only a round can read; give base_url and model instead"
    )


@dataclass(frozen=True)
class Teachers:
    """A list of teachers, the first in front, and how their models and engines are found."""

    settings: Sequence[Teacher]
    model: ModelOf
    engine: EngineOf
    resolve: Resolve = unresolved

    @property
    def choices(self) -> int:
        """Replies that one call is to bring: what each of them can give."""
        return min(teacher.choices for teacher in self.settings)

    def fingerprint(self) -> str:
        """Names who will write, without starting anybody."""
        return _pooled(self.fingerprints(), self.settings)

    def open(self, cache: Path, budget: Budget, stack: ExitStack) -> "Teaching":
        """Start engines, and ask endpoints whether they are there; all of it runs until `stack` closes.

        Raises TeacherError or ConfigError naming the teacher before any work is done.
        """
        replies, spending = _replies(cache, stack), Spending(budget)
        members = [
            Member(self._budgeted(teacher, cache, spending, stack, self.choices), teacher.weight)
            for teacher in self.settings
        ]
        chat = members[0].chat if len(members) == 1 else ChatPool(members)
        return Teaching(CachedChat(chat, replies), self.choices, spending)

    def open_each(self, cache: Path, budget: Budget, stack: ExitStack) -> "list[Teaching]":
        """Every teacher as a chat of its own, in their order, on one budget; else as `open`."""
        replies, spending = _replies(cache, stack), Spending(budget)
        chats = [self._budgeted(teacher, cache, spending, stack, choices=1) for teacher in self.settings]
        return [Teaching(CachedChat(chat, replies), 1, spending) for chat in chats]

    def names(self) -> list[str]:
        """The name of each teacher's model, in their order, without starting anybody."""
        return [
            self.model(teacher).name if isinstance(teacher, EmbeddedTeacher) else self._connect(teacher).model
            for teacher in self.settings
        ]

    def fingerprints(self) -> list[str]:
        """Names each teacher by itself, without starting anybody."""
        return [self._fingerprint(teacher) for teacher in self.settings]

    def _fingerprint(self, teacher: Teacher) -> str:
        if isinstance(teacher, EmbeddedTeacher):
            model = self.model(teacher)
            return self.engine(model).fingerprint(model)
        return self._connect(teacher).fingerprint

    def _connect(self, teacher: Teacher) -> OpenAIChat:
        assert not isinstance(teacher, EmbeddedTeacher)
        return self.resolve(teacher) if isinstance(teacher, BlockTeacher) else teacher.connect()

    def _budgeted(
        self, teacher: Teacher, cache: Path, spending: Spending, stack: ExitStack, choices: int
    ) -> BudgetedChat:
        prices = getattr(teacher, "prices", None) or FREE
        return BudgetedChat(self._start(teacher, cache, stack, choices), spending, prices)

    def _start(self, teacher: Teacher, cache: Path, stack: ExitStack, choices: int) -> Chat:
        if isinstance(teacher, EmbeddedTeacher):
            model = self.model(teacher)
            running = self.engine(model).start(model, {}, cache / "adapters", choices=choices)
            return stack.enter_context(running).chat(exact=True)  # a resumed round writes what a whole one would have
        chat = self._connect(teacher)
        asyncio.run(_check(self._connect(teacher)))  # a client of its own: connections belong to one event loop
        return chat


@dataclass(frozen=True)
class Teaching:
    """Teachers that answer: one chat, the replies that each of its calls brings, and what it has cost."""

    chat: CachedChat
    choices: int
    spending: Spending

    @property
    def cost(self) -> float:
        """Money spent so far, in the currency of the prices."""
        return self.spending.spent.money


def _replies(cache: Path, stack: ExitStack) -> ReplyCache:
    replies = ReplyCache(cache / "replies.db")
    stack.callback(replies.close)
    return replies


async def _check(chat: OpenAIChat) -> None:
    try:
        await reachable(chat)
    finally:
        await chat.aclose()


def _pooled(fingerprints: Sequence[str], settings: Sequence[Teacher]) -> str:
    if len(fingerprints) == 1:
        return fingerprints[0]
    return digest_of([[name, teacher.weight] for name, teacher in zip(fingerprints, settings, strict=True)])
