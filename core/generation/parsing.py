"""From a model's reply to the written fields of a task: JSON, JSON that has to be mended, or labelled text.

A reply is never a reason to raise: what cannot be read is `Refused`, with a reason for the funnel. `mending.py` holds
what is done about broken JSON. Labels are known in English and Chinese, whatever the language of the loop is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from ..samples import is_unicode
from .mending import WHOLE, objects_in

WORDS = {
    "question": ("question", "q", "问题", "提问", "问"),
    "answer": ("answer", "a", "回答", "答案", "答"),
    "quote": ("quote", "引用", "引文"),
    "text": ("text", "原文", "文本"),
    "summary": ("summary", "摘要", "总结"),
    "rewritten": ("rewritten", "rewrite", "改写后", "改写"),
    "instruction": ("instruction", "task", "任务", "指令"),
    "solution": ("solution", "code", "代码", "解答"),
    "test": ("test", "tests", "测试"),
}
SPEAKERS = {
    "user": ("user", "customer", "human", "client", "caller", "用户", "客户", "顾客"),
    "assistant": ("assistant", "agent", "support", "bot", "客服", "助手", "助理"),
}
CONTENTS = ("content", "text", "message")
CODE = ("solution", "test")

FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(?P<inside>.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
DIVIDER = re.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$", re.MULTILINE)
# the end of a value besides the next label: a divider, or the passage that the next record is about
CLOSE = re.compile(rf"{DIVIDER.pattern}|^(?:【资料】[:：]|(?:\*\*)?(?:Passage|Source):)", re.MULTILINE)
LAST_DIVIDER = re.compile(rf"{DIVIDER.pattern}\s*\Z", re.MULTILINE)  # in code, lines of dashes may stand elsewhere
PLACES = ("start", "boxed", "within")
QUOTES = (('"', '"'), ("“", "”"), ("'", "'"))


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing was read.

    `unreadable`: neither JSON nor labelled text; `missing_field`, `empty_field`, `broken_field` (an object where text
    belongs, or half a character) and `unknown_role` are about `field`.
    """

    reason: str
    field: str = ""


Fields = dict[str, Any] | Refused


def read_fields(text: str, keys: Sequence[str]) -> Fields:
    """The values of `keys` in a reply: texts, for `messages` a list of {role: user or assistant, content}.

    JSON goes before labelled text; of several objects or records the first that has every key. A reply for the single
    key `text` may also be the text as it stands, in quotation marks or not.
    """
    try:
        found = WHOLE.decode(text)  # most replies are in order; nothing else is tried for them
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and all(key in found for key in keys):
        return _checked(found, keys)
    problem = Refused("unreadable")
    for values in _candidates(THOUGHT.sub("", text.replace("\r\n", "\n")), tuple(keys)):
        fields = _checked(values, keys)
        if not isinstance(fields, Refused):
            return fields
        # an attempt that found every key says more about what is wrong than one that did not
        if problem.reason in ("unreadable", "missing_field"):
            problem = fields if problem.reason == "unreadable" or fields.reason != "missing_field" else problem
    return problem


def unquoted(text: str) -> str:
    """`text` without outer spaces and without one pair of quotation marks around all of it."""
    text = text.strip()
    if len(text) > 1 and (text[0], text[-1]) in QUOTES:
        return text[1:-1].strip()
    return text


