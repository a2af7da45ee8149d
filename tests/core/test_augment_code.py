"""Code in other words: it parses, does the same for every input, and keeps the names that others know."""

import ast
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.generation.augment.numeric import number_names, whole_names
from wheelwork.core.generation.augment.renames import rename_variables
from wheelwork.core.generation.augment.rewrites import rewrite_code
from wheelwork.core.generation.augment.sources import identifiers

unhurried = settings(deadline=None, max_examples=60)

PROGRAMS = {
    "total": """
def total(prices, discount=0):
    result = 0
    for i in range(len(prices)):
        if prices[i] < 0:
            raise ValueError("negative")
        else:
            result += prices[i]
    count = 0
    for p in prices:
        count += 1
    return result - discount, count
""",
    "evens": """
def evens(rows):
    flat = [cell * 2 for row in rows for cell in row if cell % 2 == 0 if cell]
    seen = {value for value in flat if not (value > 10 or value < -10)}
    return [len(seen), *flat]
""",
    "first": """
def first(numbers, wanted):
    for place in range(0, len(numbers)):
        number = numbers[place]
        if not (number == wanted and place in (0, 1)):
            pass
        elif number is not None:
            return place
        else:
            break
    return -1 if wanted in numbers else None
""",
    "closures": """
def counter(start: int):
    steps = []
    def step(by=1):
        nonlocal start
        start += by
        steps.append(start)
        return start
    for k in range(3):
        step(k)
    try:
        raise KeyError(start)
    except KeyError as caught:
        kind = type(caught).__name__
    return steps, kind, (lambda z: z + 1)(start)
""",
    "classes": """
class Basket:
    size = 0
    def __init__(self, items):
        self.items = items
    def double(self):
        doubled = [item * 2 for item in self.items]
        match doubled:
            case [head, *tail]:
                return head, tail
            case other:
                return other
def run(items):
    basket = Basket(items)
    return basket.double(), basket.size
""",
}  # fmt: skip
NUMBERS = st.lists(st.integers(-30, 30), max_size=6)


def outcome(source: str, function: str, *arguments: Any) -> object:
    """What a function returns, or the error that it raises."""
    space: dict[str, Any] = {}
    exec(compile(source, "<test>", "exec"), space)
    try:
        return space[function](*arguments)
    except Exception as error:
        return type(error), str(error)


def calls(name: str, numbers: list[int]) -> tuple[str, tuple[Any, ...]]:
    return {
        "total": ("total", (numbers, 3)),
        "evens": ("evens", ([numbers, numbers[:2]],)),
        "first": ("first", (numbers, numbers[-1] if numbers else 1)),
        "closures": ("counter", (sum(numbers),)),
        "classes": ("run", (numbers,)),
    }[name]


@unhurried
@given(st.sampled_from(sorted(PROGRAMS)), NUMBERS, st.integers(0, 2**32))
def test_renamed_code_does_the_same(name: str, numbers: list[int], seed: int) -> None:
    source = PROGRAMS[name]
    renamed = rename_variables(source, "", random.Random(seed))
    assert renamed is not None
    assert ast.dump(ast.parse(renamed)) != ast.dump(ast.parse(source))
    function, arguments = calls(name, numbers)
    assert outcome(renamed, function, *arguments) == outcome(source, function, *arguments)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(PROGRAMS)), NUMBERS, st.integers(0, 2**32), st.integers(1, 9))
def test_rewritten_code_does_the_same(name: str, numbers: list[int], seed: int, most: int) -> None:
    source = PROGRAMS[name]
    rewritten = rewrite_code(source, "", random.Random(seed), most)
    assert rewritten is not None
    assert ast.dump(ast.parse(rewritten)) != ast.dump(ast.parse(source))
    function, arguments = calls(name, numbers)
    assert outcome(rewritten, function, *arguments) == outcome(source, function, *arguments)


# renaming


