"""The layers, read from the source: who may import whom, what stays out of `core`, and what every file promises."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = "wheelwork"
LAYERS = (
    "core",
    "blocks",
    "tasks",
    "flows",
    "cli_filter",
    "cli_calibrate",
    "cli_gate",
    "cli_generate",
    "cli_merge",
    "cli_pool",
    "cli_ledger",
    "cli_suite",
    "cli_label",
    "cli_review",
    "cli_export",
    "cli_adapters",
    "cli_benchmark",
    "cli_registry",
    "cli_traffic",
    "cli_canary",
    "cli_keys",
    "cli_serve",
    "cli_hooks",
    "cli_deploy",
    "cli",
    "__main__",
)  # each may import those before it
DATA = ("prompts", "scenarios")  # packages that hold no code
HEAVY = ("torch", "transformers", "prefect", "mlflow", "scipy", "pandas")
LONGEST = 350
UNSAFE_YAML = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}
UNSAFE_YAML |= {"Loader", "FullLoader", "UnsafeLoader", "CLoader", "CFullLoader", "CUnsafeLoader"}

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def folder_of(package: str) -> Path:
    return ROOT.joinpath(*package.split(".")[1:])


FILES = sorted(
    [*ROOT.glob("*.py"), *(path for name in (*LAYERS, *DATA) for path in (ROOT / name).rglob("*.py"))],
)
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())


def module_of(path: Path) -> str:
    parts = (NAME, *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, module: str, package: bool = False) -> Iterator[str]:
    """The dotted names that `source` imports anywhere, relative ones resolved from `module`."""
    here = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            start = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*start, alias.name]) for alias in node.names)


def upward(source: str, module: str, package: bool = False) -> list[str]:
    """What `module` imports of its own package from a layer above its own, or from tests and benchmarks."""
    own = module.split(".")[1] if "." in module else ""
    known = LAYERS[: LAYERS.index(own) + 1] if own in LAYERS else ()
    inside = (name.split(".") for name in imported(source, module, package) if name.split(".")[0] == NAME)
    return [".".join(name) for name in inside if len(name) > 1 and name[1] not in (*known, *DATA, "__version__")]


def unsafe_yaml(source: str) -> list[str]:
    """Names of yaml that build any Python object from a file."""
    tree = ast.parse(source)
    used = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml"
    ]
    used += [name.removeprefix("yaml.") for name in imported(source, NAME) if name.startswith("yaml.")]
    return [name for name in used if name in UNSAFE_YAML]


# the rules


@every_file
def test_no_module_imports_a_layer_above_its_own(path: Path) -> None:
    assert upward(path.read_text(encoding="utf-8"), module_of(path), path.name == "__init__.py") == []


@pytest.mark.parametrize("path", sorted((ROOT / "core").rglob("*.py")), ids=lambda path: path.stem)
def test_core_knows_neither_the_orchestrator_nor_the_tracker(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"), module_of(path))}
    assert not roots & {"prefect", "mlflow"}


@pytest.mark.parametrize("module", ["cli", "core.loops", "blocks.gateway"])  # a killed gateway is back in seconds
def test_what_is_slow_to_import_waits_until_it_is_asked_for(module: str) -> None:
    names = f"import sys, wheelwork.{module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", names], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@every_file
def test_every_module_says_what_it_is_for(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not source.strip() or ast.get_docstring(ast.parse(source)), "a file with code needs a docstring"


@every_file
def test_no_file_is_so_long_that_it_is_two(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@every_file
def test_yaml_is_read_as_data_only(path: Path) -> None:
    assert unsafe_yaml(path.read_text(encoding="utf-8")) == []


def test_every_package_is_in_the_wheel() -> None:
    folders = {path.parent for path in FILES}
    assert {folder_of(package) for package in PYPROJECT["packages"]} == folders
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_every_data_file_is_in_the_wheel() -> None:
    packed = {
        path
        for package, patterns in PYPROJECT["package-data"].items()
        for pattern in patterns
        for path in folder_of(package).glob(pattern)
    }
    lying = {
        path
        for name in (*LAYERS, *DATA)
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert lying | {ROOT / "prefect.yaml", ROOT / "py.typed"} <= packed


# that the rules see what they forbid


def test_there_is_something_to_check() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert {"core", "blocks", "tasks", "flows", "cli.py", "__main__.py"} <= found


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("wheelwork.core.chat.cache", "from ...tasks.turn import opened", ["wheelwork.tasks.turn.opened"]),
        ("wheelwork.core.loops", "from .. import tasks", ["wheelwork.tasks"]),
        ("wheelwork.core.loops", "from ..blocks import tracking", ["wheelwork.blocks.tracking"]),
        ("wheelwork.core.loops", "import wheelwork.flows.improve as flow", ["wheelwork.flows.improve"]),
        ("wheelwork.blocks.tracking", "from wheelwork.tasks import steps", ["wheelwork.tasks.steps"]),
        ("wheelwork.tasks.turn", "def f():\n    from ..flows import improve", ["wheelwork.flows.improve"]),
        ("wheelwork.flows.improve", "from ..cli import app", ["wheelwork.cli.app"]),
        ("wheelwork.cli", "from .tests.fakes import ScriptedChat", ["wheelwork.tests.fakes.ScriptedChat"]),
        ("wheelwork.core.loops", "from .text import words\nfrom ..core import text\nfrom .. import __version__", []),
        ("wheelwork.flows.improve", "from ..tasks.turn import opened\nimport wheelwork\nimport tasks", []),
        ("wheelwork", "from .core import loops", ["wheelwork.core.loops"]),
    ],
)  # fmt: skip
def test_an_import_upwards_is_seen(module: str, source: str, found: list[str]) -> None:
    assert upward(source, module, package=module == NAME) == found


def test_a_relative_import_of_a_package_starts_at_itself() -> None:
    assert list(imported("from . import a\nfrom ..b import c", "wheelwork.core.chat", package=True)) == [
        "wheelwork.core.chat.a",
        "wheelwork.core.b.c",
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import yaml\nyaml.load(text, Loader=yaml.FullLoader)", ["load", "FullLoader"]),
        ("from yaml import unsafe_load", ["unsafe_load"]),
        ("import yaml\nyaml.compose(text, Loader=yaml.SafeLoader)\nyaml.safe_load(text)", []),
        ("import json\njson.load(stream)", []),
    ],
)
def test_an_unsafe_loader_is_seen(source: str, found: list[str]) -> None:
    assert sorted(unsafe_yaml(source)) == sorted(found)


def test_openmp_is_told_not_to_spin_before_torch_or_llama_cpp_is_loaded() -> None:
    said = "import os, sys; os.environ.pop('GOMP_SPINCOUNT', None); import wheelwork; "
    said += "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True).stdout.split() == [
        "3000",
        "False",
    ]
