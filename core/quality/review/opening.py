"""Starting the teachers of a loop that judge and verify; one of several roles is started once."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from ...settings import Setting
from ...teachers import Role
from ...teaching import Resolve, Teachers, Teaching
from .asking import Review, Reviewer

if TYPE_CHECKING:
    from ...loops import Loop  # which knows the filters, and they this package

Money = Callable[[], float]
Progress = Callable[[str, int, Money], AbstractContextManager[Callable[[float], object]]]


class Reviewed(Setting):
    """What judges and verifiers did and cost; replies that were there already cost nothing."""

    calls: int = Field(0, description="calls that were answered")
    reused: int = Field(0, description="replies that were there already")
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = Field(0.0, description="in the currency of the teachers' prices")

    def __add__(self, other: "Reviewed") -> "Reviewed":
        fields = type(self).model_fields
        return Reviewed(**{name: getattr(self, name) + getattr(other, name) for name in fields})


@dataclass(frozen=True)
class Opened:
    """Reviewers at work, and the count of what they do."""

    review: Review | None
    teachings: tuple[Teaching, ...] = ()

    @property
    def reviewed(self) -> Reviewed:
        """What was asked and spent so far."""
        chats = [teaching.chat for teaching in self.teachings]
        return Reviewed(
            calls=sum(chat.calls for chat in chats),
            reused=sum(chat.hits for chat in chats),
            prompt_tokens=sum(chat.prompt_tokens for chat in chats),
            completion_tokens=sum(chat.completion_tokens for chat in chats),
            cost=self.teachings[0].cost if self.teachings else 0.0,  # they spend from one purse
        )


def reviewers_of(loop: "Loop", resolve: Resolve) -> dict[Role, Teachers]:
    """The teachers that the filters of a loop ask, by role."""
    return teachers_by_role(loop, loop.settings.funnel.roles, resolve)


def teachers_by_role(loop: "Loop", roles: Iterable[Role], resolve: Resolve) -> dict[Role, Teachers]:
    """The teachers of a loop that have these roles."""
    return {role: Teachers(loop.settings.teachers(role), loop.embedded, loop.engine_for, resolve) for role in roles}


def open_review(loop: "Loop", resolve: Resolve, cache: Path, stack: ExitStack, showing: Progress) -> Opened:
    """Start whom the filters of `loop` ask, until `stack` closes; nobody where they ask none.

    Raises TeacherError or ConfigError naming the teacher before any row is judged.
    """
    writers = Teachers(loop.settings.teachers("writer"), loop.embedded, loop.engine_for, resolve)
    roles = loop.settings.funnel.roles
    return open_roles(loop, roles, writers.names, resolve, cache, stack, showing) if roles else Opened(None)


def open_roles(
    loop: "Loop",
    roles: Iterable[Role],
    judged: Callable[[], Sequence[str]],
    resolve: Resolve,
    cache: Path,
    stack: ExitStack,
    showing: Progress,
) -> Opened:
    """Start the teachers of `loop` that have these roles, on the funnel's budget; `judged` names whom they judge."""
    by_role = teachers_by_role(loop, roles, resolve)
    everybody = list(dict.fromkeys(one for teachers in by_role.values() for one in teachers.settings))
    who = Teachers(everybody, loop.embedded, loop.engine_for, resolve)
    opened = tuple(who.open_each(cache, loop.settings.funnel.budget, stack))
    known = {
        settings: Reviewer(name, teaching.chat)
        for settings, name, teaching in zip(everybody, who.names(), opened, strict=True)
    }
    review = Review(
        {role: [known[one] for one in teachers.settings] for role, teachers in by_role.items()},
        passages={name: passage.text for name, passage in loop.material.passages.items()},
        writers=judged(),
        language=loop.settings.language,
        overrides=loop.folder / "prompts",
        showing=lambda what, total: showing(what, total, lambda: opened[0].cost),
    )
    return Opened(stack.enter_context(review), opened)