def test_the_same_seed_gives_the_same_names() -> None:
    source = PROGRAMS["total"]
    assert rename_variables(source, "", random.Random(5)) == rename_variables(source, "", random.Random(5))


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("def f(amount):\n    return amount\nf(amount=3)", "amount"),  # passed by keyword
        ("def f(amount):\n    return g(**{'amount': amount})", "amount"),  # named in a string
        ("amount = 1\ndef f():\n    return amount", "amount"),  # a global
        ("def f():\n    amount = 1\nclass C:\n    amount = 2", "amount"),  # an attribute of a class
        ("def f(x):\n    amount = x.amount\n    return amount", "amount"),  # an attribute
        ("def f():\n    import json\n    return json", "json"),  # an import
        ("def f():\n    def inner(): return 1\n    return inner", "inner"),  # a function: its name can be asked for
        ("@route\ndef f(amount):\n    return amount", "amount"),  # a decorator may look at it
        ("def f(_amount):\n    return _amount", "_amount"),
        ("def f(self, *args, **kwargs):\n    return self", "self"),
        ("def f():\n    for _ in []: pass", "_"),
    ],
)
def test_a_name_that_others_know_is_kept(source: str, kept: str) -> None:
    for seed in range(8):
        renamed = rename_variables(source, "", random.Random(seed)) or source
        assert identifiers(renamed) >= {kept}


def test_names_of_the_test_and_parameters_of_the_prompt_are_kept() -> None:
    source = "def f(amount, rate):\n    result = amount * rate\n    return result"
    assert rename_variables(source, "result = f(1, 2)", random.Random(0), "Multiply amount by rate.") is None
    renamed = rename_variables(source, "assert f(1, 2) == 2", random.Random(0), "Multiply amount by rate, give result.")
    assert renamed is not None  # a local variable is nobody's business, whatever the prompt calls its value
    assert identifiers(renamed) >= {"amount", "rate"}
    assert "result" not in identifiers(renamed)


@pytest.mark.parametrize("source", ["x = 1", "def f(x):\n    return locals()", "def f():\n    return 1"])
def test_what_has_no_names_to_change_is_left_alone(source: str) -> None:
    assert rename_variables(source, "", random.Random(0)) is None


def test_a_new_name_is_never_one_that_stands_somewhere() -> None:
    letters = [letter for letter in "abcdefghijkmnpqrstuvwxyz" if letter != "q"]
    source = f"def f(q):\n    return q\n{' = '.join(letters)} = 0"
    assert rename_variables(source, "", random.Random(1)) == ast.unparse(ast.parse(source.replace("q", "q_2")))


# rewriting


