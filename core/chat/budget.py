"""What a round may cost, and the count of what it has cost so far."""

import asyncio
from collections import deque
from dataclasses import dataclass

from pydantic import Field

from ..errors import BudgetSpent
from ..settings import Setting
from .messages import Chat, ChatRequest, Reply

BYTES_PER_TOKEN = 3  # of a text whose tokens nobody counted: English has about 4, Chinese 3


class Prices(Setting):
    """What an endpoint asks for its work, in any one currency."""

    prompt: float = Field(0.0, ge=0, allow_inf_nan=False, description="price of a million prompt tokens")
    completion: float = Field(0.0, ge=0, allow_inf_nan=False, description="price of a million completion tokens")


FREE = Prices()


class Budget(Setting):
    """What teachers may cost; what is unset has no limit. A reply from the cache costs nothing."""

    calls: int | None = Field(None, ge=0, description="calls that are answered")
    tokens: int | None = Field(None, ge=0, description="tokens of prompts and completions together")
    money: float | None = Field(None, ge=0, allow_inf_nan=False, description="in the currency of the prices")


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls, tokens and money: of one call, or of many."""

    calls: int = 0
    tokens: int = 0
    money: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.calls + other.calls, self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.calls - other.calls, self.tokens - other.tokens, self.money - other.money)

    @classmethod
    def call(cls, prompt: int, completion: int, prices: Prices) -> "Cost":
        """One call, from its numbers of tokens."""
        return cls(1, prompt + completion, (prices.prompt * prompt + prices.completion * completion) / 1e6)

    @classmethod
    def most(cls, request: ChatRequest, prices: Prices) -> "Cost":
        """What a call costs at most: every token that it may write, and an upper guess of those that it brings."""
        return cls.call(_prompt_tokens(request), request.max_tokens * request.choices, prices)

    @classmethod
    def of(cls, request: ChatRequest, reply: Reply, prices: Prices) -> "Cost":
        """What a call did cost; guessed from the texts, where the endpoint does not count."""
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if not prompt and not completion:
            prompt, completion = _prompt_tokens(request), _tokens(*(choice.text for choice in reply.choices))
        return cls.call(prompt, completion, prices)


def _prompt_tokens(request: ChatRequest) -> int:
    return _tokens(*(message.content for message in request.messages))


def _tokens(*texts: str) -> int:
    return sum(len(text.encode("utf-8", "replace")) for text in texts) // BYTES_PER_TOKEN


class Spending:
    """The running count of one round, over all its teachers; it begins at nothing."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.spent = Cost()
        self._aside = Cost()  # for calls under way
        self._waiting: deque[tuple[Cost, asyncio.Future[None]]] = deque()  # who came first is served first

    async def reserve(self, most: Cost) -> None:
        """Set `most` aside for a call, before it is made; `settle` ends it.

        Waits for calls under way, when only what was set aside for them is in the way.
        Raises BudgetSpent when the call, by itself, could exceed what is left.
        """
        if not self._waiting and self._excess(self.spent + self._aside + most) is None:
            self._aside += most
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((most, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.settle(most, None)  # it was let in at the moment of its cancellation
            raise

    def settle(self, most: Cost, cost: Cost | None) -> None:
        """The call for which `most` was set aside has ended; `cost` is None when it brought no reply."""
        self._aside -= most
        if self._aside.calls == 0:
            self._aside = Cost()  # and no rest of rounding
        if cost is not None:
            self.spent += cost
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            most, turn = self._waiting[0]
            if not turn.done():
                if (name := self._excess(self.spent + most)) is not None:
                    turn.set_exception(self._told(name))
                elif self._excess(self.spent + self._aside + most) is None:
                    self._aside += most
                    turn.set_result(None)
                else:
                    return
            self._waiting.popleft()

    def _excess(self, cost: Cost) -> str | None:
        """The name of the first limit that `cost` is above."""
        budget = self.budget
        if budget.calls is not None and cost.calls > budget.calls:
            return "calls"
        if budget.tokens is not None and cost.tokens > budget.tokens:
            return "tokens"
        if budget.money is not None and cost.money > budget.money * (1 + 1e-9):  # sums of prices are rounded
            return "money"
        return None

    def _told(self, name: str) -> BudgetSpent:
        return BudgetSpent(
            f"the budget of {getattr(self.budget, name):,} {name} is spent, or the next call could exceed it; "
            f"what was answered is kept: raise `{name}` of the budget to go on"
        )


class BudgetedChat:
    """A chat whose calls count in `spending`; put a CachedChat around it, so that kept replies cost nothing."""

    def __init__(self, chat: Chat, spending: Spending, prices: Prices = FREE) -> None:
        self._chat = chat
        self._spending = spending
        self._prices = prices

    @property
    def fingerprint(self) -> str:
        return self._chat.fingerprint

    @property
    def parallel(self) -> int:
        return self._chat.parallel

    async def __call__(self, request: ChatRequest) -> Reply:
        """Raises BudgetSpent, before the call, when it could cost more than is left."""
        most = Cost.most(request, self._prices)
        await self._spending.reserve(most)
        cost = None
        try:
            reply = await self._chat(request)
            cost = Cost.of(request, reply, self._prices)
            return reply
        finally:
            self._spending.settle(most, cost)

    async def aclose(self) -> None:
        await self._chat.aclose()
