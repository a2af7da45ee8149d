"""The OpenAPI document: what can be asked, with examples; its bodies are described by the types that check them."""

from typing import Any, NamedTuple

from .bodies import ChatBody, CompletionBody, FeedbackBody, reader

REFERENCE = "#/components/schemas/{model}"
TEXT, NUMBER, WHOLE, ANY = {"type": "string"}, {"type": "number"}, {"type": "integer"}, {"type": "object"}


class Described(NamedTuple):
    """A route, its handler's name in `Routes` (none: a question), and what the document says of it."""

    method: str
    path: str
    handler: str
    summary: str
    answers: dict[int, Any]  # by status the name of a schema, or a schema
    refusals: tuple[int, ...] = ()
    body: Any = None
    example: Any = None
    parameters: tuple[dict[str, Any], ...] = ()
    open: bool = False  # whether it is asked without a key


def _in(where: str, name: str, schema: dict[str, Any], example: Any, what: str) -> dict[str, Any]:
    return {
        "in": where, "name": name, "required": where == "path", "schema": schema, "example": example,
        "description": what,
    }  # fmt: skip


NAME = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9@_-]+$"}
WHO = (
    _in("header", "x-wheelwork-user", TEXT | {"pattern": "^[!-~]{1,256}$"}, "user-42", "who asks; only a hash is kept"),
    _in(
        "header", "x-wheelwork-conversation", TEXT | {"pattern": "^[!-~]{1,256}$"}, "c-7", "which conversation it is of"
    ),
)
DENIED, ASKED = (401, 403, 421), (400, 401, 403, 408, 413, 415, 421, 429, 431, 503)
CHAT = {
    "model": "router",
    "messages": [{"role": "user", "content": "My router restarts every evening."}],
    "temperature": 0,
    "max_tokens": 16,
}
COMPLETION = {"model": "router@v7", "prompt": "My router restarts every evening.", "max_tokens": 16}
FEEDBACK = {"id": "chatcmpl-0f3a", "thumb": "down", "correction": "no_internet"}

QUESTIONS = (
    Described(
        "POST", "/v1/chat/completions", "", "Ask a model", {200: "ChatCompletion"}, (*ASKED, 404, 500, 502, 504),
        ChatBody, CHAT, WHO,
    ),
    Described(
        "POST", "/v1/completions", "", "Let a model go on with a text", {200: "Completion"},
        (*ASKED, 404, 500, 502, 504),
        CompletionBody, COMPLETION, WHO,
    ),
)  # fmt: skip
DESCRIBED = (
    Described("GET", "/v1/models", "models", "Loops and versions that can be asked", {200: "Models"}, DENIED),
    Described(
        "GET", "/v1/models/{id}", "model", "One model", {200: "Model"}, (*DENIED, 404),
        parameters=(_in("path", "id", NAME, "router@v7", "a loop, `loop@v7`, `loop@base`, or `base`"),),
    ),
    Described(
        "POST", "/v1/feedback", "feedback", "Say what a user thought of an answer", {202: "FeedbackAccepted"},
        (400, 401, 403, 404, 408, 413, 415, 421, 431, 503), FeedbackBody, FEEDBACK,
    ),
    Described(
        "GET", "/v1/intents", "intents", "Labels of recent questions", {200: "Intents"}, (*DENIED, 400, 404, 503),
        parameters=(
            _in("query", "loop", NAME, "router", "which loop; may be left out where one is served"),
            _in("query", "hours", NUMBER | {"minimum": 1, "maximum": 720}, 24, "how far to look back"),
            _in("query", "limit", WHOLE | {"minimum": 1, "maximum": 1000}, 50, "how many labels at most"),
        ),
    ),
    Described(
        "POST", "/hooks/{loop}", "hook", "A webhook, signed by Standard Webhooks or GitHub's way", {202: ANY, 200: ANY},
        (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 431, 503), ANY, {"samples": 200},
        (_in("path", "loop", NAME, "router", "the loop"),), open=True,
    ),
    Described("GET", "/healthz", "alive", "Whether the gateway runs", {200: "State"}, open=True),
    Described("GET", "/readyz", "ready", "Whether it can do its work", {200: "Ready", 503: "Ready"}, open=True),
    Described("GET", "/metrics", "metrics", "Figures for Prometheus", {200: TEXT}, (*DENIED, 503)),
)  # fmt: skip


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _said(choice: dict[str, Any]) -> dict[str, Any]:
    usage = _object(prompt_tokens=WHOLE, completion_tokens=WHOLE, total_tokens=WHOLE)
    return _object(
        id=TEXT, object=TEXT, created=WHOLE, model=TEXT, system_fingerprint=TEXT, choices=_list(choice), usage=usage
    )


NULLABLE = {"type": ["string", "null"]}
SCHEMAS: dict[str, Any] = {
    "Error": _object(error=_object(message=TEXT, type=TEXT, param=NULLABLE, code=NULLABLE)),
    "ChatCompletion": _said(_object(index=WHOLE, message=_object(role=TEXT, content=TEXT), finish_reason=TEXT)),
    "Completion": _said(_object(index=WHOLE, text=TEXT, finish_reason=TEXT)),
    "Model": _object(id=TEXT, object=TEXT, created=WHOLE, owned_by=TEXT),
    "Models": _object(object=TEXT, data=_list({"$ref": REFERENCE.format(model="Model")})),
    "FeedbackAccepted": _object(object=TEXT, id=TEXT, accepted=_list(TEXT)),
    "Intents": _object(object=TEXT, loop=TEXT, data=_list(_object(label=TEXT, count=WHOLE, latest=NUMBER))),
    "State": _object(status=TEXT),
    "Ready": _object(status=TEXT, parts=_list(_object(part=TEXT, state=TEXT))),
}


def document() -> dict[str, Any]:
    """The whole document."""
    schemas, paths = dict(SCHEMAS), dict[str, Any]()
    for one in (*QUESTIONS, *DESCRIBED):
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wheelwork gateway",
            "version": "1",
            "description": "OpenAI's protocol for loops. A streamed answer is server-sent events.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(one: Described, schemas: dict[str, Any]) -> dict[str, Any]:
    refused = {str(status): _answer({"$ref": REFERENCE.format(model="Error")}) for status in one.refusals}
    answers = {str(status): _answer(_schema(told), one) for status, told in one.answers.items()}
    told: dict[str, Any] = {
        "operationId": one.handler or one.path.rpartition("/v1/")[2].replace("/", "_"),
        "summary": one.summary,
        "responses": refused | answers,
        "security": [] if one.open else [{}, {"key": []}],  # without a key as long as there is none
    }
    if one.parameters:
        told["parameters"] = list(one.parameters)
    if one.body is not None:
        schema = one.body if isinstance(one.body, dict) else _taken(one.body, schemas)
        content = {"application/json": {"schema": schema, "example": one.example}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _taken(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = reader(kind).json_schema(ref_template=REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    schemas[kind.__name__] = schema
    return {"$ref": REFERENCE.format(model=kind.__name__)}


def _schema(told: Any) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(model=told)} if isinstance(told, str) else told


def _answer(schema: dict[str, Any], of: Described | None = None) -> dict[str, Any]:
    kinds = ["text/plain"] if of is not None and of.path == "/metrics" else ["application/json"]
    content = {kind: {"schema": schema} for kind in kinds}
    if of in QUESTIONS:
        content["text/event-stream"] = {"schema": TEXT}
    return {"description": "an error" if of is None else of.summary, "content": content}