def rewritten(body: str, seeds: int = 30) -> set[str]:
    """All rewrites of one place in a function with `body`."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    source = f"def f(a, b, xs, n: int):\n{indented}"
    found = {rewrite_code(source, "", random.Random(seed), 1) for seed in range(seeds)}
    plain = (code.partition("\n")[2] for code in found if code is not None)
    return {"\n".join(line.removeprefix("    ") for line in code.splitlines()) for code in plain}


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("if a:\n    b = 1\nelse:\n    b = 2", {"if not a:\n    b = 2\nelse:\n    b = 1"}),
        ("if a is None:\n    b = 1\nelse:\n    b = 2", {"if a is not None:\n    b = 2\nelse:\n    b = 1"}),
        ("if a < 1:\n    b = 1\nelse:\n    b = 2", {"if not a < 1:\n    b = 2\nelse:\n    b = 1"}),
        (
            "if not a:\n    return 1\nelse:\n    return 2",
            {"if a:\n    return 2\nelse:\n    return 1", "if not a:\n    return 1\nreturn 2"},
        ),
        ("return 1 if a in xs else 2", {"return 2 if a not in xs else 1"}),
        ("return not (a and b)", {"return not a or not b"}),
        ("return not (a or b)", {"return not a and (not b)"}),
        ("k = 0\nk += len(xs)\nreturn k", {"k = 0\nk = k + len(xs)\nreturn k"}),
        ("k = 0\nk = k - 1\nreturn k", {"k = 0\nk -= 1\nreturn k"}),
        (
            "return [x + 1 for x in xs if x]",
            {"result = []\nfor x in xs:\n    if x:\n        result.append(x + 1)\nreturn result"},
        ),
        (
            "a = {x for x, y in xs}\nreturn a",
            {"result = set()\nfor (x, y) in xs:\n    result.add(x)\na = result\nreturn a"},
        ),
        (
            "for i in range(2, n):\n    print(i)",
            {"i = 2\nstop = n\nwhile i < stop:\n    print(i)\n    i += 1"},
        ),
        ("for i in range(3):\n    print(i)", {"i = 0\nwhile i < 3:\n    print(i)\n    i += 1"}),
    ],
)  # fmt: skip
def test_each_rewrite(body: str, after: set[str]) -> None:
    assert {ast.dump(ast.parse(f"def f():\n{indent(code)}")) for code in rewritten(body)} == {
        ast.dump(ast.parse(f"def f():\n{indent(code)}")) for code in after
    }


def indent(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


@pytest.mark.parametrize(
    "body",
    [
        "a += 1",  # a list that the caller holds grows in place, and would not otherwise
        "k = []\nk += xs\nreturn k",
        "k = 0\nk += b\nreturn k",  # b may be anything
        "k = 0\nfor x in xs:\n    k = x\nk += 1",
        "k = 0\ndef g():\n    nonlocal k\n    k = xs\nk += 1",
        "global k\nk = 0\nk += 1",
        "for i in range(a):\n    print(i)",  # range(2.5) is an error
        "for i in range(n):\n    print(i)\nreturn i",  # n - 1 after a for, n after a while
        "for i in range(n):\n    i = 3",
        "for i in range(n):\n    if a:\n        continue\n    print(i)",
        "for i in range(n):\n    for x in xs:\n        pass\n    else:\n        continue\n    print(i)",
        "for i in range(n):\n    xs.append(lambda: i)",
        "for i in range(n):\n    print(i)\nelse:\n    print(a)",
        "for i in range(0, n, b):\n    print(i)",
        "for i in range(i):\n    print(i)",
        "range = list\nfor i in range(3):\n    print(i)",
        "global i\nfor i in range(3):\n    print(i)",
        "n = 2.5\nfor i in range(n):\n    print(i)",
        "x = 1\na = [x for x in xs]\nreturn x",  # the loop would leave its x behind
        "return [x for x in x]",
        "return [lambda: x for x in xs]",
        "a = [(b := x) for x in xs]",
        "a = {x: 1 for x in xs}",
        "a.b = [x for x in xs]",
        "return list(x for x in xs)",
        "if a:\n    b = 1",
        "def g():\n    return x\nreturn [x for x in xs]",  # x is a global to g
    ],
)
def test_what_could_differ_is_left_alone(body: str) -> None:
    assert rewritten(body, seeds=8) == set()


def test_names_outside_of_functions_are_everybodys() -> None:
    loops = "k = 0\nk += 1\nfor i in range(3):\n    print(i)\nxs = [x for x in 'ab']\n"
    module = f"{loops}class C:\n{indent(loops)}"
    assert rewrite_code(module, "", random.Random(0)) is None


def test_code_that_looks_at_itself_is_left_alone() -> None:
    source = "def f(a):\n    if a:\n        return 1\n    else:\n        return 2\n"
    assert rewrite_code(source, "assert f.__code__", random.Random(0)) is None
    assert rewrite_code(source, "", random.Random(0)) is not None


@pytest.mark.parametrize("source", ["def f(x:", "return 1", "def f(x):\n    return " + "-".join(["x"] * 2000), "\0"])
def test_what_cannot_be_read_is_left_alone(source: str) -> None:
    assert rewrite_code(source, "", random.Random(0)) is None
    assert rename_variables(source, "", random.Random(0)) is None


def test_a_condition_that_came_last_in_a_comprehension_is_asked_last() -> None:
    source = "def f(xs):\n    return [x for x in xs if x if 1 / x > 0]"
    assert outcome(str(rewrite_code(source, "", random.Random(0))), "f", [0, 2, -1]) == [2]


@pytest.mark.parametrize(
    ("source", "numbers", "whole"),
    [
        ("def f(n: int, m):\n    a, b = 1, 2.5\n    a = a + b", {"a", "b"}, {"n"}),
        ("def f(n: int):\n    n = 'x'", set(), set()),
        ("def f(*n: int, **m: int):\n    pass", set(), set()),
        ("def f():\n    a = 7 // 2\n    b = a / 2", {"a", "b"}, {"a"}),
        ("def f(n):\n    for i in range(n):\n        c = -i", {"i", "c"}, {"i", "c"}),
        ("def f(xs):\n    a = len(xs)\n    for a in xs:\n        pass", set(), set()),
        ("def f():\n    a = b\n    b = a", {"a", "b"}, {"a", "b"}),  # neither can ever be given anything
        ("def f():\n    a = 0\n    with open() as a:\n        pass", set(), set()),
        ("def f():\n    a = 1\n    [a := 'x' for _ in 'ab']", set(), set()),
    ],
)  # fmt: skip
def test_numbers_are_known_from_all_that_a_name_is_given(source: str, numbers: set[str], whole: set[str]) -> None:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert number_names(function) == numbers
    assert whole_names(function) == whole
