"""Several teachers behind one chat: each gets its share of the requests, and stands in for the others."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from ..digests import digest_of
from ..errors import TeacherError
from .messages import Chat, ChatRequest, Reply

FAILURES_IN_A_ROW = 3
REST = 30.0


class Member(NamedTuple):
    """A chat and its share of the requests; with weight 0 it only stands in."""

    chat: Chat
    weight: float = 1.0


class ChatPool:
    """Asks one of `members` for each request, and the others, in the order in which they are listed, when it fails.

    Which one is asked follows from the request's messages and seed and from the weights, so that a run that is
    resumed asks the same one. A member that failed three times in a row is asked last for the next 30 seconds.

    A CachedChat around the pool keeps replies under the pool's own fingerprint, whoever answered: that key changes
    with every member, its weight and its place in the list. With a CachedChat around each member instead, replies
    stay good when the pool changes, but what a stand-in answered is not found under the member that failed.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        if not members:
            raise ValueError("a pool needs a member")
        self.members = tuple(members)
        self.fingerprint = digest_of([[member.chat.fingerprint, float(member.weight)] for member in self.members])
        self._failures = [0] * len(self.members)
        self._rests_until = [0.0] * len(self.members)

    @property
    def parallel(self) -> int:
        return sum(member.chat.parallel for member in self.members)

    def first(self, request: ChatRequest) -> int:
        """The place in `members` of the one that is asked first."""
        messages = [[message.role, message.content] for message in request.messages]
        drawn = int(digest_of({"messages": messages, "seed": request.seed})[:13], 16) / 16**13
        rest = drawn * sum(member.weight for member in self.members)
        for index, member in enumerate(self.members):
            if rest < member.weight:
                return index
            rest -= member.weight
        return 0  # all weights are 0

    async def __call__(self, request: ChatRequest) -> Reply:
        """Raises TeacherError with what each said when none answers; any other error ends the call at once."""
        problems: list[TeacherError] = []
        for index in self._order(request):
            try:
                reply = await self.members[index].chat(request)
            except TeacherError as error:
                self._failed(index)
                problems.append(error)
            else:
                self._failures[index] = 0
                return reply
        if len(problems) == 1:
            raise problems[0]
        raise TeacherError(f"none of {len(problems)} teachers answered: " + "; ".join(map(str, problems)))

    async def aclose(self) -> None:
        await asyncio.gather(*(member.chat.aclose() for member in self.members))

    def _order(self, request: ChatRequest) -> list[int]:
        first, now = self.first(request), asyncio.get_running_loop().time()
        order = [first, *(index for index in range(len(self.members)) if index != first)]
        return sorted(order, key=lambda index: self._rests_until[index] > now)

    def _failed(self, index: int) -> None:
        self._failures[index] += 1
        if self._failures[index] >= FAILURES_IN_A_ROW:
            self._failures[index] = 0
            self._rests_until[index] = asyncio.get_running_loop().time() + REST
