"""The base of every setting, and reading YAML into settings with errors a user can act on."""

import difflib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ConfigError


class Setting(BaseModel):
    """A frozen model that refuses unknown keys; a component *is* its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


S = TypeVar("S", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """Parse one YAML file. Raises ConfigError with the line of a syntax error."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; `wheelwork init` makes a loop") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{path}:{line}: this is not valid YAML: {error.problem}") from None


def parse(model: type[S], data: Any, where: str) -> S:
    """Validate `data` as `model`; ConfigError names `where`, the key, and the nearest valid key."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected `key: value` settings, found {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_explain(model, problem) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(problems)) from None


def _explain(model: type[BaseModel], problem: Any) -> str:
    location = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = sorted(_fields_at(model, problem["loc"][:-1]))
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
        return f"unknown key `{location}`; {hint}"
    if problem["type"] == "missing":
        return f"`{location}` is missing"
    shown = "" if isinstance(problem["input"], dict | list) else f" (found {problem['input']!r})"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"`{location}`: {message[:1].lower()}{message[1:]}{shown}" if location else message


def _fields_at(annotation: Any, location: tuple[Any, ...]) -> set[str]:
    """Names of the fields that may stand at `location` below a type, through unions, lists and mappings."""
    models = list(_models_in(annotation))
    if not location:
        return {name for model in models for name in model.model_fields}
    head, rest = location[0], location[1:]
    below = [model.model_fields[head].annotation for model in models if head in model.model_fields]
    if below:
        return {name for child in below for name in _fields_at(child, rest)}
    # a list index, a mapping key, or the tag of a discriminated union: stay, with the union narrowed by the tag
    tagged = [m for m in models if "kind" in m.model_fields and head in get_args(m.model_fields["kind"].annotation)]
    return {name for model in (tagged or models) for name in _fields_at(model, rest)}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Annotated, list, tuple, dict):
        return [model for part in get_args(annotation) for model in _models_in(part)]
    return []
