"""Which parameters of a body are passed on: those that a rule names, as far as they are what it says."""

import math
from collections.abc import Mapping
from typing import Any

from ...errors import ServingError
from .settings import Parameter, Rule, Scalar

_MISSING = object()


def parameters_of(rule: Rule, body: Mapping[str, Any]) -> dict[str, Scalar]:
    """The flow's parameters out of `body`. What no rule names is not looked at; null is as if it were not there.

    Raises ServingError (422) that names the field, never its value.
    """
    found: dict[str, Scalar] = {}
    for name, parameter in rule.parameters.items():
        value = _at(body, parameter.field)
        if value is _MISSING or value is None:
            if parameter.required:
                raise _unfit(parameter, "is missing")
            continue
        found[name] = _fitting(parameter, value)
    return found | rule.fixed


def _at(body: Any, field: str) -> Any:
    for name in field.split("."):
        if not isinstance(body, Mapping) or name not in body:
            return _MISSING
        body = body[name]
    return body


def _fitting(parameter: Parameter, value: Any) -> Scalar:
    if parameter.type == "boolean":
        if isinstance(value, bool):
            return value
        raise _unfit(parameter, "is neither true nor false")
    if parameter.type == "text":
        return _text(parameter, value)
    whole = parameter.type == "integer"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise _unfit(parameter, f"is no {'whole ' if whole else ''}number")
    least, most = parameter.least, parameter.most
    if (isinstance(value, float) and not math.isfinite(value)) or least is None or most is None:
        raise _unfit(parameter, "is no finite number")
    if not least <= value <= most:
        raise _unfit(parameter, f"is not within {least:g} and {most:g}")
    number: int | float = value
    return number


def _text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise _unfit(parameter, "is no text")
    if len(value) > parameter.longest:
        raise _unfit(parameter, f"has more than {parameter.longest} characters")
    if parameter.choices and value not in parameter.choices:
        raise _unfit(parameter, f"is none of {', '.join(parameter.choices)}")
    if not value.isprintable():  # control characters, lone surrogates, lines: nothing that belongs into a parameter
        raise _unfit(parameter, "holds characters that cannot be printed")
    return value


def _unfit(parameter: Parameter, what: str) -> ServingError:
    return ServingError(422, f"`{parameter.field}` {what}", code="invalid_parameter", param=parameter.field)
