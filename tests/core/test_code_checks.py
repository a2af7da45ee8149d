"""Code of a teacher's: what parses, which tests say something, and what a solution may not do while it is tested."""

import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.generation.code_checks import parses, run_test

ADD = "def add(a, b):\n    return a + b\n"
CASE = "import unittest\nclass T(unittest.TestCase):\n    def test_it(self): self.assertEqual(add(1, 2), {})\n"
posix = pytest.mark.skipif(sys.platform == "win32", reason="limits and sessions are those of POSIX")


# parsing


@pytest.mark.parametrize("source", [ADD, "x = '\\d'", "async def f():\n    await g()", "match x:\n    case 1: pass"])
def test_python_parses(source: str) -> None:
    assert parses(source) is None


@pytest.mark.parametrize(
    "source",
    ["", " \n", "def f(:", "return 1", "x = 1\0", "print 'x'", "(" * 9_000, "-" * 50_000 + "1", "1" + "+1" * 40_000,
     "lambda: " * 5_000 + "1", "a" * 200_000, "x = '\ud83d'", "Here is the code:"],
    ids=lambda source: repr(source[:8]),
)  # fmt: skip
def test_what_is_no_python_does_not_parse(source: str) -> None:
    assert parses(source) == "does_not_parse"


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60))
def test_no_text_raises(source: str) -> None:
    assert parses(source) in (None, "does_not_parse")


# tests that say something


@pytest.mark.parametrize(
    "test",
    [
        "assert add(1, 2) == 3",
        "from solution import add as plus\nassert plus(1, 2) == 3",
        "def test_add():\n    assert add(1, 2) == 3",
        "if add(1, 2) != 3:\n    raise ValueError",
        CASE.format(3) + "if __name__ == '__main__':\n    unittest.main()",
        CASE.format(3) + "unittest.main()",
    ],
)
def test_a_test_that_passes_with_the_solution_only_is_a_test(test: str) -> None:
    assert run_test(ADD, test) is None


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("assert add(1, 2) == 4", "test_failed"),
        ("def test_add():\n    assert add(1, 2) == 4", "test_failed"),
        (CASE.format(4), "test_failed"),
        ("import pytest\nassert add(1, 2) == 3", "test_failed"),
        ("assert subtract(1, 2) == 3", "test_failed"),
        ("add(1, 2)", "no_assert"),
        ("print(add(1, 2))  # assert", "no_assert"),
        ("assert True", "test_passes_without_solution"),
        ("def check():\n    assert add(1, 2) == 4", "test_passes_without_solution"),
        (ADD + "assert add(1, 2) == 3", "test_passes_without_solution"),
        ("try:\n    assert add(1, 2) == 4\nexcept Exception:\n    pass", "test_passes_without_solution"),
        ("assert add(1, 2) = 3", "does_not_parse"),
    ],
)
def test_a_test_that_fails_or_says_nothing_has_a_reason(test: str, reason: str) -> None:
    assert run_test(ADD, test) == reason


def test_a_solution_that_does_not_parse_is_not_run() -> None:
    assert run_test("def add(:", "assert True") == "does_not_parse"


@pytest.mark.parametrize("leave", ["import os\nos._exit(0)", "import sys\nsys.exit(0)", "raise SystemExit"])
def test_leaving_early_is_no_success(leave: str) -> None:
    assert run_test(leave, "assert False") == "test_failed"
    assert run_test("def f():\n    " + leave.replace("\n", "\n    "), "f()\nassert False") == "test_failed"


def test_the_order_of_a_set_is_the_same_every_time() -> None:
    order = 'order = "".join({"one", "two", "three", "four", "five"})'
    found = {run_test(order, f"assert order.startswith({first!r})") for first in ("one", "two", "three")}
    again = {run_test(order, f"assert order.startswith({first!r})") for first in ("one", "two", "three")}
    assert found == again


# accidents

NEEDS = "assert reached"


@posix
@pytest.mark.parametrize(
    "act",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', 9))",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')",
        "import os\nos.system('true')",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.fork()",
        "import os\nos.kill(os.getppid(), 0)",
        "import ctypes\nctypes.CDLL(None)",
        "open('f', 'w').write('x' * 10_000_000)",
        "held = bytearray(2_000_000_000)",
        "import os\n[os.open('.', 0) for _ in range(1000)]",
    ],
)
def test_what_no_solution_needs_is_refused(act: str) -> None:
    assert run_test(f"{act}\nreached = True", NEEDS) == "test_failed"


@posix
def test_nothing_is_written_outside_the_folder_of_the_test(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    for act in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(kept)!r}, 'a')",
        f"import os\nos.remove({str(kept)!r})",
        f"import os\nos.rename({str(kept)!r}, 'here')",
        f"import shutil\nshutil.rmtree({str(tmp_path)!r})",
        f"import os\nos.chdir({str(tmp_path)!r})\nopen('new', 'w')",
        f"import pathlib\npathlib.Path({str(kept)!r}).write_text('')",
    ):
        assert run_test(f"{act}\nreached = True", NEEDS) == "test_failed"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kept.txt", "mine")]


@pytest.mark.parametrize(
    "act",
    [
        "import os\nopen('f', 'w').write('x')\nos.rename('f', 'g')\nos.remove('g')",
        "import tempfile\nwith tempfile.TemporaryDirectory() as folder:\n    open(folder + '/f', 'w').close()",
        "import sqlite3\nsqlite3.connect(':memory:').execute('create table t (a)')",
        "import threading\nthread = threading.Thread(target=print)\nthread.start()\nthread.join()",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)\nasyncio.run(f())",
        "import collections, dataclasses, datetime, decimal, functools, heapq, itertools, json, random, re, typing",
        "print('x' * 1_000_000)",
    ],
)
def test_what_solutions_do_need_works(act: str) -> None:
    assert run_test(f"{act}\nreached = True", NEEDS) is None


@pytest.mark.parametrize("act", ["while True:\n    pass", "import time\ntime.sleep(60)"])
def test_what_never_ends_is_ended(act: str) -> None:
    started = time.perf_counter()
    assert run_test(act, NEEDS, seconds=0.5) == "test_timed_out"
    assert time.perf_counter() - started < 5


@posix
def test_the_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "secret")
    said = "import os\nnames = [name for name in os.environ if 'KEY' in name]"
    assert run_test(said, "assert names == []") is None


@pytest.mark.skipif(not Path("/proc/net/dev").exists() or os.getuid() != 0, reason="needs Linux and its namespaces")
def test_there_is_no_network_where_the_kernel_allows_that() -> None:
    if os.system("unshare --user --net true 2>/dev/null") != 0:
        pytest.skip("this kernel gives no namespace")
    said = "seen = [line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line]"
    assert run_test(said, "assert set(seen) <= {'lo'}") is None
