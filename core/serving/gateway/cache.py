"""Answers that are given again, and identical questions under way that are asked once.

Only where the answer is determined: temperature 0, or a seed. Keyed by loop, version, fingerprint and all of the
question that an answer depends on; and by who asks, unless the loop's settings say that answers are for everybody.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import Field

from ...errors import ServingError
from ...settings import Setting

How = Literal["miss", "hit", "shared"]
"""Asked for this caller, remembered, or got with another's identical question."""


class Cache(Setting):
    """Whether a loop's answers are given again. Off by default: what is not asked anew is no evidence either."""

    enabled: bool = Field(False, description="remember answers to questions with temperature 0 or a seed")
    ttl: float = Field(300, gt=0, le=604_800, description="seconds that an answer is given again")
    max_entries: int = Field(10_000, ge=1, le=10_000_000, description="answers that are remembered")
    max_bytes: int = Field(67_108_864, ge=1024, description="bytes of them; the one used longest ago goes first")
    across_keys: bool = Field(False, description="give one API key's answer to another's identical question")


class Answer(NamedTuple):
    """What an engine said, without what names the request: `choices` and `usage` in OpenAI's form."""

    choices: list[dict[str, Any]]
    usage: dict[str, Any]
    text: str
    finish: str
    size: int = 0  # bytes, counted when it is remembered


def deterministic(body: Mapping[str, Any]) -> bool:
    """Whether the same question has the same answer: greedy, or sampled from a seed."""
    return body.get("temperature") == 0 or body.get("seed") is not None


def key_of(loop: str, version: str, fingerprint: str, path: str, body: Mapping[str, Any], who: str) -> bytes:
    """Names a question: the order of keys, and numbers written as 1 or 1.0, make no difference."""
    same = {name: float(one) if isinstance(one, int) else one for name, one in body.items() if name != "stop"}
    stop = body.get("stop")
    same["stop"] = [stop] if isinstance(stop, str) else stop
    told = orjson.dumps([loop, version, fingerprint, path, who, same], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(told, digest_size=20).digest()


class Flight:
    """One question under way, and how many wait for it; the last to leave stops the work."""

    def __init__(self, key: bytes, task: "asyncio.Task[Answer]") -> None:
        self.key = key
        self.task = task
        self.waiting = 0


class Answers:
    """What one loop remembers, and what it is asking. Belongs to one event loop."""

    def __init__(self, settings: Cache, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.bytes = 0
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Answer]] = OrderedDict()
        self._flights: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: bytes) -> Answer | None:
        """The answer remembered under `key`, unless it is older than the settings allow."""
        if (kept := self._kept.get(key)) is None:
            return None
        if not 0 <= self._clock() - kept[0] < self.settings.ttl:  # a clock that was set back is no reason to keep
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept[1]

    def keep(self, key: bytes, answer: Answer) -> None:
        """Remember `answer`; the ones used longest ago make room. One larger than all the room is not kept."""
        answer = answer._replace(size=len(orjson.dumps([answer.choices, answer.usage])) + 512)  # 512: what is around
        if answer.size > self.settings.max_bytes:
            return
        if key in self._kept:
            self._drop(key)
        self._kept[key] = (self._clock(), answer)
        self.bytes += answer.size
        while len(self._kept) > self.settings.max_entries or self.bytes > self.settings.max_bytes:
            self._drop(next(iter(self._kept)))

    async def get(self, key: bytes, ask: Callable[[], Awaitable[tuple[Answer, bool]]]) -> tuple[Answer, How]:
        """The answer under `key`: remembered, or of the question under way, or of `ask`.

        `ask` says whether its answer may be remembered. Who asked first gets that question's error; the others ask
        again, one of them for all. A caller that goes away leaves the question to those that still wait. What was
        refused (HTTP 4xx) would be refused again: all get it.
        """
        while True:
            if (kept := self.find(key)) is not None:
                return kept, "hit"
            flight = self._flights.get(key)
            first = flight is None
            if flight is None:
                flight = self._flights[key] = Flight(key, asyncio.ensure_future(self._ask(key, ask)))
            try:
                return await self._wait(flight), "miss" if first else "shared"
            except Exception as error:
                if first or (isinstance(error, ServingError) and error.status < 500 and error.status != 429):
                    raise

    async def _wait(self, flight: Flight) -> Answer:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()
                if self._flights.get(flight.key) is flight:  # nobody may join work that is being stopped
                    del self._flights[flight.key]

    async def _ask(self, key: bytes, ask: Callable[[], Awaitable[tuple[Answer, bool]]]) -> Answer:
        try:
            answer, keep = await ask()
            if keep:
                self.keep(key, answer)
            return answer
        finally:
            flight = self._flights.get(key)
            if flight is not None and flight.task is asyncio.current_task():
                del self._flights[key]

    def _drop(self, key: bytes) -> None:
        self.bytes -= self._kept.pop(key)[1].size
