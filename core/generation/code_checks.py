"""Whether code that a teacher wrote parses, and passes a test that says something about it.

The test runs in a process of its own: limited in time, memory, files and processes, without network where the kernel
allows it, in an empty folder that is removed afterwards, and with an audit hook that refuses sockets, other programs
and writing outside that folder. This keeps accidents of generated code from doing harm. **It is not a jail**: Python
code that sets out to get around an audit hook can, and it can read what the user can read. Whoever does not trust the
teacher runs the whole loop in a container.
"""

import ast
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from math import ceil
from pathlib import Path

from ..errors import WorkspaceError
from .code_runner import PASSED

RUNNER = Path(__file__).with_name("code_runner.py")
LONGEST = 100_000  # characters; what is longer is not the answer to a small task
# as -I, but for the environment: -s no packages of the user, -S none of the site, -P no folder of the program
ISOLATED = ("-s", "-S", "-P", "-B")
# sets must come in the same order every time, or a test may pass in one round and fail in the next
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}


def parses(source: str) -> str | None:
    """None for Python code that compiles, else `does_not_parse`. Nothing is run."""
    if not source.strip() or len(source) > LONGEST:
        return "does_not_parse"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about code of others
            compile(source, "solution.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return "does_not_parse"
    return None


def run_test(solution: str, test: str, seconds: float = 5, memory_mb: int = 512) -> str | None:
    """None when `test` passes with `solution`, and fails without it; else why not.

    `does_not_parse`: one of the two is no Python; `no_assert`: the test claims nothing; `test_failed`: it raised, left
    early or needed what it may not have; `test_timed_out`: it took longer than `seconds`;
    `test_passes_without_solution`: what it claims is not about the solution.

    The names of the solution are the test's own, and stand in the module `solution` too. Functions `test_…` without
    arguments and cases of unittest are run. Only the standard library can be imported. Blocks for two processes, one
    with the solution and one without: 30 to 70 ms each, besides what the code itself takes.
    """
    if parses(solution) or parses(test):
        return "does_not_parse"
    if not _claims_something(test):
        return "no_assert"
    if reason := _run(solution, test, seconds, memory_mb):
        return reason
    return None if _run("", test, seconds, memory_mb) else "test_passes_without_solution"


def _claims_something(test: str) -> bool:
    """Whether an assertion stands anywhere in the test: `assert`, `raise`, or a call like `self.assertEqual(…)`."""
    for node in ast.walk(ast.parse(test)):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name.startswith(("assert", "fail")):
                return True
    return False


def _run(solution: str, test: str, seconds: float, memory_mb: int) -> str | None:
    try:
        with tempfile.TemporaryDirectory(prefix="wheelwork-", ignore_cleanup_errors=True) as folder:
            (Path(folder) / "solution.py").write_text(solution, encoding="utf-8")
            (Path(folder) / "test.py").write_text(test, encoding="utf-8")
            process = subprocess.Popen(
                [sys.executable, *ISOLATED, str(RUNNER), str(ceil(seconds) + 1), str(memory_mb)],
                cwd=folder,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            return _outcome(process, seconds)
    except OSError as error:
        raise WorkspaceError(f"the test of a solution cannot be run ({error}); free some space and memory") from None


def _outcome(process: "subprocess.Popen[bytes]", seconds: float) -> str | None:
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return "test_timed_out"
    finally:
        _end(process)
    if code == PASSED:
        return None
    return "test_timed_out" if code == -getattr(signal, "SIGXCPU", 0) != 0 else "test_failed"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and whatever it started: they are a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except AttributeError:  # Windows has no process groups
        process.kill()
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
