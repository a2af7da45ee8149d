"""How many calls an endpoint stands at once, found out by trying."""

import asyncio
from collections import deque


class AdaptiveLimit:
    """A limit on calls under way that follows what the endpoint can do: additive increase, multiplicative decrease.

    It begins at `start`. Until the first refusal every success adds one (as TCP's slow start does); from then on a
    whole window of successes does, up to `most`. A refusal halves it, not below 1 and at most once a round-trip:
    what was already under way at the last cut says nothing new. A limit that is not used up does not grow.

    (Chiu & Jain 1989: this is the rule under which several clients of one server come to share it fairly.)
    """

    def __init__(self, most: int, start: int = 4) -> None:
        self.most = max(1, most)
        self.value = min(max(1, start), self.most)
        self.under_way = 0
        self._refused = False
        self._calls = 0  # numbers the calls in the order in which they begin
        self._cut = 0  # the last call that had begun at the last cut
        self._successes = 0  # since the limit last changed
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> int:
        """Wait until a call may begin; returns its number, which `leave` wants back."""
        if self.under_way >= self.value or self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it was let in at the moment of its cancellation
                    self.under_way -= 1
                    self._admit()
                raise
        else:
            self.under_way += 1
        self._calls += 1
        return self._calls

    def leave(self, call: int, answered: bool | None) -> None:
        """The call has ended: with an answer, with a refusal for being too many or too slow, or (None) neither."""
        if answered is not None and call > self._cut:
            if answered:
                self._succeeded()
            else:
                self._refused = True
                self._change(max(1, self.value // 2))
                self._cut = self._calls
        self.under_way -= 1
        self._admit()

    def _succeeded(self) -> None:
        if self.under_way < self.value:  # fewer at once than allowed prove nothing about more
            return
        self._successes += 1
        if self._successes >= (self.value if self._refused else 1):
            self._change(min(self.value + 1, self.most))

    def _change(self, value: int) -> None:
        self.value = value
        self._successes = 0

    def _admit(self) -> None:
        while self._waiting and self.under_way < self.value:
            turn = self._waiting.popleft()
            if not turn.done():
                self.under_way += 1
                turn.set_result(None)
