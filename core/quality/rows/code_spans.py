"""Code within Markdown: where it stands, and a text without it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

FENCE = re.compile(r"^\s*(?:[-*+>] +|\d+[.)] +)?(?P<marks>`{3,}|~{3,})(?P<tag>[^`\n]*)$")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(?:[^\n]|\n(?!\s*\n)){0,2000}?(?<!`)\1(?!`)")  # not beyond its paragraph


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, as written after the fence, its code, and whether the fence was closed."""

    tag: str
    code: str
    closed: bool


def blocks(text: str) -> Iterator[Block | str]:
    """Fenced blocks and the lines outside of them, in order (CommonMark 0.31, section 4.5, at any depth)."""
    opened: re.Match[str] | None = None
    held: list[str] = []
    for line in text.split("\n"):
        fence = FENCE.match(line) if "```" in line or "~~~" in line else None
        if opened is None:
            if fence is None:
                yield line
            else:
                opened, held = fence, []
        elif fence is not None and fence["marks"].startswith(opened["marks"]) and not fence["tag"].strip():
            yield Block(_tag(opened), "\n".join(held), True)
            opened = None
        else:
            held.append(line)
    if opened is not None:
        yield Block(_tag(opened), "\n".join(held), False)


def without_code(text: str) -> str:
    """`text` with its fenced blocks and code spans left out."""
    if "`" not in text and "~~~" not in text:
        return text
    prose = "\n".join(part for part in blocks(text) if isinstance(part, str))
    return SPAN.sub(" ", prose)


def _tag(fence: re.Match[str]) -> str:
    return fence["tag"].strip().split(" ")[0].lower()
