"""What may be asked: OpenAI's request bodies, as far as they are honoured here. What is not honoured is refused.

The same types check a request and describe it in the OpenAPI document. Nothing in a body is a URL or a path.
"""

import re
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Required

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from ...errors import ServingError
from .settings import Limits

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
LARGEST_SCHEMA = 32_768  # characters of a JSON schema: engines make grammars of them
DEEPEST_SCHEMA = 32
MOST_REPEATED = 1000  # larger counts in a schema become grammars that take minutes and gigabytes
COUNTS = {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
NAME = re.compile(r"(?!(?:str|int|float|bool)$)[a-z][a-z_]{0,40}", re.ASCII)  # of a field, not of a kind in a union
NUL = re.compile(rb"\\u0000|\x00")

Identifier = Annotated[str, Field(min_length=1, max_length=256)]
Half = Annotated[float, Field(ge=-2, le=2)]


@with_config(STRICT)
class TextPart(TypedDict):
    """A piece of a message; only text is understood."""

    type: Literal["text"]
    text: str


@with_config(STRICT)
class AskedMessage(TypedDict):
    """One message; several text parts are joined by line breaks, `developer` is `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1, max_length=100)]


@with_config(STRICT)
class JsonSchema(TypedDict, total=False):
    """The schema that an answer keeps to."""

    name: Annotated[str, Field(max_length=64)]
    description: Annotated[str, Field(max_length=1024)]
    schema: dict[str, Any]
    strict: bool | None


@with_config(STRICT)
class ResponseFormat(TypedDict, total=False):
    """Free text, some JSON object, or one of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema


@with_config(STRICT)
class StreamOptions(TypedDict, total=False):
    include_usage: bool


@with_config(STRICT)
class Sampling(TypedDict, total=False):
    """What both routes know."""

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    top_p: Annotated[float, Field(gt=0, le=1)] | None
    presence_penalty: Half | None
    frequency_penalty: Half | None
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] | None
    stop: (
        Annotated[str, Field(min_length=1, max_length=256)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=4)]
        | None
    )
    n: Literal[1] | None
    stream: bool | None
    stream_options: StreamOptions | None
    user: Annotated[str, Field(max_length=256)] | None


@with_config(STRICT)
class ChatBody(Sampling, total=False):
    """Body of `POST /v1/chat/completions`."""

    model: Required[Identifier]
    messages: Required[Annotated[list[AskedMessage], Field(min_length=1)]]
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None
    response_format: ResponseFormat | None
    logprobs: bool | None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None


@with_config(STRICT)
class CompletionBody(Sampling, total=False):
    """Body of `POST /v1/completions`; one prompt at a time."""

    model: Required[Identifier]
    prompt: Required[str | Annotated[list[str], Field(min_length=1, max_length=1)]]


@with_config(STRICT)
class FeedbackBody(TypedDict, total=False):
    """Body of `POST /v1/feedback`: what a user said of the answer `id`; at least one of the four."""

    id: Required[Identifier]
    thumb: Literal["up", "down"] | None
    rating: Annotated[int, Field(ge=1, le=5)] | None
    correction: Annotated[str, Field(min_length=1, max_length=100_000)] | None
    comment: Annotated[str, Field(min_length=1, max_length=10_000)] | None


Path = Literal["chat/completions", "completions"]
BODIES: dict[Path, Any] = {"chat/completions": ChatBody, "completions": CompletionBody}
OURS = ("model", "stream", "stream_options", "user", "n", "max_completion_tokens")  # not for the engine


class Asked(NamedTuple):
    """A question that was checked: `body` is what an engine gets."""

    path: Path
    model: str
    body: dict[str, Any]
    messages: tuple[dict[str, Any], ...]
    user: str
    stream: bool
    include_usage: bool

    def checked(self, limits: Limits) -> "Asked":
        """With the limits of its loop: the longest answer where none was named. Raises ServingError (400)."""
        if len(self.messages) > limits.messages:
            raise _bad(f"{len(self.messages)} messages, and one question may have {limits.messages}", "messages")
        if (long := sum(len(message["content"]) for message in self.messages)) > limits.characters:
            raise _bad(
                f"the question has {long} characters, and one may have {limits.characters}; shorten it",
                "messages" if self.path == "chat/completions" else "prompt", "context_length_exceeded",
            )  # fmt: skip
        if (tokens := self.body.get("max_tokens")) is None:
            self.body["max_tokens"] = min(limits.default_tokens, limits.max_tokens)
        elif tokens > limits.max_tokens:
            raise _bad(f"`max_tokens` is {tokens}, and an answer may have {limits.max_tokens}", "max_tokens")
        return self


