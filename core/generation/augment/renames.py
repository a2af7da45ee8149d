"""Other names for the local variables and parameters of Python code, so that it does the same.

A name is renamed everywhere or not at all, to one that stands nowhere else. That cannot change what the code does as
long as nobody outside the code, and no string in it, knows the name; what follows rules those out.
"""

import ast
import builtins
import keyword
import random
import symtable
from collections.abc import Iterator

from .sources import identifiers, looks_at_itself, parsed

CONVENTIONS = frozenset(("self", "cls", "mcs", "args", "kwargs"))
BEFORE = ("the", "own", "given", "current", "this")
LETTERS = "abcdefghijkmnpqrstuvwxyz"
SHARE = 0.7


def rename_variables(source: str, test: str, rng: random.Random, prompt: str = "") -> str | None:
    """`source` with other names for some of its variables; None where none can have another.

    Left alone are names that stand in `test`, parameters that `prompt` names or a call passes by keyword, and names
    that the code shows to others: globals, attributes, functions, classes, imports, strings.
    """
    tree = parsed(source)
    if tree is None or looks_at_itself(source, test):
        return None
    try:
        return _renamed(source, tree, test, rng, prompt)
    except RecursionError:  # an expression of a thousand terms
        return None


def _renamed(source: str, tree: ast.Module, test: str, rng: random.Random, prompt: str) -> str | None:
    names = sorted(_local_names(source) - _seen_elsewhere(tree, test, prompt))
    if not names:
        return None
    chosen = [name for name in names if rng.random() < SHARE] or [rng.choice(names)]
    taken = identifiers(source, test) | set(keyword.kwlist) | set(keyword.softkwlist) | set(dir(builtins))
    renamed: dict[str, str] = {}
    for name in chosen:
        renamed[name] = _fresh(name, taken, rng)
        taken.add(renamed[name])
    return ast.unparse(ast.fix_missing_locations(_Renamer(renamed).visit(tree)))


def _local_names(source: str) -> set[str]:
    """Names that mean a local variable of a function wherever they stand: never a global, a built-in, a class's."""
    local: set[str] = set()
    other: set[str] = set()
    for table in _tables(symtable.symtable(source, "<code>", "exec")):
        for symbol in table.get_symbols():
            inside = table.get_type() == "function" and not symbol.is_global()
            (local if inside else other).add(symbol.get_name())
    return {name for name in local - other if name.isidentifier() and not name.startswith("_")} - CONVENTIONS


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _seen_elsewhere(tree: ast.Module, test: str, prompt: str) -> set[str]:
    """Names that somebody other than the code's own variables goes by."""
    seen = identifiers(test)
    told = identifiers(prompt)
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                seen.add(node.name)
                if node.decorator_list and not isinstance(node, ast.ClassDef):
                    seen |= _parameters(node.args)  # a decorator may read them, as frameworks do
            case ast.keyword(arg=str(name)) | ast.Attribute(attr=name):
                seen.add(name)
            case ast.alias():
                seen |= identifiers(node.asname or node.name)
            case ast.Constant(value=str(text)):
                seen |= identifiers(text)
            case ast.MatchClass():
                seen |= set(node.kwd_attrs)
            case ast.arguments():
                seen |= _parameters(node) & told
    return seen


def _parameters(arguments: ast.arguments) -> set[str]:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg for argument in named if argument is not None}


def _fresh(name: str, taken: set[str], rng: random.Random) -> str:
    """A name like `name` that is not taken."""
    if len(name) == 1:
        free = [letter for letter in LETTERS if letter not in taken]
    else:
        free = [word for word in (f"{before}_{name}" for before in BEFORE) if word not in taken]
    if free:
        return rng.choice(free)
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


class _Renamer(ast.NodeTransformer):
    """Puts other names wherever a local name can stand."""

    def __init__(self, renamed: dict[str, str]) -> None:
        self._renamed = renamed

    def generic_visit(self, node: ast.AST) -> ast.AST:
        fields = {
            ast.Name: "id",
            ast.arg: "arg",
            ast.ExceptHandler: "name",
            ast.MatchAs: "name",
            ast.MatchStar: "name",
            ast.MatchMapping: "rest",
        }
        if (field := fields.get(type(node))) is not None and (name := getattr(node, field)) in self._renamed:
            setattr(node, field, self._renamed[name])
        if isinstance(node, ast.Nonlocal):
            node.names = [self._renamed.get(name, name) for name in node.names]
        return super().generic_visit(node)
