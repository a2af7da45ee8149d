"""Answers of one model to many callers: what waits for the same adapter is read and written together."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..errors import ServingError
from .wanted import Wanted, Written

MOST_WAITING = 256


class Text(Protocol):
    """The text of tokens before the first stop string, and whether there was one."""

    def cut(self, fresh: list[int]) -> tuple[str, bool]: ...


class Row:
    """One answer that is being written; `tell` hears of every piece where it is `streamed`, else of the whole."""

    def __init__(
        self, index: int, wanted: Wanted, adapter: str | None, text: Text, ends: Sequence[int], streamed: bool,
        tell: Callable[[Written | Exception], None],
    ) -> None:  # fmt: skip
        self.wanted = wanted
        self.adapter = adapter
        self.given_up = False
        self.finished = False
        self._index = index
        self._text = text
        self._ends = ends
        self._streamed = streamed
        self._tell = tell
        self._fresh: list[int] = []
        self._sent = 0  # characters

    def take(self, token: int) -> bool:
        """Whether the answer is whole with this token."""
        self._fresh.append(token)
        ended, full = token in self._ends, len(self._fresh) >= self.wanted.max_tokens
        text, stopped = "", False
        if self._streamed or self.wanted.stop or ended or full:
            text, stopped = self._text.cut(self._fresh)
        if ended or stopped or full:
            stop = ended or stopped
            # the limit may fall inside a character
            self._finish(text if stop else text.rstrip("\ufffd"), "stop" if stop else "length")
        elif self._streamed and len(sure := self._sure(text)) > self._sent:
            piece, self._sent = sure[self._sent :], len(sure)
            self._say(Written(self._index, piece, None))
        return self.finished

    def fail(self, error: Exception) -> None:
        if not self.finished:
            self.finished = True
            self._say(error)

    def _finish(self, text: str, finish: str) -> None:
        self.finished = True
        self._say(Written(self._index, text[self._sent :], finish, len(self._fresh)))

    def _say(self, said: Written | Exception) -> None:
        try:
            self._tell(said)
        except RuntimeError:  # the loop of whoever asked has ended
            self.given_up = True

    def _sure(self, text: str) -> str:
        """Without what the next token may still change: half a character, or what may become a stop string."""
        text = text.rstrip("\ufffd")
        held = max((_overlap(text, stop) for stop in self.wanted.stop), default=0)
        return text[: len(text) - held]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


class Watch:
    """A stopping criterion of `generate`, from whose rows it takes each new token; one answer's end ends its row."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        tokens = ids[:, -1].tolist()
        done = [row.finished or row.given_up or row.take(token) for row, token in zip(self._rows, tokens, strict=True)]
        return torch.tensor(done, device=ids.device)


class Draw:
    """A logits processor that draws each row's token with the row's own seed, as `generate` does for one row alone.

    Where all rows are greedy it is not needed; a greedy row it leaves as it is.
    """

    def __init__(self, rows: Sequence[Row], device: str) -> None:
        import torch
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

        self._draws: list[tuple[Any, Any] | None] = []
        for row in rows:
            wanted = row.wanted
            if wanted.temperature <= 0:
                self._draws.append(None)
                continue
            warp = LogitsProcessorList()
            if wanted.temperature != 1:
                warp.append(TemperatureLogitsWarper(wanted.temperature))
            if wanted.top_p < 1:
                warp.append(TopPLogitsWarper(wanted.top_p))
            self._draws.append((warp, torch.Generator(device).manual_seed(wanted.seed)))

    def __call__(self, ids: Any, scores: Any) -> Any:
        import torch

        scores = scores.clone()
        for index, draw in enumerate(self._draws):
            if draw is not None:
                warp, generator = draw
                chances = torch.softmax(warp(ids[index : index + 1], scores[index : index + 1]), dim=-1)
                token = torch.multinomial(chances, 1, generator=generator)
                scores[index] = -torch.inf
                scores[index, token] = 0.0
        return scores


class Batches:
    """A thread that answers what waits, the longest waiting first, with others of the same adapter up to `size`.

    `write` answers rows of one adapter. What comes while it writes waits for the next batch.
    """

    def __init__(self, write: Callable[[str | None, list[Row]], None], size: int) -> None:
        self._write = write
        self._size = size
        self._rows: deque[Row] = deque()
        self._between: deque[Callable[[], None]] = deque()
        self._writing: list[Row] = []
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, rows: Sequence[Row]) -> None:
        """Raises ServingError (503) when too many wait, or it is closed."""
        with self._wake:
            if self._closed:
                raise _closed()
            if len(self._rows) + len(rows) > MOST_WAITING:
                raise ServingError(
                    503, f"{len(self._rows)} answers are waited for already; ask again in a few seconds",
                    type="server_error", code="engine_overloaded", retry_after=2.0,
                )  # fmt: skip
            self._rows.extend(rows)
            self._begin()

    def between(self, act: Callable[[], None]) -> None:
        """Do `act` between two batches, before all that waits; returns when it is done. Raises what it raises."""
        done, raised = threading.Event(), []

        def acting() -> None:
            try:
                if self._closed:
                    raise _closed()
                act()
            except Exception as error:
                raised.append(error)
            finally:
                done.set()

        with self._wake:
            if self._closed:
                raise _closed()
            self._between.append(acting)
            self._begin()
        done.wait()
        if raised:
            raise raised[0]

    def note(self) -> str:
        """How busy it is."""
        with self._wake:
            return f"{sum(not row.finished for row in self._writing)} running, {len(self._rows)} waiting"

    def close(self) -> None:
        """Breaks off what is being written, and tells all who wait."""
        with self._wake:
            self._closed = True
            for row in self._writing:
                row.given_up = True
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _begin(self) -> None:
        self._wake.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="wheelwork-batches", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not (self._rows or self._between or self._closed):
                    self._wake.wait()
                if self._closed:
                    break
                act = self._between.popleft() if self._between else None
                self._writing = [] if act else self._next()
            if act:
                act()
            elif self._writing:
                self._answer(self._writing)
        for row in [*self._writing, *self._rows]:
            row.fail(_closed())
        while self._between:
            self._between.popleft()()

    def _next(self) -> list[Row]:
        while self._rows and self._rows[0].given_up:
            self._rows.popleft()
        if not self._rows:
            return []
        adapter = self._rows[0].adapter
        batch = [row for row in self._rows if row.adapter == adapter and not row.given_up][: self._size]
        taken = set(map(id, batch))
        self._rows = deque(row for row in self._rows if id(row) not in taken and not row.given_up)
        return batch

    def _answer(self, rows: list[Row]) -> None:
        try:
            self._write(rows[0].adapter, rows)
        except ServingError as error:
            problem: Exception = error
        except Exception as error:
            problem = ServingError(500, "the model could not answer this request", type="server_error")
            problem.__cause__ = error
        else:
            problem = _closed()  # of those that were broken off
        for row in rows:
            row.fail(problem)


def _closed() -> ServingError:
    return ServingError(
        503, "the model's engine is being stopped; ask again in a few seconds", type="server_error",
        code="engine_unavailable", retry_after=2.0,
    )  # fmt: skip
