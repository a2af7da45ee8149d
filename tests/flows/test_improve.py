"""The flow: it reads aloud, its parameters make a usable form, and it keeps to one round at a time."""

import ast
import inspect
from pathlib import Path

import pytest
from filelock import FileLock
from wheelwork.core.errors import BusyError, ConfigError, DataError
from wheelwork.tests.e2e.command import tiny_loop

FLOWS = sorted((Path(__file__).parents[2] / "flows").glob("*.py"))
STORY = (
    ast.Module, ast.Expr, ast.Constant, ast.Import, ast.ImportFrom, ast.alias, ast.FunctionDef, ast.arguments, ast.arg,
    ast.With, ast.withitem, ast.Assign, ast.Return, ast.Call, ast.keyword, ast.Attribute, ast.Name, ast.Load, ast.Store,
    ast.BinOp, ast.BitOr, ast.Tuple,
)  # fmt: skip


def strangers(source: str) -> list[str]:
    """What stands in a flow and is no story: arithmetic, loops, conditions, files."""
    found = []
    for node in ast.walk(ast.parse(source)):
        summed = isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitOr)  # `int | None` is no arithmetic
        if summed or not isinstance(node, STORY):
            found.append(type(node).__name__)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "open", "print", "read_text", "write_text", "run",
        ):  # fmt: skip
            found.append(ast.unparse(node.func))
    return found


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_a_flow_reads_aloud(path: Path) -> None:
    assert strangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("x = 1 + 2", "BinOp"),
        ("open('x')", "open"),
        ("Path('x').read_text()", "Path('x').read_text"),
        ("if x: y()", "If"),
        ("for x in y: z()", "For"),
        ("x = [y for y in z]", "ListComp"),
        ("x = not y", "UnaryOp"),
    ],
)
def test_the_rule_sees_what_it_forbids(code: str, named: str) -> None:
    assert named in strangers(code)


def test_the_form_has_typed_parameters() -> None:
    from wheelwork.flows.improve import improve

    fields = improve.parameters.properties
    assert set(fields) == {"loop", "samples", "seed", "from_step"}
    assert improve.parameters.required == ["loop"]
    assert fields["loop"]["type"] == "string"
    assert all({"type": "integer"} in fields[name]["anyOf"] for name in ("samples", "seed"))
    assert all(field.get("description") for field in fields.values())
    assert not inspect.iscoroutinefunction(improve.fn)


@pytest.fixture
def home(tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.usefixtures("prefect")
class TestAtTheDoor:
    def test_a_second_round_of_a_loop_is_refused_and_costs_nothing(self, home: Path, tmp_path: Path) -> None:
        from wheelwork.flows.improve import improve

        loop = tiny_loop(tmp_path / "loop", models=False)
        (home / "locks").mkdir(parents=True)
        with FileLock(home / "locks" / "tiny.lock"), pytest.raises(BusyError, match="`tiny` is running already"):
            improve(str(loop))
        assert [path.name for path in home.iterdir()] == ["locks"]

    def test_a_round_that_fails_gives_the_lock_back(self, home: Path, tmp_path: Path) -> None:
        from wheelwork.flows.improve import improve

        loop = tiny_loop(tmp_path / "loop", models=False)
        for _ in range(2):  # the second try would find the lock of the first
            with pytest.raises(Exception, match=r"tiny\.gguf"):
                improve(str(loop))
        with FileLock(home / "locks" / "tiny.lock", timeout=0):
            pass

    def test_mistakes_arrive_as_they_were_raised(self, home: Path, tmp_path: Path) -> None:
        from wheelwork.flows.improve import improve

        with pytest.raises(ConfigError, match="no such folder"):
            improve(str(tmp_path / "nowhere"))
        loop = tiny_loop(tmp_path / "loop", models=False)
        (loop / "seeds.jsonl").write_text("{", encoding="utf-8")
        with pytest.raises(DataError, match=r"seeds\.jsonl:1"):
            improve(str(loop))
