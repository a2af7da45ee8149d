"""The program that `code_checks` starts in a process of its own: limits first, then the solution, then its test.

Run by path, as `python -s -S -P -B code_runner.py SECONDS MEGABYTES` in an empty folder with solution.py and test.py.
It ends with PASSED when the test ran through, with anything else when it did not, and says nothing.
"""

import ast
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

PASSED = 77  # no program ends with this by accident, as it may with 0
MEGABYTE = 1 << 20
LARGEST_FILE = 4 * MEGABYTE
MOST_FILES, MOST_PROCESSES = 64, 64
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET

REFUSED = (
    "socket.", "subprocess.", "ctypes.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
    "os.startfile", "os.kill", "pty.spawn", "signal.pthread_kill", "webbrowser.open",
)  # fmt: skip
# event → which of its arguments are paths that would be changed
CHANGES = {
    "os.remove": (0,), "os.rename": (0, 1), "os.rmdir": (0,), "os.mkdir": (0,), "os.link": (1,), "os.symlink": (1,),
    "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,), "shutil.rmtree": (0,),
    "sqlite3.connect": (0,),
}  # fmt: skip


def main(seconds: int, megabytes: int) -> None:
    here = os.path.realpath(Path.cwd())
    solution, test = Path("solution.py").read_text(encoding="utf-8"), Path("test.py").read_text(encoding="utf-8")
    if uses(test, "unittest"):
        without_main()
    isolate()
    limit(seconds, megabytes)
    sys.addaudithook(guard(here))
    module = ModuleType("solution")
    sys.modules["solution"] = module
    exec(compile(solution, "solution.py", "exec"), module.__dict__)
    tests = ModuleType("test_solution")
    sys.modules["test_solution"] = tests
    tests.__dict__.update({name: value for name, value in vars(module).items() if not name.startswith("__")})
    exec(compile(test, "test.py", "exec"), tests.__dict__)
    run_functions(vars(tests), vars(module))
    os._exit(PASSED)  # at once: threads and exit handlers of the solution have no say any more


def run_functions(tests: dict[str, Any], solution: dict[str, Any]) -> None:
    """Call what a test runner would have found: `test_…` without arguments, and unittest's cases."""
    for name, value in list(tests.items()):
        if solution.get(name) is value:
            continue
        if name.startswith("test") and callable(value) and not needs_arguments(value):
            value()
        unittest = sys.modules.get("unittest")
        if unittest and isinstance(value, type) and issubclass(value, unittest.TestCase):
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(value).run(result)
            if not result.wasSuccessful() or result.testsRun == len(result.skipped):
                raise AssertionError(f"{name} fails")


def needs_arguments(function: Any) -> bool:
    code, defaults = getattr(function, "__code__", None), getattr(function, "__defaults__", None)
    return code is None or code.co_argcount > len(defaults or ())


def uses(source: str, name: str) -> bool:
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [alias.name for node in imports for alias in node.names]
    modules += [node.module or "" for node in imports if isinstance(node, ast.ImportFrom)]
    return name in (module.split(".")[0] for module in modules)


def without_main() -> None:
    """`unittest.main()` at the end of a test would look for cases in this file and leave with success."""
    import unittest

    vars(unittest)["main"] = lambda *args, **options: None


def isolate() -> None:
    """A network of its own with nothing in it, where the kernel allows that to everybody."""
    try:
        if hasattr(os, "unshare"):  # since Python 3.12
            os.unshare(NEW_USER | NEW_NETWORK)
        elif sys.platform == "linux":
            import ctypes

            if ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK) != 0:
                return
        else:
            return
    except (OSError, ImportError, AttributeError):
        return
    # counted within the new user namespace; outside of one, all that the user runs would count
    limits(MOST_PROCESSES, "RLIMIT_NPROC")


def limit(seconds: int, megabytes: int) -> None:
    limits(seconds, "RLIMIT_CPU")
    limits(megabytes * MEGABYTE, "RLIMIT_AS")
    limits(0, "RLIMIT_CORE")
    limits(LARGEST_FILE, "RLIMIT_FSIZE")
    limits(MOST_FILES, "RLIMIT_NOFILE")


def limits(most: int, name: str) -> None:
    try:
        import resource

        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    except (ImportError, AttributeError, ValueError, OSError):
        pass  # not every system has every limit


def guard(here: str) -> Callable[[str, tuple[Any, ...]], None]:
    """The audit hook that refuses what no solution needs: network, other programs, writing outside `here`."""
    realpath, fspath = os.path.realpath, os.fspath
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not (flags or 0) & writes:
                return
            inside([path], event)
        elif event in CHANGES:
            inside([arguments[index] for index in CHANGES[event]], event)
        elif event == "socket.__new__" and arguments[1] == 1:
            return  # AF_UNIX: asyncio wakes itself through a pair of them; none can be connected
        elif event.startswith(REFUSED):
            raise PermissionError(f"{event} is not for solutions")

    def inside(paths: Iterable[Any], event: str) -> None:
        for path in paths:
            if isinstance(path, int) or path in (":memory:", b":memory:", os.devnull):
                continue
            whole = realpath(os.fsdecode(fspath(path)))
            if whole != here and not whole.startswith(here + os.sep):
                raise PermissionError(f"{event} outside the folder of the test")

    return check


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