def _candidates(text: str, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """What the reply may hold under `keys`, some of them at least; the surest reading first."""
    for values in objects_in(text):
        renamed = _renamed(values, keys)
        if any(key in renamed for key in keys):
            yield renamed
    yield from _labelled(text, keys)


# values


def _renamed(values: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """`values` under the keys that are asked for, whatever their case, spaces and language; the first of twins."""
    names = {word: key for key in keys for word in _words_of(key)}
    renamed = {key: values[key] for key in keys if key in values}
    for name, value in values.items():
        renamed.setdefault(names.get(_plain(str(name)), str(name)), value)
    return renamed


def _words_of(key: str) -> tuple[str, ...]:
    plain = _plain(key)
    return (plain, *(word for word in WORDS.get(key, ()) if word != plain))


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", " ").replace("-", " ")


def _checked(values: dict[str, Any], keys: Sequence[str]) -> Fields:
    fields: dict[str, Any] = {}
    for key in keys:
        if key not in values:
            return Refused("missing_field", key)
        value = _turns(values[key]) if key == "messages" else _text(values[key], key)
        if isinstance(value, Refused):
            return value
        fields[key] = value
    return fields


def _text(value: Any, key: str) -> str | Refused:
    if not isinstance(value, str):
        value = _as_text(value)
    if value is None:
        return Refused("broken_field", key)
    value = value.strip() if key not in CODE else _as_module(value)
    if not value:
        return Refused("empty_field", key)
    return value if is_unicode(value) else Refused("broken_field", key)


def _as_text(value: Any) -> str | None:
    """A number, a literal or a list of lines, as which code comes now and then; None for what is no text."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if isinstance(value, bool | None):
        return str(value).lower() if value is not None else ""
    return str(value) if isinstance(value, int | float) else None


def _as_module(value: str) -> str:
    """Code without its fence. A module begins at the margin: what stands before it belongs to the label or the list."""
    fenced = FENCE.search(value)
    code = fenced["inside"] if fenced and not value[: fenced.start()].strip() else value
    return dedent(code.strip("\n")).strip()


def _turns(value: Any) -> list[dict[str, str]] | Refused:
    if not isinstance(value, list) or not value:
        return Refused("empty_field" if value in ([], "", None) else "broken_field", "messages")
    turns = []
    for entry in value:
        if not isinstance(entry, dict):
            return Refused("broken_field", "messages")
        entry = {str(name).strip().casefold(): said for name, said in entry.items()}
        if len(entry) == 1:  # {"user": "…"}
            [(speaker, said)] = entry.items()
        else:
            speaker = entry.get("role", entry.get("speaker", entry.get("from", "")))
            said = next((entry[name] for name in CONTENTS if name in entry), None)
        role = ROLES.get(str(speaker).strip().casefold())
        content = _text(said, "messages")
        if role is None:
            return Refused("unknown_role", "messages")
        if isinstance(content, Refused):
            return content
        turns.append({"role": role, "content": content})
    return turns


ROLES = {word: role for role, words in SPEAKERS.items() for word in words}


# labelled text


def _labelled(text: str, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The records that labelled text may hold, the surest reading first."""
    if keys == ("messages",):
        yield from ({"messages": turns} for turns in _transcripts(text))
        return
    every: Mapping[str, Sequence[str]] = {key: _words_of(key) for key in keys}
    long: Mapping[str, Sequence[str]] = {key: [word for word in _words_of(key) if len(word) > 1] for key in keys}
    for inline in (False, True):
        # one letter is a label only where words are none: `A:` may as well be the first of several choices
        for words in (long, every):
            yield from _records(text, words, inline and keys != ("text",))
    if keys[-2:] == CODE:
        yield from _fenced(text, keys)
    if keys == ("text",) and not text.lstrip().startswith(("{", "[", "```")):
        yield {"text": unquoted(text)}


def _label(words: Mapping[str, Sequence[str]], inline: bool) -> re.Pattern[str]:
    """Finds labels at the start of a line, however decorated, and with `inline` in the middle of one, capitalised."""
    names = sorted((word for group in words.values() for word in group), key=len, reverse=True)
    bare = "|".join(re.escape(name).replace(r"\ ", "[ _-]") for name in names)
    open_, close = r"[*_]{1,3}", r"[*_]{0,3}"
    start = rf"^[ \t>#]*(?:[-*+•][ \t]+|\d+[.)、][ \t]*)?(?P<bold>{open_})?(?P<start>(?i:{bare}))"
    start += rf"{close}[ \t]*\d*[ \t]*[:：](?(bold){close})"
    boxed = rf"【[ \t]*(?P<boxed>(?i:{bare}))[ \t]*】[ \t]*[:：]?"
    spoken = "|".join(re.escape(form) for name in names for form in {name.title(), name.capitalize()})
    within = rf"(?<=[\s。？！；，.?!;”\"*])(?P<strong>{open_})?(?P<within>{spoken}){close}[ \t]*[:：](?(strong){close})"
    return re.compile("|".join([start, boxed, *([within] if inline else [])]), re.MULTILINE)


def _parts(text: str, words: Mapping[str, Sequence[str]], inline: bool) -> list[tuple[str, str]]:
    """(key, what follows its label) in order. Labels in fenced code are none."""
    names = {word: key for key, group in words.items() for word in group}
    if not names:
        return []
    # one sign stands for another, so that places stay what they are
    outside = FENCE.sub(lambda match: "\n" + "`" * (len(match[0]) - 1), text)
    found = list(_label(words, inline).finditer(outside))
    ends = [*(match.start() for match in found), len(text)][1:]
    parts = []
    for match, end in zip(found, ends, strict=True):
        said = next(match[place] for place in PLACES if match.groupdict().get(place))
        if key := names.get(_plain(said)):  # not when a letter only counts as the same, as İ does for i
            parts.append((key, text[match.end() : end]))
    return parts


def _records(text: str, words: Mapping[str, Sequence[str]], inline: bool) -> Iterator[dict[str, str]]:
    """Values by label; a label that comes again begins the next record."""
    record: dict[str, str] = {}
    for key, value in _parts(text, words, inline):
        if key in record:
            yield record
            record = {}
        record[key] = LAST_DIVIDER.sub("", value) if key in CODE else _closed(CLOSE.split(value)[0].strip())
    if record:
        yield record


def _closed(value: str) -> str:
    """`value` without the end of bold type that began before the label."""
    return value[:-2] if value.endswith("**") and value.count("**") % 2 else value


def _fenced(text: str, keys: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Prose, then the solution and its test as blocks of code without labels."""
    blocks = list(FENCE.finditer(text))
    if len(blocks) >= len(CODE):
        prose = _label({"instruction": WORDS["instruction"]}, False).sub("", text[: blocks[0].start()])
        values = [block["inside"] for block in blocks[: len(CODE)]]
        yield dict(zip((*keys[:-2], *CODE), [*[prose] * len(keys[:-2]), *values], strict=True))


def _transcripts(text: str) -> Iterator[list[dict[str, str]]]:
    for inline in (False, True):
        parts = _parts(DIVIDER.split(text.strip())[0], SPEAKERS, inline)
        if len({role for role, _ in parts}) == len(SPEAKERS):
            yield [{"role": role, "content": said} for role, said in parts]
