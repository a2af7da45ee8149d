"""Stand-ins for every test: a chat that answers from a list, an encoder that hashes words, time that does not wait."""

import asyncio
import hashlib
import selectors
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from wheelwork.core.chat.messages import ChatRequest, Reply
from wheelwork.core.text import words

T = TypeVar("T")


class ScriptedChat:
    """Answers with `replies` in the order in which it is asked, and keeps what it was asked in `asked`.

    A reply is a text, a Reply, or an error to raise. Being asked for more than the script holds fails the test.
    """

    def __init__(
        self, replies: Iterable[str | Reply | Exception] = (), *, parallel: int = 1, fingerprint: str = "scripted"
    ) -> None:
        self._replies = iter(replies)
        self.parallel = parallel
        self.fingerprint = fingerprint
        self.asked: list[ChatRequest] = []
        self.closed = False

    async def __call__(self, request: ChatRequest) -> Reply:
        self.asked.append(request)
        await asyncio.sleep(0)  # as a call over a network does, it lets others go on
        reply = next(self._replies, None)
        if reply is None:
            raise AssertionError(f"the script has no reply to call {len(self.asked)}: {request.messages[-1].content!r}")
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else Reply(text=reply, completion_tokens=len(reply.split()))

    async def aclose(self) -> None:
        self.closed = True


class AnsweringChat:
    """Answers each request with what `answer` makes of it, in the words of a script; keeps what it was asked."""

    def __init__(
        self,
        answer: Callable[[ChatRequest], str | Reply | Exception],
        *,
        parallel: int = 4,
        fingerprint: str = "answering",
    ) -> None:
        self._answer = answer
        self.parallel = parallel
        self.fingerprint = fingerprint
        self.asked: list[ChatRequest] = []
        self.closed = False

    async def __call__(self, request: ChatRequest) -> Reply:
        self.asked.append(request)
        await asyncio.sleep(0)
        answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else Reply(text=answer, prompt_tokens=10, completion_tokens=5)

    async def aclose(self) -> None:
        self.closed = True


class FakeEncoder:
    """Rows of unit length that count words: cosine 1 for the same words, about 0 for texts that share none.

    The same on every machine and in every process. `encoded` keeps each text it was given, in order.
    """

    def __init__(self, dimensions: int = 512) -> None:
        self.dimensions = dimensions
        self.fingerprint = f"word-hash-{dimensions}"
        self.encoded: list[str] = []

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.encoded.extend(texts)
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in words(text):
                row[int.from_bytes(hashlib.sha256(word.encode()).digest()[:8]) % self.dimensions] += 1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(lengths == 0, 1, lengths)


class _Skipping(selectors.DefaultSelector):
    """Puts the clock forward by what it would have waited."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.skipped += timeout
            timeout = 0
        return super().select(timeout)


class ImpatientLoop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps take no time; its `time()` goes on as if they had."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return super().time() + self._skipping.skipped


def impatiently(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Run `work` without waiting for its sleeps; returns its result and the seconds it would have taken."""
    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        began = runner.get_loop().time()
        result = runner.run(work)
        return result, runner.get_loop().time() - began
