"""JSON objects in a reply, in order, those that are whole before those that json_repair has to mend."""

import json
import re
from collections.abc import Iterator
from typing import Any

import json_repair

# not strict: a line break in a string is what models write most
WHOLE = json.JSONDecoder(strict=False)
MOST_BRACKETS = 200  # json_repair takes time that grows with the square of those that stay open
LONGEST = 100_000  # characters
FURTHEST = 50  # places where an object may begin

LIST = re.compile(r"\[\s*\{")
TOKEN = re.compile(r'"(?:\\.?|[^"\\])*(?:"|\Z)|[{}\[\]]', re.DOTALL)  # a string that never ends is read once
LONG_STRING = re.compile(r'"""(.*?)"""', re.DOTALL)
WIDE = ((re.compile(r'(?<=["\d])\s*：\s*(?=["\d\[{])'), ": "), (re.compile(r'(?<=["\d\]}])\s*，\s*(?=")'), ", "))


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in `text`, inner ones after the one that holds them; a bare list of turns as `messages`."""
    end = 0
    for _ in range(FURTHEST):
        if (start := text.find("{", end)) < 0:
            break
        try:
            value, end = WHOLE.raw_decode(text, start)
            yield from _within(value)
        except (ValueError, RecursionError):
            end = start + 1
    if listed := LIST.search(text):
        try:
            yield {"messages": WHOLE.raw_decode(text, listed.start())[0]}
        except (ValueError, RecursionError):
            yield from _mended(text, listed.start())
    if "{" in text:
        yield from _mended(text, text.index("{"))


def _within(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _within(inner)


def _mended(text: str, start: int) -> Iterator[dict[str, Any]]:
    """Objects after mending: the first one alone, then with all that follows, in case its end was misjudged."""
    for part in dict.fromkeys((text[start : _end_of(text, start)], text[start:])):
        if len(part) > LONGEST or part.count("{") + part.count("[") > MOST_BRACKETS:
            continue
        part = LONG_STRING.sub(lambda match: json.dumps(match[1]), part)
        for pattern, narrow in WIDE:
            part = pattern.sub(narrow, part)
        try:
            value = json_repair.loads(part, skip_json_loads=True)
        except Exception:  # it is given anything at all, and what it cannot mend is simply not mended
            continue
        if isinstance(value, list):
            yield {"messages": value}
        yield from _within(value)


def _end_of(text: str, start: int) -> int:
    """Where the object or list that begins at `start` is closed, or the end of the text."""
    depth = 0
    for match in TOKEN.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(text)