@cache
def reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read(kind: Any, text: bytes) -> Any:
    """The JSON `text` as `kind`. Raises ServingError (400), in a sentence that names the field and repeats no value."""
    try:
        body = reader(kind).validate_json(text)
    except ValidationError as error:
        raise _explained(error) from None
    if NUL.search(text) and _has_nul(body):
        raise _bad("a text holds the character U+0000, which no text needs; remove it", None)
    return body


def read_question(path: Path, text: bytes) -> Asked:
    """The body of a question. Raises ServingError (400)."""
    told = {name: one for name, one in read(BODIES[path], text).items() if one is not None}
    if (most := told.get("max_completion_tokens")) is not None and told.setdefault("max_tokens", most) != most:
        raise _bad("`max_tokens` and `max_completion_tokens` differ; give one of them", "max_completion_tokens")
    if told.get("stream_options") and not told.get("stream"):
        raise _bad("`stream_options` is for a streamed answer; set `stream` to true, or leave it out", "stream_options")
    body = {name: one for name, one in told.items() if name not in OURS}
    if path == "chat/completions":
        body["messages"] = list(map(_plain, told["messages"]))
        messages = tuple(body["messages"])
        _check_format(told)
    else:
        prompt = told["prompt"]
        body["prompt"] = prompt if isinstance(prompt, str) else prompt[0]
        messages = ({"role": "user", "content": body["prompt"]},)
    usage = bool((told.get("stream_options") or {}).get("include_usage"))
    return Asked(path, told["model"], body, messages, told.get("user", ""), bool(told.get("stream")), usage)


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    role, content = message["role"], message["content"]
    if not isinstance(content, str):
        content = "\n".join(part["text"] for part in content)
    return {"role": "system" if role == "developer" else role, "content": content}


def _check_format(body: dict[str, Any]) -> None:
    if "top_logprobs" in body and not body.get("logprobs"):
        raise _bad("`top_logprobs` needs `logprobs: true`", "top_logprobs")
    form = body.get("response_format") or {"type": "text"}
    if ("json_schema" in form) != (form.get("type") == "json_schema"):
        raise _bad("`json_schema` stands with `type: json_schema`, and only there", "response_format")
    if (schema := form.get("json_schema", {}).get("schema")) is not None:
        if len(str(schema)) > LARGEST_SCHEMA:
            raise _bad(f"a schema may have {LARGEST_SCHEMA} characters", "response_format")
        _check_schema(schema, 0)
    elif form.get("type") == "json_schema":
        raise _bad("`json_schema` needs a `schema`", "response_format")


def _check_schema(node: Any, depth: int) -> None:
    """Refuse what would fetch something, or become a grammar without end."""
    if depth > DEEPEST_SCHEMA:
        raise _bad(f"the schema is nested more than {DEEPEST_SCHEMA} deep", "response_format")
    if isinstance(node, list):
        for one in node:
            _check_schema(one, depth + 1)
    if not isinstance(node, dict):
        return
    for name, one in node.items():
        if name in ("$ref", "$dynamicRef") and not (isinstance(one, str) and one.startswith("#")):
            raise _bad("a `$ref` of the schema may only point into the schema itself (`#/…`)", "response_format")
        if name in COUNTS and isinstance(one, int | float) and one > MOST_REPEATED:
            raise _bad(f"`{name}` of the schema may be {MOST_REPEATED} at most", "response_format")
        if isinstance(one, int) and abs(one) >= 2**63:
            raise _bad("a number of the schema has more than 64 bits", "response_format")
        _check_schema(one, depth + 1)


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(map(_has_nul, value))


def _explained(error: ValidationError) -> ServingError:
    """The first problem, of those that lie deepest: of a text or a list of parts, the one that was meant."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    problem = max(problems, key=lambda one: (one["type"] == "json_invalid", len(one["loc"])))
    where = ".".join(str(part) for part in problem["loc"] if isinstance(part, int) or NAME.fullmatch(part))
    if problem["type"] == "json_invalid":
        return _bad("the body is not valid JSON in UTF-8", None, "invalid_json")
    if problem["type"] == "extra_forbidden":
        named = f"`{where}`" if isinstance(last := problem["loc"][-1], str) and NAME.fullmatch(last) else "a key of it"
        return _bad(f"{named} is not supported here; leave it out", where or None, "unsupported_parameter")
    if problem["type"] == "missing":
        return _bad(f"`{where}` is missing", where, "missing_required_parameter")
    if where.endswith("type") and where.startswith("messages"):
        return _bad("only parts of `type: text` are understood here, no images, sound or files", where)
    message = problem["msg"]
    return _bad(f"`{where or 'body'}`: {message[:1].lower()}{message[1:]}", where or None, "invalid_value")


def _bad(message: str, param: str | None, code: str | None = None) -> ServingError:
    return ServingError(400, message, param=param, code=code or "invalid_value")
