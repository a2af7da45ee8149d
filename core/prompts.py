"""Prompt templates: Markdown with a YAML head, rendered strictly.

    ---
    name: write
    version: 1
    task: qa
    language: en
    purpose: have an instructed model write one question and its answer
    variables: [setting, topic]
    output: {question: one question of a customer, answer: the answer in a sentence}
    ---
    # system
    …
    # user
    …

A heading opens one message of that role; `{{ variable }}` is Jinja2. A variable that stands in the head and not in
the body, or the other way round, or that nobody gives, is an error that names the template. What varies most stands
last, so that an engine can reuse the prefix it has already read.
"""

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import orjson
import yaml
from jinja2 import StrictUndefined, TemplateError, meta
from jinja2.sandbox import SandboxedEnvironment
from pydantic import Field

from .digests import digest_of
from .errors import ConfigError
from .samples import Message
from .settings import Setting, parse

HEAD = re.compile(r"\A---\n(?P<head>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)
TURN = re.compile(r"^# (?P<role>system|user|assistant)[ \t]*(?:\n|\Z)", re.MULTILINE)
REMEMBERED = 256  # renderings of one text
# sandboxed: a loop's folder, templates and all, may come from somebody else
_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)


class Head(Setting):
    """What a template says of itself."""

    name: str = Field(description="the file's name without its ending")
    task: str = Field(description="the task it serves")
    language: str = Field(description="ISO 639-1 code of the text it asks for")
    purpose: str = Field(description="what it is for, in one line")
    version: int = Field(1, ge=1, description="raised when the wording changes what comes back")
    variables: tuple[str, ...] = Field((), description="what must be given to render it")
    output: Literal["text", "fields"] | dict[str, Any] = Field(
        "text",
        description="what comes back: text as it stands, labelled fields, {key: description} or a JSON schema",
    )


class Template(Setting):
    """One prompt, as a list of messages to be filled in."""

    head: Head
    turns: tuple[tuple[Literal["system", "user", "assistant"], str], ...]
    digest: str

    def render(self, **values: Any) -> tuple[Message, ...]:
        """The messages with every variable filled in. Raises ConfigError naming the template."""
        if wrong := set(values) ^ set(self.head.variables):
            raise ConfigError(
                f"template `{self.head.name}`: {', '.join(sorted(wrong))} missing or not a variable of it"
            )
        try:
            return tuple(_message(role, text.fill(values)) for role, text in self._texts)
        except Exception as error:  # an expression in a template may raise anything, and it is the template's mistake
            raise ConfigError(f"template `{self.head.name}`: {error}") from error

    def fill(self, offered: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages, with those of the `offered` values that the template names. Raises ConfigError as `render`."""
        return self.render(**{name: offered[name] for name in self.head.variables if name in offered})

    @property
    def leaves_open(self) -> bool:
        """Whether the model goes on from an assistant's turn, instead of answering a user's."""
        return self.turns[-1][0] == "assistant"

    @cached_property
    def output_schema(self) -> dict[str, Any] | None:
        """JSON schema of the reply; None for plain text and labelled fields."""
        output = self.head.output
        if isinstance(output, str):
            return None
        if "type" in output:
            return output
        properties = {key: {"type": "string", "description": str(what)} for key, what in output.items()}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    @cached_property
    def _texts(self) -> "list[tuple[Any, _Text]]":
        return [(role, _Text(text)) for role, text in self.turns]


@lru_cache(maxsize=REMEMBERED)
def _message(role: Any, content: str) -> Message:
    return Message(role=role, content=content)


class _Text:
    """One compiled text. System prompts, rules and what is trained on are alike row after row, so the last are kept."""

    def __init__(self, text: str) -> None:
        self._template = _ENVIRONMENT.from_string(text)
        self._template.globals = dict(self._template.globals)  # a chain of mappings, which each rendering would copy
        self._names = sorted(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)))
        self._rendered: dict[bytes, str] = {}

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text with `values`, without outer spaces. Raises whatever an expression in it raises."""
        try:
            key = orjson.dumps({name: values[name] for name in self._names if name in values})
        except TypeError:  # a value that is no JSON
            return str(self._template.render(values)).strip()
        if (known := self._rendered.get(key)) is None:
            known = str(self._template.render(values)).strip()
            if len(self._rendered) >= REMEMBERED:
                self._rendered.clear()
            self._rendered[key] = known
        return known


def parse_template(text: str, where: str) -> Template:
    """Read a template from its text. Raises ConfigError when head, turns or variables are not in order."""
    match = HEAD.match(text)
    if match is None:
        raise ConfigError(f"{where}: a template begins with a YAML head between two lines of `---`")
    try:
        head = parse(Head, yaml.safe_load(match["head"]), where)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: the head is not valid YAML ({error})") from None
    parts = TURN.split(match["body"])
    if len(parts) < 3 or parts[0].strip():
        raise ConfigError(f"{where}: the body is made of `# system`, `# user` and `# assistant` parts, nothing before")
    turns = tuple((cast(Any, role), body.strip()) for role, body in zip(parts[1::2], parts[2::2], strict=True))
    try:
        used = set().union(*(meta.find_undeclared_variables(_ENVIRONMENT.parse(body)) for _, body in turns))
    except TemplateError as error:
        raise ConfigError(f"{where}: {error}") from None
    if wrong := used ^ set(head.variables):
        raise ConfigError(f"{where}: {', '.join(sorted(wrong))} stands in the head or in the body, but not in both")
    template = Template(head=head, turns=turns, digest=digest_of([turns, head.name, head.version, head.output]))
    _check_schema(template, where)
    return template


def _check_schema(template: Template, where: str) -> None:
    if (schema := template.output_schema) is None:
        return
    import jsonschema  # 0.2 s, and most templates have none

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigError(f"{where}: `output` is no JSON schema: {error.message}") from None


def load_template(task: str, name: str, language: str = "en", overrides: Path | None = None) -> Template:
    """The template `prompts/<language>/<task>/<name>.md`, from the loop's own `prompts/` first."""
    return parse_template(*_text(Path(language) / task / f"{name}.md", overrides, "template"))


def load_phrases(language: str = "en", overrides: Path | None = None) -> dict[str, Any]:
    """The sentences of `prompts/<language>/rules.yaml`, from the loop's own `prompts/` first."""
    text, where = _text(Path(language) / "rules.yaml", overrides, "file of rules")
    try:
        phrases = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: this is not valid YAML ({error})") from None
    if not isinstance(phrases, dict):
        raise ConfigError(f"{where}: expected lines of `name: sentence`")
    return phrases


def phrase(text: str, where: str, **values: Any) -> str:
    """One sentence with its variables filled in. Raises ConfigError naming `where`."""
    try:
        return _compiled(text).fill(values)
    except Exception as error:
        raise ConfigError(f"{where}: {error}") from error


@lru_cache(maxsize=512)
def _compiled(text: str) -> _Text:
    """A sentence stands in every row's prompt; compiling it each time took more than half of a call's time."""
    return _Text(text)


def _text(relative: Path, overrides: Path | None, what: str) -> tuple[str, str]:
    """The text of a prompt file and its name for errors."""
    if overrides is not None and (overrides / relative).is_file():
        path = overrides / relative
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    packaged = resources.files("wheelwork.prompts").joinpath(relative.as_posix())
    if not packaged.is_file():
        raise ConfigError(f"there is no {what} `{relative}`; put one into the loop's prompts/ folder")
    return packaged.read_text(encoding="utf-8"), f"prompts/{relative}"
