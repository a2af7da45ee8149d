"""Other statements for the same Python: each rewrite gives the same results, effects and errors for every input.

    branches        if a: X else: Y          →  if not a: Y else: X       (and the expression)
    early exit      if a: return x else: Y   →  if a: return x; Y
    De Morgan       not (a and b)            →  not a or not b
    augmented       n += 1                   ↔  n = n + 1                 where n can only be a number
    comprehension   xs = [f(y) for y in z]   →  a loop that appends       where y stands nowhere else
    range           for i in range(n): X     →  i = 0; while i < n: …     where i is X's alone, and n is whole

What is left out is left out on purpose: `a < b` to `b > a` asks other methods of a class, `not a < b` is not `a >= b`
for NaN, and a dict comprehension works out key and value in another order than an assignment.
"""

import ast
import copy
import random
from collections import Counter
from collections.abc import Callable

from .numeric import Function, bound_names, is_number, number_names, shadows_builtins, whole_names
from .sources import identifiers, looks_at_itself, parsed

LATER = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.GeneratorExp)
"""What may look at a variable after the statement that it stands in."""

EXITS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
EXACT = {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
"""Comparisons whose opposite Python itself defines as `not`."""

AT_ONCE: tuple[type[ast.operator], ...] = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Div)


def rewrite_code(source: str, test: str, rng: random.Random, most: int = 3) -> str | None:
    """`source` with up to `most` of its places rewritten; None where there is none, or the code looks at itself."""
    tree = parsed(source)
    if tree is None or looks_at_itself(source, test):
        return None
    try:
        survey = _Rewriter(source, tree, lambda place: False)
        survey.visit(copy.deepcopy(tree))
        if not survey.places:
            return None
        chosen = set(rng.sample(range(survey.places), rng.randint(1, min(most, survey.places))))
        rewritten = _Rewriter(source, tree, chosen.__contains__).visit(tree)
        return ast.unparse(ast.fix_missing_locations(rewritten))
    except RecursionError:  # an expression of a thousand terms
        return None


