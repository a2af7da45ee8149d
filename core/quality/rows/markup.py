"""Whether JSON, Markdown, code or brackets in a text are whole."""

import json
import re
from collections.abc import Iterator

from .code_spans import SPAN, Block, blocks, without_code

Fault = str  # why a text is not whole

JSON_BEGINS = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*(?:\[|\{\s*[\"}]))")
SEPARATOR = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)+\|?\s*$|\s*\|\s*:?-{2,}:?\s*\|\s*$")
OPEN_LINK = re.compile(r"\[[^\[\]\n]{0,300}\]\((?:[^()\s]|\([^()\s]*\)){0,2000}(?:\s*\Z|\n\s*\n|[ \t]+(?![\"'(<\n]))")
BOLD = re.compile(r"(?<![*\\])\*\*(?!\*)")
LITERALS = re.compile(
    r"(?:'''|\"\"\")(?:.|\n)*?(?:'''|\"\"\")|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`"
    r"|//[^\n]*|#[^\n]*|/\*(?:.|\n)*?\*/"
)

PAIRS = {"(": ")", "[": "]", "{": "}", "（": ")", "【": "】", "《": "》", "「": "」", "『": "』", "“": "”"}
CLOSES = {"）": ")"}
SIGNS = re.compile(r"(?<!\\)[()\[\]{}（）【】《》「」『』“”]")
QUOTE = re.compile(r'(?<!\\)"')
# what stands alone rightly: :-) and 1) a) iv), and inches or a quotation that goes on in the next paragraph
FACE = re.compile(r"[:;=8xX]['’]?[-^oc]?$")
ITEM = re.compile(r"(?:^|[\s,;:，；：。、(（])(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4}|[一二三四五六七八九十]{1,3})$")
INTERVAL = re.compile(r"\s*[-+−]?[\w.∞\\]+\s*[,;]\s*[-+−]?[\w.∞\\]+\s*$")


def json_fault(text: str) -> Fault | None:
    """`broken_json` unless the whole text, or its only fenced block, is one JSON value."""
    parts = [part for part in blocks(text) if isinstance(part, Block) or part.strip()]
    if len(parts) == 1 and isinstance(parts[0], Block):
        text = parts[0].code
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return "broken_json"
    return None


def markdown_fault(text: str) -> Fault | None:
    """`broken_markdown` for a fence, code span, link or bold text that does not end, or a table with uneven rows."""
    prose = []
    for part in blocks(text):
        if isinstance(part, str):
            prose.append(part)
        elif not part.closed:
            return "broken_markdown"
    plain = SPAN.sub("code", "\n".join(prose))
    broken = "`" in plain or OPEN_LINK.search(plain) or len(BOLD.findall(plain)) % 2 or _uneven(plain.split("\n"))
    return "broken_markdown" if broken else None


def code_fault(text: str) -> Fault | None:
    """`broken_json` or `unbalanced_code`: brackets outside of strings and comments that do not pair, fences too."""
    found = [part for part in blocks(text) if isinstance(part, Block)] or [Block("", text, True)]
    for block in found:
        if not block.closed:
            return "broken_markdown"
        if block.tag == "json" and json_fault(block.code):
            return "broken_json"
        if block.tag not in ("text", "txt", "markdown", "md", "diff", "console", "sh", "bash", "shell"):
            plain = LITERALS.sub("", block.code)
            if any(True for _ in _alone(plain)):
                return "unbalanced_code"
    return None


def prose_fault(text: str) -> Fault | None:
    """`unbalanced`: a bracket or quotation mark that stands alone, other than in `:-)`, `1)`, `[0, 1)` and `5"`."""
    plain = without_code(text)
    for place, sign in _alone(plain):
        before = plain[max(0, place - 8) : place]
        if sign in ")）" and (ITEM.search(before) or FACE.search(before)):
            continue
        if sign in "(（[" and FACE.search(before):
            continue
        if sign in "“”" and "\n" in plain:
            continue
        return "unbalanced"
    return "unbalanced" if "\n" not in plain and _odd_quotes(plain) else None


def fault(text: str) -> Fault | None:
    """What is broken in a text of any kind: as JSON where it begins so, else as Markdown and prose."""
    if JSON_BEGINS.match(text):
        return json_fault(text)
    if any(
        isinstance(part, Block) and part.closed and part.tag == "json" and json_fault(part.code)
        for part in (blocks(text) if "json" in text else ())
    ):
        return "broken_json"
    return markdown_fault(text) or prose_fault(text)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _uneven(lines: list[str]) -> bool:
    """Whether the header of a table or one of its rows has another number of cells than its second line."""
    for place in range(1, len(lines)):
        if "-" in lines[place] and "|" in lines[place] and SEPARATOR.match(lines[place]):
            columns = _cells(lines[place])
            rows = [lines[place - 1]]
            for line in lines[place + 1 :]:
                if "|" not in line:
                    break
                rows.append(line)
            if any(_cells(row) != columns for row in rows):
                return True
    return False


def _cells(row: str) -> int:
    return row.replace("\\|", "").strip().strip("|").count("|") + 1


def _alone(text: str) -> Iterator[tuple[int, str]]:
    """Places of brackets and double quotation marks without a partner."""
    opened: list[tuple[int, str]] = []
    for match in SIGNS.finditer(text):
        place, sign = match.start(), match[0]
        if sign in PAIRS:
            opened.append((place, sign))
            continue
        before = opened[-1] if opened else (0, "")
        if PAIRS.get(before[1]) == CLOSES.get(sign, sign) or _is_interval(text, before, place):
            opened.pop()
        else:
            yield place, sign
    yield from opened


def _is_interval(text: str, opened: tuple[int, str], closed: int) -> bool:
    """Whether the brackets hold two numbers: `[0, 1)` and `(0, 1]` pair."""
    return opened[1] in ("(", "[") and text[closed] in ")]" and bool(INTERVAL.match(text[opened[0] + 1 : closed]))


def _odd_quotes(text: str) -> bool:
    """Whether a quotation mark stands alone; after a digit it is one only where it can close another."""
    inside = False
    for match in QUOTE.finditer(text):
        inches = text[match.start() - 1 : match.start()].isdigit() and not text[match.end() : match.end() + 1].isalnum()
        inside = not inside if inside or not inches else inside
    return inside
