"""The gateway put together: one function from its parts to an ASGI application."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.routing import Route

from ... import errors
from ..parts import Hosting, Traffic
from .answering import Answering
from .asked_parts import Hooks, Intents
from .bodies import Path
from .front import CALLER, REQUEST, Front, trouble
from .keys import Keys
from .metrics import Figures
from .names import hasher
from .replies import Receive, Scope, Send, error_body, error_headers
from .routes import Routes
from .schema import DESCRIBED, document
from .settings import GatewaySettings

PATHS: tuple[Path, ...] = ("chat/completions", "completions")


def application(
    hosting: Hosting,
    traffic: Traffic,
    settings: GatewaySettings,
    keys: Keys,
    hooks: Hooks | None = None,
    intents: Intents | None = None,
    *,
    hashed: Callable[[str], str] | None = None,
    clock: Callable[[], float] = time.time,
    shown: Sequence[Collector] = (),
) -> FastAPI:
    """The gateway over its parts.

    `hashed` hashes users and conversations; without it they are others at each start. `clock` tells
    seconds since 1970. `shown` is what `/metrics` shows beside the gateway's own figures; it must not wait.
    No documentation page is served: it would load scripts from elsewhere.
    """
    figures = Figures()
    for collector in shown:
        figures.registry.register(collector)
    answering = Answering(hosting, traffic, settings, figures, hashed or hasher(secrets.token_bytes(32)), clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await answering.shadows.close()

    app = Application(
        title="wheelwork gateway", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan,
        exception_handlers={HTTPException: _plainly, errors.ServingError: _told, Exception: _troubled},
    )  # fmt: skip
    for path in PATHS:
        asking = Asking(answering, path)
        app.hot[f"/v1/{path}"] = asking
        app.router.routes.append(Route(f"/v1/{path}", asking, methods=["POST"]))
    routes = Routes(hosting, traffic, settings.door, keys, figures, hooks, intents, clock)
    for described in DESCRIBED:
        app.add_api_route(
            described.path, getattr(routes, described.handler), methods=[described.method], response_model=None,
            include_in_schema=False,
        )  # fmt: skip
    app.openapi = cache(document)  # type: ignore[method-assign]
    app.front = Front(app.routed, settings.door, keys, figures)
    return app


class Application(FastAPI):
    """FastAPI behind the front, and beside the hot path: its own middleware costs more than ours altogether."""

    front: Front

    def __init__(self, **told: Any) -> None:
        super().__init__(**told)
        self.hot: dict[str, Asking] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.front(scope, receive, send)

    async def routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the front let in."""
        asking = self.hot.get(scope.get("path", ""))
        if asking is not None and scope["method"] == "POST":
            await asking(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Asking:
    """One of the two routes of questions, as plain ASGI: the hot path has no dependency injection."""

    def __init__(self, answering: Answering, path: Path) -> None:
        self._answering, self._path = answering, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answering(self._path, scope, receive, send, scope[CALLER])


async def _plainly(request: Request, error: Exception) -> Response:
    """What the router refuses, in OpenAI's form."""
    assert isinstance(error, HTTPException)
    words = {404: "there is no such path here", 405: "this path is not asked with this method"}
    told = errors.ServingError(error.status_code, words.get(error.status_code, "refused"), code="not_found")
    return await _told(request, told)


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ServingError)
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    return Response(error_body(error), error.status, headers, "application/json")


async def _troubled(request: Request, _: Exception) -> Response:
    """An error of ours, which the front logs."""
    return await _told(request, trouble(request.scope[REQUEST]))
