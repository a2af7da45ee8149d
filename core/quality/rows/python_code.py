"""Python in an answer: where it stands, the same code tidied, and what is left of it whatever its names are."""

import ast
import re
import textwrap
from itertools import count

from ...digests import digest_of
from ...generation.augment.numeric import bound_names
from ...generation.augment.sources import parsed

FENCED = re.compile(
    r"^(?P<open>(?P<marks>`{3,}|~{3,})[ \t]*(?:python3?|py)?[ \t]*\n)(?P<code>.*?)\n?^(?P=marks)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
LEADING = re.compile(r"^[ \t]+", re.MULTILINE)
TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
NAMES: dict[type[ast.AST], tuple[str, ...]] = {
    ast.Name: ("id",),
    ast.arg: ("arg",),
    ast.keyword: ("arg",),
    ast.FunctionDef: ("name",),
    ast.AsyncFunctionDef: ("name",),
    ast.ClassDef: ("name",),
    ast.ExceptHandler: ("name",),
    ast.MatchAs: ("name",),
    ast.MatchStar: ("name",),
    ast.MatchMapping: ("rest",),
    ast.Global: ("names",),
    ast.Nonlocal: ("names",),
}
"""Where a name of the code's own can stand; attributes and imports keep theirs, others may know them."""


def code_in(answer: str) -> str:
    """The Python of an answer: its fenced blocks one after the other, or all of it where it has none."""
    found = [match["code"] for match in FENCED.finditer(answer)]
    return "\n\n".join(found) if found else answer


def tidied(answer: str) -> str:
    """`answer` with its code dedented, indented by spaces and without spaces at the ends of lines.

    Code that does not parse is left as it is unless it parses then; code that does, unless it means the same.
    """
    if FENCED.search(answer):
        return FENCED.sub(lambda match: f"{match['open']}{_tidy(match['code'])}\n{match['marks']}", answer)
    return _tidy(answer)


def shape(source: str) -> str | None:
    """A digest of what code does, whatever it is named: the same for code that differs in names of its own, comments,
    docstrings and layout. None for code that does not parse."""
    tree = parsed(source)
    if tree is None:
        return None
    try:
        own = {name for node in ast.walk(tree) if not isinstance(node, ast.alias) for name in bound_names(node)}
        return digest_of(ast.dump(_Nameless(own).visit(tree)))
    except RecursionError:
        return None


def _tidy(code: str) -> str:
    lines = code.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    spaced = LEADING.sub(lambda match: match[0].expandtabs(4), TRAILING.sub("", lines))
    neat = textwrap.dedent(spaced).strip("\n")
    before, after = _dumped(code), _dumped(neat)
    return neat if after is not None and before in (None, after) else code


def _dumped(source: str) -> str | None:
    tree = parsed(source)
    try:
        return ast.dump(tree) if tree else None
    except RecursionError:  # an expression of a thousand terms
        return None


class _Nameless(ast.NodeTransformer):
    """Puts a number, by first appearance, in the place of every name that the code itself gives a value to."""

    def __init__(self, own: set[str]) -> None:
        self._numbers = dict.fromkeys(own, "")
        self._next = count(1)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in NAMES.get(type(node), ()):
            value = getattr(node, field)
            numbered = [self._number(name) for name in value] if isinstance(value, list) else self._number(value)
            setattr(node, field, numbered)
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:] or [ast.Pass()]
        return super().generic_visit(node)

    def _number(self, name: str | None) -> str | None:
        if name is None or name not in self._numbers:
            return name
        self._numbers[name] = self._numbers[name] or f"_{next(self._next)}"
        return self._numbers[name]