class _Rewriter(ast.NodeTransformer):
    """Counts the places that it could rewrite, inner ones first, and rewrites those that `chosen` says."""

    def __init__(self, source: str, tree: ast.Module, chosen: Callable[[int], bool]) -> None:
        self.places = 0
        self._chosen = chosen
        self._taken = identifiers(source)
        self._plain_builtins = not shadows_builtins(tree)
        self._function: Function | None = None  # the function whose scope is the innermost, if it is a function's
        self._uses: Counter[str] = Counter()  # of names in the outermost function around here, before any rewrite
        self._numbers: frozenset[str] = frozenset()
        self._whole: frozenset[str] = frozenset()

    def _take(self) -> bool:
        self.places += 1
        return self._chosen(self.places - 1)

    def _fresh(self, name: str) -> str:
        number = 1
        while (fresh := name if number == 1 else f"{name}_{number}") in self._taken:
            number += 1
        self._taken.add(fresh)
        return fresh

    # scopes

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._scope(node, node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._scope(node, node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._scope(node, None)

    def _scope(self, node: Function | ast.ClassDef, function: Function | None) -> ast.AST:
        before = self._function, self._uses, self._numbers, self._whole
        self._function = function
        if function is not None:
            self._uses = self._uses or _uses(function)
            self._numbers = number_names(function) if self._plain_builtins else frozenset()
            self._whole = whole_names(function) if self._plain_builtins else frozenset()
        visited = self.generic_visit(node)
        self._function, self._uses, self._numbers, self._whole = before
        return visited

    # expressions

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if self._take():
            return ast.IfExp(test=negated(node.test), body=node.orelse, orelse=node.body)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        inner = node.operand
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.BoolOp) and self._take():
            other = ast.Or() if isinstance(inner.op, ast.And) else ast.And()
            return ast.BoolOp(op=other, values=[ast.UnaryOp(op=ast.Not(), operand=value) for value in inner.values])
        return node

    # statements

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if not node.orelse:
            return node
        if isinstance(node.body[-1], EXITS) and self._take():
            return [ast.If(test=node.test, body=node.body, orelse=[]), *node.orelse]
        if self._take():
            return ast.If(test=negated(node.test), body=node.orelse, orelse=node.body)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        target = node.target
        if self._function is None or not isinstance(target, ast.Name) or not isinstance(node.op, AT_ONCE):
            return node
        if target.id in self._numbers and self._take():
            read = ast.Name(id=target.id, ctx=ast.Load())
            return ast.Assign(targets=[target], value=ast.BinOp(left=read, op=node.op, right=node.value), lineno=0)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        match node:
            case ast.Assign(targets=[ast.Name(id=name) as target], value=ast.BinOp(left=ast.Name(id=left)) as value):
                known = self._function is not None and name == left and name in self._numbers
                if known and isinstance(value.op, AT_ONCE) and self._take():
                    return ast.AugAssign(target=target, op=value.op, value=value.right)
            case ast.Assign(targets=[ast.Name()], value=ast.ListComp() | ast.SetComp() as value):
                if (loop := self._as_loop(value)) is not None:
                    statements, result = loop
                    node.value = result
                    return [*statements, node]
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.value, ast.ListComp | ast.SetComp) and (loop := self._as_loop(node.value)) is not None:
            statements, node.value = loop
            return [*statements, node]
        return node

    def _as_loop(self, value: ast.ListComp | ast.SetComp) -> tuple[list[ast.stmt], ast.expr] | None:
        """Statements that fill a new list or set, and the name of it."""
        own = {name.id for part in value.generators for name in ast.walk(part.target) if isinstance(name, ast.Name)}
        plain = all(not part.is_async and _is_names(part.target) for part in value.generators)
        alone = all(_uses(value)[name] == self._uses[name] for name in own)
        first = {name.id for name in ast.walk(value.generators[0].iter) if isinstance(name, ast.Name)}
        later = any(isinstance(part, (*LATER, ast.Await, ast.NamedExpr)) for part in ast.walk(value))
        set_too = isinstance(value, ast.ListComp) or self._plain_builtins
        if self._function is None or not plain or not alone or own & first or later or not set_too or not self._take():
            return None
        result = self._fresh("result")
        empty: ast.expr = ast.List(elts=[], ctx=ast.Load())
        if isinstance(value, ast.SetComp):
            empty = ast.Call(func=ast.Name(id="set", ctx=ast.Load()), args=[], keywords=[])
        add = ast.Attribute(
            value=ast.Name(id=result, ctx=ast.Load()), attr="append" if isinstance(value, ast.ListComp) else "add"
        )
        body: ast.stmt = ast.Expr(value=ast.Call(func=add, args=[value.elt], keywords=[]))
        for part in reversed(value.generators):
            for condition in reversed(part.ifs):
                body = ast.If(test=condition, body=[body], orelse=[])
            body = ast.For(target=part.target, iter=part.iter, body=[body], orelse=[], lineno=0)
        begin = ast.Assign(targets=[ast.Name(id=result, ctx=ast.Store())], value=empty, lineno=0)
        return [begin, body], ast.Name(id=result, ctx=ast.Load())

    def visit_For(self, node: ast.For) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        match node:
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=args, keywords=[])):
                if self._counts(node, name, args) and self._take():
                    return self._as_while(node, name, args)
        return node

    def _counts(self, node: ast.For, name: str, args: list[ast.expr]) -> bool:
        """Whether a `while` can count for this `for`: nobody else sees or changes the counter, all bounds are whole."""
        inside = sum((_uses(statement) for statement in node.body), Counter[str]())
        changed = any(
            isinstance(part, ast.Name) and part.id == name and not isinstance(part.ctx, ast.Load)
            for statement in node.body
            for part in ast.walk(statement)
        )
        alone = inside[name] + 1 == self._uses[name]
        later = any(isinstance(part, LATER) for statement in node.body for part in ast.walk(statement))
        whole = len(args) in (1, 2) and all(is_number(argument, self._whole, whole=True) for argument in args)
        bare = self._function is not None and self._plain_builtins and not node.orelse
        return bare and alone and not changed and not later and whole and not _continues(node.body)

    def _as_while(self, node: ast.For, name: str, args: list[ast.expr]) -> list[ast.stmt]:
        begin = args[0] if len(args) == 2 else ast.Constant(value=0)
        counter = ast.Name(id=name, ctx=ast.Load())
        before: list[ast.stmt] = [ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=begin, lineno=0)]
        end = args[-1]
        if not isinstance(end, ast.Constant):  # worked out once, as range does
            stop = self._fresh("stop")
            before.append(ast.Assign(targets=[ast.Name(id=stop, ctx=ast.Store())], value=end, lineno=0))
            end = ast.Name(id=stop, ctx=ast.Load())
        step = ast.AugAssign(target=ast.Name(id=name, ctx=ast.Store()), op=ast.Add(), value=ast.Constant(value=1))
        test = ast.Compare(left=counter, ops=[ast.Lt()], comparators=[end])
        return [*before, ast.While(test=test, body=[*node.body, step], orelse=[])]


def negated(test: ast.expr) -> ast.expr:
    """An expression that is true where `test` is false."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and (other := EXACT.get(type(test.ops[0]))) is not None:
        return ast.Compare(left=test.left, ops=[other()], comparators=test.comparators)
    return ast.UnaryOp(op=ast.Not(), operand=test)


def _uses(node: ast.AST) -> Counter[str]:
    """How often each name stands in a node, whatever it is there."""
    uses: Counter[str] = Counter()
    for part in ast.walk(node):
        uses.update([part.id] if isinstance(part, ast.Name) else bound_names(part))
    return uses


def _is_names(target: ast.expr) -> bool:
    """Whether a target is a name, or a tuple of them."""
    return isinstance(target, ast.Name) or (
        isinstance(target, ast.Tuple) and all(isinstance(part, ast.Name) for part in target.elts)
    )


def _continues(body: list[ast.stmt]) -> bool:
    """Whether a `continue` of this very loop stands in its body."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Continue):
            return True
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            todo.extend(node.orelse)  # the rest of an inner loop is its own
        elif not isinstance(node, LATER):
            todo.extend(ast.iter_child_nodes(node))
    return False
