"""Code in answers: what parses, what is the same under other names, what tidying may change, and tests that run."""

import ast
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.rows.code import CodeChecks, CodeDuplicates
from wheelwork.core.quality.rows.python_code import code_in, shape, tidied
from wheelwork.core.samples import Sample
from wheelwork.tests.core.quality.row_texts import context, reasons, sample

ADD = "def add(a, b):\n    return a + b"
ADD_AGAIN = 'def plus(first, second):\n    """Both."""\n    # one line\n    return first + second'
SUBTRACT = "def add(a, b):\n    return a - b"
STILL = CodeChecks(run_tests=False)


def code(answer: str, test: str = "", **rest: Any) -> Sample:
    return sample("write it", answer, task="code", controls={"test": test} if test else {}, **rest)


# what code is the same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ADD, ADD_AGAIN, True),
        (ADD, SUBTRACT, False),
        ("x = len(y)", "a = len(b)", False),  # nothing gives y a value: it is somebody else's
        ("x = len('')", "a = len('')", True),
        ("x = len('')", "x = max('')", False),
        ("x = 'a'", "x = 'b'", False),
        ("import re\nx = re.sub", "import os\nx = os.sub", False),
        ("def f(x):\n    x.a = 1", "def g(y):\n    y.b = 1", False),
        ("def f(a, b):\n    return a - b", "def f(b, a):\n    return b - a", True),
        ("def f(a, b):\n    return a - b", "def f(a, b):\n    return b - a", False),
        ("def f(n):\n    return f(n=n - 1)", "def g(k):\n    return g(k=k - 1)", True),
        ("for i in range(3): pass", "for item in range(3):\n    pass", True),
        ("class A:\n    'doc'", "class B:\n    pass", True),
    ],
)
def test_the_shape_of_code_is_what_it_does(one: str, other: str, same: bool) -> None:
    assert (shape(one) == shape(other)) is same


def test_what_does_not_parse_has_no_shape() -> None:
    assert shape("def f(:") is None


# where code stands, and what it looks like tidied


def test_code_is_what_stands_in_fences_or_the_whole_answer() -> None:
    assert code_in(ADD) == ADD
    assert code_in(f"Here:\n```python\n{ADD}\n```\nThat adds.") == ADD
    assert code_in(f"```py\n{ADD}\n```\nand\n```\nx = 1\n```") == f"{ADD}\n\nx = 1"
    assert code_in("```js\nlet a\n```") == "```js\nlet a\n```"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    def f():\n        return 1", "def f():\n    return 1"),
        ("def f():\r\n\treturn 1  \r\n\n", "def f():\n    return 1"),
        ("x = '''a  \n\tb'''", "x = '''a  \n\tb'''"),
        ("  no code at all", "  no code at all"),
        ("So:\n```python\n  x = 1  \n```\nDone.", "So:\n```python\nx = 1\n```\nDone."),
        (ADD, ADD),
    ],
)
def test_tidied_code_means_the_same(before: str, after: str) -> None:
    assert tidied(before) == after
    assert tidied(after) == after


@pytest.mark.filterwarnings("ignore::SyntaxWarning")  # `1if` is code
@settings(deadline=None)
@given(st.lists(st.sampled_from(["\t", "  ", "x = 1", "if x:", "\n", "\r\n", "'''", "```", "# é", "pass", "("])))
def test_tidying_never_changes_what_parses_and_once_is_enough(pieces: list[str]) -> None:
    before = "".join(pieces)
    after = tidied(before)
    assert tidied(after) == after
    try:
        tree = ast.dump(ast.parse(before))
    except SyntaxError:
        return
    assert ast.dump(ast.parse(after)) == tree


# the filter


def test_code_must_parse_and_be_its_own() -> None:
    rows = [code(ADD), code("def add(a, b) return"), code(ADD_AGAIN), code(SUBTRACT), code(f"```python\n{ADD}\n```")]
    assert reasons(STILL, *rows) == [None, "does_not_parse", None, None, None]
    assert reasons(CodeDuplicates(), *rows) == [None, None, "duplicate_code", None, "duplicate_code"]


def test_only_code_is_compared_as_code() -> None:
    rows = [sample("one", "x = 1"), sample("two", "y = 1"), code("x = 1"), code("y = 1")]
    assert reasons(CodeDuplicates(), *rows) == [None, None, None, "duplicate_code"]


def test_of_several_alike_the_best_by_a_score_can_be_kept() -> None:
    rows = [code(ADD).with_scores(judge=2), code(ADD_AGAIN).with_scores(judge=4)]
    judge = CodeDuplicates(keep="best", best_by="judge")
    assert reasons(judge, *rows) == ["duplicate_code", None]


def test_other_tasks_and_labels_pass_unscored() -> None:
    rows = [sample("hi", "no ( code"), code("billing ((", label="billing")]
    judged = CodeChecks()(rows, context())
    assert judged.reasons == [None, None]
    assert judged.scores["test_passed"] == [None, None]


def test_a_tidied_sample_is_another_one_that_says_the_same() -> None:
    (kept,), _, _ = Funnel(filters=(STILL,)).split([code("    x = 1", parent_id="p")], context())
    assert (kept.completion, kept.parent_id, kept.prompt) == ("x = 1", "p", "write it")
    assert kept.id == code("x = 1").id
    assert STILL([kept], context()).changed == {}
    assert CodeChecks(run_tests=False, tidy=False)([code("    x = 1")], context()).reasons == ["does_not_parse"]


def test_a_solution_must_pass_its_test() -> None:
    test = "assert add(2, 3) == 5"
    rows = [code(ADD, test), code(SUBTRACT, test), code(ADD_AGAIN), code(f"```python\n{ADD}\n```", "assert True")]
    judged = CodeChecks(workers=2)(rows, context())
    assert judged.reasons == [None, "test_failed", None, "test_passes_without_solution"]
    assert judged.scores["test_passed"] == [1, 0, None, 0]


def test_a_failing_twin_does_not_cost_the_one_that_passes() -> None:
    rows = [code(ADD, "assert add(1, 1) == 3"), code(ADD, "assert add(1, 1) == 2")]
    assert reasons(CodeChecks(), *rows) == ["test_failed", None]


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        ("import socket\ndef f():\n    socket.create_connection(('127.0.0.1', 9))", "test_failed"),
        ("def f():\n    while True: pass", "test_timed_out"),
        ("def f():\n    return len(bytearray(10**9))", "test_failed"),
    ],
    ids=["network", "time", "memory"],
)
def test_a_test_has_no_network_and_little_time_and_memory(solution: str, reason: str) -> None:
    judge = CodeChecks(seconds=0.7, memory_mb=128)
    assert reasons(judge, code(solution, "f()\nassert f is not None")) == [reason]


def test_broken_and_renamed_code_among_clean_code_is_found() -> None:
    draw = random.Random(2)
    clean, planted = [], []
    for number in range(200):
        body = "\n".join(f"    total = total {draw.choice('+-*')} {draw.randint(1, 99)}" for _ in range(5))
        source = f"def step_{number}(total):\n{body}\n    return total"
        clean.append(code(source))
        renamed = source.replace("total", "value").replace(f"step_{number}", "go")
        cut = source[: source.rindex("return")] + "return (total"
        planted.append(code(draw.choice([cut, source.replace(":", "", 1), renamed, f"# renamed\n{renamed}"])))
    rows = [*clean, *planted]
    kept, _, _ = Funnel(filters=(STILL, CodeDuplicates())).split(rows, context())
    left = {one.id for one in kept}
    assert all(one.id in left for one in clean)
    assert sum(one.id not in left for one in planted) >= 0.95 * 200
