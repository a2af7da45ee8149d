"""Which local variables of a Python function can only be numbers, read from the code alone."""

import ast
import builtins
from collections import defaultdict
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)  # of whole numbers gives whole numbers
ANY = ast.Constant(value=None)  # stands for a value that nothing is known about


def number_names(function: Function) -> frozenset[str]:
    """Local variables that are only ever given numbers; what a caller passes is not known."""
    return _grounded(function, whole=False)


def whole_names(function: Function) -> frozenset[str]:
    """Variables that are only ever given whole numbers; a parameter that is annotated `int` is taken at its word."""
    return _grounded(function, whole=True)


def is_number(value: ast.expr, names: frozenset[str], whole: bool) -> bool:
    """Whether an expression gives a number (a whole one), where `names` do."""
    match value:
        case ast.Constant(value=int()):
            return True
        case ast.Constant(value=float()):
            return not whole
        case ast.Name(id=name):
            return name in names
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return is_number(operand, names, whole)
        case ast.BinOp(left=left, op=op, right=right):
            known = isinstance(op, ARITHMETIC) or (isinstance(op, ast.Div) and not whole)
            return known and is_number(left, names, whole) and is_number(right, names, whole)
        case ast.Call(func=ast.Name(id="len"), args=[_], keywords=[]):
            return True
        case _:
            return False


def shadows_builtins(tree: ast.AST) -> bool:
    """Whether the code gives a built-in's name to something of its own; `from x import *` may."""
    bound = {name for node in ast.walk(tree) for name in bound_names(node)}
    return bool(bound & set(dir(builtins))) or "*" in bound


def bound_names(node: ast.AST) -> Iterator[str]:
    """The names that this node itself gives a value to, or declares."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
        case ast.alias():
            yield (node.asname or node.name).partition(".")[0]
        case ast.Global() | ast.Nonlocal():
            yield from node.names


def _grounded(function: Function, whole: bool) -> frozenset[str]:
    """Drops every name that is given something else than a number, until all that are left are given only those."""
    values = _values(function, whole)
    names = frozenset(values)
    while True:
        left = frozenset(name for name in names if all(is_number(value, names, whole) for value in values[name]))
        if left == names:
            return names
        names = left


def _values(function: Function, whole: bool) -> dict[str, list[ast.expr]]:
    """What each name of the function is given, ANY where that is not plain to see."""
    values: dict[str, list[ast.expr]] = defaultdict(list)
    for parameter in ast.walk(function.args):
        if isinstance(parameter, ast.arg):
            annotated = isinstance(parameter.annotation, ast.Name) and parameter.annotation.id == "int"
            values[parameter.arg].append(ast.Constant(value=0) if annotated and whole else ANY)
    if function.args.vararg is not None:
        values[function.args.vararg.arg].append(ANY)  # a tuple of them, whatever its annotation says
    if function.args.kwarg is not None:
        values[function.args.kwarg.arg].append(ANY)
    plain: set[int] = set()  # ids of the targets whose value is known
    for node in _own(function):
        for target, value in _given(node):
            values[target.id].append(value)
            plain.add(id(target))
    for node in ast.walk(function):
        if node is not function and id(node) not in plain and not isinstance(node, ast.arg):
            for name in bound_names(node):
                values[name].append(ANY)
    return values


def _given(node: ast.AST) -> Iterator[tuple[ast.Name, ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value) if all(isinstance(target, ast.Name) for target in targets):
            yield from ((target, value) for target in targets if isinstance(target, ast.Name))
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(targets) == len(values):
            yield from (
                (left, right) for left, right in zip(targets, values, strict=True) if isinstance(left, ast.Name)
            )
        case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value):
            yield target, value
        case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
            yield target, ast.BinOp(left=ast.Name(id=name, ctx=ast.Load()), op=op, right=value)
        case ast.For(target=ast.Name() as target, iter=ast.Call(func=ast.Name(id="range"))):
            yield target, ast.Constant(value=0)


def _own(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function's own scope."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if not isinstance(node, SCOPES):
            yield node
            todo.extend(ast.iter_child_nodes(node))
