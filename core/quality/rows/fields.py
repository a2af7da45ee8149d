"""Fields of tables: values of a sample beside its messages, which stand as text in its `controls`."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Literal

from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ...text import folded
from ..context import FunnelContext, Judgements

Type = Literal["text", "number", "integer", "boolean", "date"]

NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
INTEGER = re.compile(r"[-+]?[0-9]+")
TRUTHS = frozenset(("true", "false", "yes", "no", "0", "1", "是", "否"))
SAYS_NOTHING = (
    "",
    "-",
    "--",
    "?",
    "na",
    "n/a",
    "nan",
    "nil",
    "none",
    "null",
    "missing",
    "unknown",
    "无",
    "未知",
    "缺失",
)


class Fields(Setting):
    """Drop a sample that lacks a field it must have, or has one of another type than it should.

    A field is an entry of the sample's `controls`, where imports put the columns of a table, as text. A value that
    says nothing, such as `n/a`, counts as missing. With `fill` a missing field gets that value and the sample is kept.
    """

    kind: Literal["fields"] = "fields"
    required: dict[str, Type] = Field({}, description="field → type; a sample without one of them is dropped")
    optional: dict[str, Type] = Field({}, description="field → type, where the field is there")
    fill: dict[str, str] = Field({}, description="field → the value that is written where it is missing")
    missing: tuple[str, ...] = Field(SAYS_NOTHING, description="values that say nothing, in any case")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        nothing = frozenset(folded(value).strip() for value in self.missing)
        changed: dict[int, Sample] = {}
        reasons = []
        for row, sample in enumerate(batch):
            values = {name: value for name, value in sample.controls.items() if folded(value).strip() not in nothing}
            if filled := {name: value for name, value in self.fill.items() if name not in values}:
                changed[row] = sample.model_copy(update={"controls": sample.controls | filled})
            reasons.append(self._reason(values | filled))
        return Judgements(reasons, changed=changed)

    def _reason(self, values: Mapping[str, str]) -> str | None:
        if any(name not in values for name in self.required):
            return "missing_field"
        types = self.optional | self.required
        wrong = any(name in values and not IS_OF[kind](values[name].strip()) for name, kind in types.items())
        return "wrong_type" if wrong else None


def number_in(value: str | None) -> float | None:
    """The finite number that `value` is, written with a point and without thousands signs; None for other text."""
    if value is None or not NUMBER.fullmatch(value.strip()):
        return None
    number = float(value)
    return number if isfinite(number) else None


def _is_date(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


IS_OF: dict[Type, Callable[[str], bool]] = {
    "text": bool,
    "number": lambda value: number_in(value) is not None,
    "integer": lambda value: INTEGER.fullmatch(value) is not None,
    "boolean": lambda value: value.casefold() in TRUTHS,
    "date": _is_date,  # ISO 8601, with or without a time
}
