"""The base of every setting, and reading YAML into settings with errors a user can act on."""

import difflib
import re
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml.reader import ReaderError

from .errors import ConfigError
from .text import in_words, nearest


class Setting(BaseModel):
    """A frozen model that refuses unknown keys; a component *is* its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


S = TypeVar("S", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """Parse one YAML file. Raises ConfigError with the line of a syntax error or of a key that stands twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; `wheelwork init` makes a loop") from None
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    try:
        _refuse_twins(yaml.compose(text, Loader=yaml.SafeLoader), set())
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{path}:{line}: this is not valid YAML: {error.problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: this is not valid YAML: {error.reason}") from None
    except ValueError as error:  # a date that is none
        raise ConfigError(f"{path}: this is not valid YAML: {error}") from None


def parse(model: type[S], data: Any, where: str) -> S:
    """Validate `data` as `model`; ConfigError names `where`, the key, and the nearest valid key."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected `key: value` settings, found {in_words(data)}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_explain(model, problem) for problem in _own(error.errors())]
        raise ConfigError(f"{where}: " + "; ".join(problems)) from None


def _own(problems: list[Any]) -> list[Any]:
    """`problems` without those that are there only because of another: a list too short as an entry of it is wrong, a
    default that could not be worked out."""
    wrong = {problem["loc"][:-1] for problem in problems}
    return [
        problem
        for problem in problems
        if problem["type"] != "default_factory_not_called"
        and (problem["type"] != "too_short" or problem["loc"] not in wrong)
    ]


def _explain(model: type[BaseModel], problem: Any) -> str:
    location = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = sorted(_fields_at(model, problem["loc"][:-1]))
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
        return f"unknown key `{location}`; {hint}"
    if problem["type"] == "union_tag_invalid":
        known = re.findall(r"'([^']+)'", problem["ctx"]["expected_tags"])
        tag, key = problem["ctx"]["tag"], problem["ctx"]["discriminator"].strip("'")
        return f"`{location}.{key}`: there is no `{tag}`; {nearest(tag, known)}"
    if problem["type"] == "missing":
        return f"`{location}` is missing"
    if problem["type"] == "union_tag_not_found":
        return f"`{location}.kind` is missing"
    shown = "" if isinstance(problem["input"], dict | list) else f" (found {problem['input']!r})"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"`{location}`: {message[:1].lower()}{message[1:]}{shown}" if location else message


def _fields_at(annotation: Any, location: tuple[Any, ...]) -> set[str]:
    """Names of the fields that may stand at `location` below a type, through unions, lists and mappings."""
    head, rest = (location[0], location[1:]) if location else (None, ())
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        if not location:
            return set(fields)
        if head in fields:
            return _fields_at(fields[head].annotation, rest)
        # the tag of a discriminated union stands in the location: stay, if it is this model's
        tagged = "kind" in fields and head in get_args(fields["kind"].annotation)
        return _fields_at(annotation, rest) if tagged else set()
    parts, origin = get_args(annotation), get_origin(annotation)
    if origin in (Union, UnionType, Annotated):
        return {name for part in parts for name in _fields_at(part, location)}
    if origin in (list, tuple, dict) and location:  # the head is an index or a key
        return {name for part in parts for name in _fields_at(part, rest)}
    return set()


def _refuse_twins(node: yaml.Node | None, seen: set[int]) -> None:
    """Raises yaml's own error for a key that stands twice in one mapping, of which YAML would keep the last."""
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    seen.add(id(node))  # an alias may lead back here
    keys: set[str] = set()
    for inner in node.value:
        key, value = inner if isinstance(node, yaml.MappingNode) else (None, inner)
        if isinstance(key, yaml.ScalarNode):
            if key.value in keys:
                raise yaml.MarkedYAMLError(problem=f"the key `{key.value}` stands twice", problem_mark=key.start_mark)
            keys.add(key.value)
        _refuse_twins(value, seen)
