"""A request in OpenAI's form as rows of tokens to go on from, and such rows as a reply, for engines in this process."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import ServingError
from .base import Body, Route

LARGEST_SEED = 2**63
MOST_CHOICES = 64
# what would change the answer, and is refused rather than passed over
UNKNOWN = ("tools", "functions", "logprobs", "top_logprobs", "logit_bias", "echo", "suffix", "best_of")
PENALTIES = ("presence_penalty", "frequency_penalty")

Templated = Callable[[list[dict[str, str]]], list[int]]


class Wanted(NamedTuple):
    """One answer: the tokens that it follows, and how it is drawn."""

    prompt: list[int]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]


class Written(NamedTuple):
    """One answer, or a piece of it; `finish` is None while there is more to come."""

    choice: int
    text: str
    finish: str | None
    tokens: int = 0


def wanted(
    path: Route, body: Body, template: Templated, encode: Callable[[str], list[int]], context: int
) -> list[Wanted]:
    """The answers that a request wants, those to one prompt beside each other.

    Raises ServingError (400) for what cannot be done, and for a prompt that leaves no room in `context` tokens.
    """
    _refuse(body)
    choices = _number(body, "n", 1, 1, MOST_CHOICES)
    seed = body.get("seed")
    seed = secrets.randbelow(LARGEST_SEED) if seed is None else int(seed) % LARGEST_SEED
    stop = body.get("stop") or ()
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or context
    rows = []
    for prompt in [template(_messages(body))] if path == "chat/completions" else _prompts(body, encode):
        if (room := context - len(prompt)) < 1:
            raise ServingError(
                400, f"the prompt has {len(prompt)} tokens, and with the answer at most {context} fit; shorten it",
                code="context_length_exceeded", param="messages" if path == "chat/completions" else "prompt",
            )  # fmt: skip
        rows += [
            Wanted(
                prompt=prompt,
                max_tokens=min(room, int(limit)),
                temperature=float(_given(body, "temperature", 1.0)),
                top_p=float(_given(body, "top_p", 1.0)),
                seed=seed + number,
                stop=(stop,) if isinstance(stop, str) else tuple(stop),
            )
            for number in range(choices)
        ]
    return rows


def reply(path: Route, name: str, rows: Sequence[Wanted], done: Mapping[int, Written]) -> dict[str, Any]:
    """The whole reply; `done` has every row by its index."""
    chat = path == "chat/completions"
    return _frame(path, name, "chat.completion" if chat else "text_completion") | {
        "choices": [
            {
                "index": index,
                **({"message": {"role": "assistant", "content": one.text}} if chat else {"text": one.text}),
                "logprobs": None,
                "finish_reason": one.finish,
            }
            for index, one in sorted(done.items())
        ],
        "usage": _usage(rows, done.values()),
    }


class Chunks:
    """The chunks of one streamed reply."""

    def __init__(self, path: Route, name: str) -> None:
        self._chat = path == "chat/completions"
        self._frame = _frame(path, name, "chat.completion.chunk" if self._chat else "text_completion")

    def first(self, index: int) -> dict[str, Any]:
        """Whose turn it is; a completion has nothing to say about that."""
        return self._chunk(index, {"delta": {"role": "assistant", "content": ""}}, None)

    def piece(self, written: Written) -> dict[str, Any]:
        said = {"content": written.text} if written.text else {}
        return self._chunk(written.choice, {"delta": said} if self._chat else {"text": written.text}, written.finish)

    def last(self, rows: Sequence[Wanted], done: Iterable[Written]) -> dict[str, Any]:
        """What it cost."""
        return self._frame | {"choices": [], "usage": _usage(rows, done)}

    def _chunk(self, index: int, said: dict[str, Any], finish: str | None) -> dict[str, Any]:
        return self._frame | {"choices": [{"index": index, **said, "logprobs": None, "finish_reason": finish}]}


def _frame(path: Route, name: str, kind: str) -> dict[str, Any]:
    id = f"{'chatcmpl' if path == 'chat/completions' else 'cmpl'}-{secrets.token_hex(12)}"
    return {"id": id, "object": kind, "created": int(time.time()), "model": name}


def _usage(rows: Sequence[Wanted], done: Iterable[Written]) -> dict[str, int]:
    """Each prompt counts once, however many choices there are, as OpenAI counts."""
    prompts = sum(len(prompt) for prompt in {id(row.prompt): row.prompt for row in rows}.values())
    answers = sum(one.tokens for one in done)
    return {"prompt_tokens": prompts, "completion_tokens": answers, "total_tokens": prompts + answers}


def _refuse(body: Body) -> None:
    for name in UNKNOWN:
        if body.get(name):
            raise ServingError(400, f"the transformers engine does not know `{name}`; leave it out", param=name)
    for name in PENALTIES:
        if body.get(name):
            raise ServingError(400, f"the transformers engine does not know `{name}`; set it to 0", param=name)
    if ((body.get("response_format") or {}).get("type") or "text") != "text":
        raise ServingError(
            400, "the transformers engine cannot hold a reply to a JSON schema; llamacpp and vllm can",
            param="response_format",
        )  # fmt: skip


def _given(body: Body, name: str, default: float) -> Any:
    return default if (value := body.get(name)) is None else value


def _number(body: Body, name: str, default: int, least: int, most: int) -> int:
    if not least <= (value := int(_given(body, name, default))) <= most:
        raise ServingError(400, f"`{name}` is {value}; it must be between {least} and {most}", param=name)
    return value


def _messages(body: Body) -> list[dict[str, str]]:
    return [{"role": str(one.get("role")), "content": _text(one.get("content"))} for one in body.get("messages") or ()]


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = [part for part in content if isinstance(part, dict)]
    if len(parts) != len(content) or any(part.get("type") != "text" for part in parts):
        raise ServingError(400, "the transformers engine takes text, no pictures or sounds", param="messages")
    return "".join(str(part.get("text") or "") for part in parts)


def _prompts(body: Body, encode: Callable[[str], list[int]]) -> list[list[int]]:
    """A text, tokens, or a list of either."""
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return [encode(prompt)]
    given = list(prompt or ())
    if given and all(isinstance(one, int) for one in given):
        given = [given]
    prompts = [encode(one) if isinstance(one, str) else list(one) for one in given]
    if not prompts or not all(prompts) or len(prompts) > MOST_CHOICES:
        raise ServingError(400, f"`prompt` is a text, or a list of 1 to {MOST_CHOICES} of them", param="prompt")
    return prompts
