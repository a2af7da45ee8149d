"""Everything that is not a question: models, feedback, intents, webhooks, health, metrics."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response

from ...errors import ServingError
from ..exchange import BASE, Feedback
from ..parts import Health, Hosting, Served, Traffic
from .asked_parts import Hooks, Intent, Intents
from .bodies import FeedbackBody, read
from .front import CALLER, token_of
from .keys import Keys
from .metrics import Figures, Parts
from .names import meant, name_of, unknown
from .replies import read_body
from .settings import Door

SAID = ("thumb", "rating", "correction", "comment")
LONGEST = 720.0  # hours that may be looked back
MOST = 1000  # intents that may be asked for


class Routes:
    """The handlers; each returns a whole answer or raises ServingError."""

    def __init__(
        self, hosting: Hosting, traffic: Traffic, door: Door, keys: Keys, figures: Figures, hooks: Hooks | None,
        intents: Intents | None, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._hosting, self._traffic, self._door, self._keys, self._figures = hosting, traffic, door, keys, figures
        self._hooks, self._intents, self._clock = hooks, intents, clock
        figures.registry.register(Parts(hosting.served, traffic.counts, self._health))

    async def models(self) -> Response:
        """The loops that are served, and each of their versions that can be asked."""
        served = self._hosting.served()
        loops = [_model(loop, min((one.since for one in served if one.loop == loop), default=0.0))
                 for loop in self._hosting.loops]  # fmt: skip
        versions = [_version(one) for one in served]
        return _json({"object": "list", "data": loops + versions})

    async def model(self, request: Request) -> Response:
        """One model by its name."""
        name, loops = request.path_params["id"], self._hosting.loops
        loop, version = meant(name, loops)
        served = [one for one in self._hosting.served() if one.loop == loop]
        if version is None or version == BASE:
            return _json(_model(name, min((one.since for one in served), default=0.0)))
        for one in served:
            if one.version == version:
                return _json(_version(one))
        raise unknown(name, [loop, *(name_of(loop, one.version) for one in served)])

    async def feedback(self, request: Request) -> Response:
        """What a user said of an answer: data for the loop, never an instruction."""
        body = read(FeedbackBody, await read_body(request.scope, request.receive, self._door.body_bytes))
        said = {name: body[name] for name in SAID if body.get(name) is not None}
        if not said:
            raise ServingError(400, "say something of the answer: one of thumb, rating, correction, comment")
        told = {"exchange": body["id"], "at": self._clock(), "key": request.scope[CALLER].key}
        # in a thread: an answer of long ago may have to be looked up in the database
        await asyncio.to_thread(self._traffic.feedback, Feedback.model_validate(told | said))
        return _json({"object": "feedback", "id": body["id"], "accepted": sorted(said)}, 202)

    async def intents(self, request: Request) -> Response:
        """Labels of recent questions of a loop, the most frequent first."""
        if self._intents is None:
            raise ServingError(404, "no labels of questions are kept here", code="not_found")
        query, loops = request.query_params, self._hosting.loops
        loop = query.get("loop") or (loops[0] if len(loops) == 1 else "")
        if loop not in loops:
            raise unknown(loop, loops)
        hours, limit = (
            _number(query.get("hours", "24"), LONGEST, "hours"),
            _number(query.get("limit", "50"), MOST, "limit"),
        )
        found = await self._intents.intents(loop, hours, int(limit))
        return _json({"object": "list", "loop": loop, "hours": hours, "data": [_labelled(one) for one in found]})

    async def hook(self, request: Request) -> Response:
        """A signed webhook; it starts what the loop allows it to start."""
        loop = request.path_params["loop"]
        if self._hooks is None or loop not in self._hosting.loops:
            raise ServingError(404, "no webhooks are received here under this name", code="not_found")
        body = await read_body(request.scope, request.receive, self._hooks.most_bytes(loop))
        status, headers, told = await self._hooks.handle(loop, dict(request.headers), body)
        return Response(orjson.dumps(told), status, dict(headers), "application/json")

    async def alive(self) -> Response:
        """Whether the gateway runs."""
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Whether it can do its work: `degraded` goes on with less, `down` is HTTP 503. Why is told to who may ask."""
        parts = self._health()
        state = next((one for one in ("down", "degraded") if any(part.state == one for part in parts)), "ok")
        shown = [
            part._asdict() if self._may_know(request) else {"part": part.part, "state": part.state} for part in parts
        ]
        headers = {"retry-after": "5"} if state == "down" else {}
        return _json({"status": state, "parts": shown}, 503 if state == "down" else 200, headers)

    async def metrics(self) -> Response:
        """Figures for Prometheus."""
        return Response(self._figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _health(self) -> Sequence[Health]:
        return [*self._hosting.health(), self._traffic.health()]

    def _may_know(self, request: Request) -> bool:
        try:
            self._keys.caller(token_of(request.headers.get("authorization", "")))
        except ServingError:
            return False
        return True


def _labelled(one: Intent) -> dict[str, Any]:
    return {"label": one.label, "count": one.questions, "latest": one.latest}


def _version(one: Served) -> dict[str, Any]:
    return _model(name_of(one.loop, one.version), one.since) | {"role": one.role}


def _model(name: str, since: float) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(since), "owned_by": "wheelwork"}


def _number(text: str, most: float, name: str) -> float:
    try:
        number = float(text[:40])
    except ValueError:
        number = -1
    if not 1 <= number <= most:  # what is no number is neither
        raise ServingError(400, f"`{name}` is a number from 1 to {most:g}", param=name, code="invalid_value")
    return number


def _json(told: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(told), status, headers, "application/json")
