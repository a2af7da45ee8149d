"""Whether a teacher can be asked at all, found out before any work is done."""

import asyncio
import difflib
import json
from typing import Any

from ..errors import ConfigError, TeacherError
from ..samples import Message
from .messages import ChatRequest
from .openai import RETRIED, OpenAIChat
from .transport import ConnectionTrouble, Received

TRIES = 3
WAIT = 0.5
TINY = ChatRequest(messages=(Message(role="user", content="Say yes."),), max_tokens=1)


async def reachable(chat: OpenAIChat) -> None:
    """Ask the endpoint one tiny thing: its list of models, or, if the model is not in it, for one token.

    Raises TeacherError when it does not answer, ConfigError when it refuses the key or does not know the model.
    """
    name = f"the teacher `{chat.model}` at {chat.base_url}"
    listed = await _ask(chat, name, "GET", "/models")
    known = _models(listed)
    if chat.model in known:
        return
    answer = await _ask(chat, name, "POST", "/chat/completions", chat.body(TINY))
    if 200 <= answer.status < 300:
        return
    problem = f"HTTP {answer.status}: {answer.text[:200]}"
    if answer.status == 404 or (answer.status in (400, 422) and "model" in answer.text.lower()):
        near = difflib.get_close_matches(chat.model, known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"it lists: {', '.join(known[:10])}" if known else ""
        raise ConfigError(f"{name}: the endpoint does not serve this model ({problem}); {hint or 'check its name'}")
    if answer.status in RETRIED:
        raise TeacherError(f"{name}: is up, but answers no call now ({problem}); wait, or check the account's limits")
    raise TeacherError(f"{name}: refused a call of one token ({problem}); check the address and the model's name")


async def _ask(chat: OpenAIChat, name: str, method: str, path: str, body: bytes = b"") -> Received:
    """What the endpoint answers at the last of a few tries. Raises when none comes, or the key is refused."""
    for tries_left in reversed(range(TRIES)):
        try:
            received = await chat.exchange(method, path, body)
        except ConnectionTrouble as trouble:
            if not tries_left:
                raise TeacherError(
                    f"{name}: cannot be reached ({trouble}); start the endpoint, or mend its address"
                ) from None
        else:
            if received.status in (401, 403):
                raise ConfigError(
                    f"{name}: refuses the key (HTTP {received.status}); set the variable that `api_key_env` names"
                )
            if received.status not in RETRIED or not tries_left:
                return received
        await asyncio.sleep(WAIT)
    raise AssertionError("the last try returns or raises")


def _models(listed: Received) -> list[str]:
    """The names that a list of models holds; empty when it is none."""
    try:
        payload: Any = json.loads(listed.body)
        return [str(model["id"]) for model in payload["data"]] if listed.status == 200 else []
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
