"""What every request passes: an id, a host that is ours, a key, room; then errors and headers on the way back."""

import logging
from collections.abc import Mapping

from ...errors import ServingError
from .draws import drawn
from .keys import Caller, Keys
from .metrics import Figures
from .replies import SAFE, TROUBLE, App, Message, Receive, Scope, Send, header, send_error
from .settings import Door

OPEN = "open"
NEEDS: Mapping[str, str] = {  # by the beginning of the path: the scope of a key, or open to all
    "/v1/chat/completions": "chat",
    "/v1/completions": "chat",
    "/v1/models": "chat",
    "/v1/feedback": "feedback",
    "/v1/intents": "admin",
    "/metrics": "admin",
    "/healthz": OPEN,
    "/readyz": OPEN,
    "/openapi.json": OPEN,
}
HOOKS = "/hooks/"  # signed, each by its own secret
CALLER, REQUEST = "wheelwork.caller", "wheelwork.request"  # in an ASGI scope
OURS = ("localhost", "127.0.0.1", "[::1]", "::1")
log = logging.getLogger(__name__)


class Front:
    """The one middleware, in plain ASGI: nothing is wrapped in tasks or copied, so that it costs next to nothing."""

    def __init__(self, app: App, door: Door, keys: Keys, figures: Figures) -> None:
        self._app, self._door, self._keys, self._figures = app, door, keys, figures
        self._under_way = 0
        figures.in_flight.set_function(lambda: self._under_way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, status, ended = f"req_{drawn(12)}", 0, False

        async def answer(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *SAFE, (b"x-request-id", request.encode())]
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        self._under_way += 1
        try:
            scope[CALLER], scope[REQUEST] = self._let_in(scope), request
            await self._app(scope, receive, answer)
        except ServingError as error:
            if not status and error.status != 499:
                await send_error(answer, error)
            status = status or error.status
        except Exception:
            log.exception("request %s: %s %s", request, scope["method"], route_of(scope["path"]))
            if status and not ended:
                raise  # half an answer is out; the server closes the connection
            if not status:
                await send_error(answer, trouble(request))
        finally:
            self._under_way -= 1
            self._figures.request(route_of(scope["path"]), status)

    def _let_in(self, scope: Scope) -> Caller:
        """Raises ServingError: 401, 403, 415, 421, 503."""
        path = scope["path"]
        need = OPEN if path.startswith(HOOKS) else NEEDS.get(route_of(path), "chat")
        if need is OPEN and not path.startswith(HOOKS):
            return Caller("", ())
        if self._under_way > self._door.in_flight:
            raise ServingError(503, "too many requests are under way here", type="server_error", retry_after=1)
        if need is OPEN:
            return Caller("", ())
        if not self._keys.needed:
            check_host(header(scope, b"host"))
        caller = self._keys.caller(token_of(header(scope, b"authorization")))
        if need not in caller.scopes:
            raise ServingError(
                403, f"this key has no scope `{need}`; ask for one that has", type="permission_error",
                code="insufficient_scope",
            )  # fmt: skip
        if scope["method"] == "POST" and not header(scope, b"content-type").lower().startswith("application/json"):
            raise ServingError(415, "send the body as JSON, with `Content-Type: application/json`")
        return caller


def trouble(request: str) -> ServingError:
    """An error of ours, as a caller is told of it: where it stands in the log, and nothing else."""
    return ServingError(500, f"{TROUBLE} (request {request})", type="server_error")


def token_of(authorization: str) -> str | None:
    """The token of `Authorization: Bearer …`; None for anything else."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def check_host(host: str) -> None:
    """Without keys only this machine asks: a name that was made to point here is a page that reads along.

    Raises ServingError (421).
    """
    name = host if host.endswith("]") or host == "::1" else host.rpartition(":")[0] or host
    if name.lower() not in OURS:
        raise ServingError(421, "without API keys this gateway answers to localhost alone; ask 127.0.0.1")


def route_of(path: str) -> str:
    """The route of a path, for figures and logs: one of a few, whatever is asked."""
    if path in NEEDS:
        return path
    if path.startswith(HOOKS):
        return "/hooks/{loop}"
    return "/v1/models" if path.startswith("/v1/models/") else "other"
