"""Scorers that run code: the item's tests, a function of the user's, a metric of `evaluate`."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from wheelwork.core.errors import ConfigError
from wheelwork.core.evaluation.scorers import Answer, CallableScore, CodeTests, Item, Metric, Opened, Score, Scorer

FUNCTION = '''
def length(reply, item):
    """None for silence, and an error for a bad word."""
    if reply == "bad":
        raise ValueError("a bad word")
    if reply == "endless":
        return float("inf")
    return len(reply) / item.columns["most"] if reply else None

TEN = 10
'''


def replied(*replies: str, **fields: object) -> list[Answer]:
    items = [Item.model_validate({"id": str(at), "prompt": "?"} | fields) for at in range(len(replies))]
    return [Answer(item, (), reply) for item, reply in zip(items, replies, strict=True)]


def test_code_passes_its_tests_or_says_why_not() -> None:
    test = "assert double(2) == 4"
    answers = replied(
        "```python\ndef double(x):\n    return 2 * x\n```", "def double(x): return x", "I cannot.", tests=test
    )
    found = CodeTests(workers=2).score_all(answers, Opened())
    assert found == [Score(1.0), Score(0.0, "test_failed"), Score(0.0, "does_not_parse")]


def test_a_function_in_a_file_of_the_loop(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(FUNCTION, encoding="utf-8")
    scorer = CallableScore(call="own.py:length")
    scorer.ready(tmp_path)
    assert scorer.files(tmp_path) == (tmp_path / "own.py",)
    found = scorer.score_all(replied("four", "", "endless", columns={"most": 8}), Opened(folder=tmp_path))
    assert found == [Score(0.5), Score.unscored("none"), Score.unscored("not_finite")]


def test_a_function_of_a_package() -> None:
    scorer = CallableScore(call="operator.contains")
    assert scorer.files(Path()) == () and scorer.function(Path())("ab", "a") is True  # type: ignore[arg-type]


def test_a_function_that_fails_is_named_with_the_item(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(FUNCTION, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"`call: own.py:length` fails on item `0` \(a bad word\); mend it"):
        CallableScore(call="own.py:length").score_all(replied("bad"), Opened(folder=tmp_path))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("none.py:length", "cannot be imported (there is no none.py)"),
        ("own.py:none", "cannot be imported (module"),
        ("own.py:TEN", "is no function"),
        ("no_such_package.function", "cannot be imported (No module named 'no_such_package')"),
        ("broken.py:f", "cannot be imported (division by zero)"),
    ],
)
def test_a_function_that_is_not_there_is_refused(tmp_path: Path, call: str, said: str) -> None:
    (tmp_path / "own.py").write_text(FUNCTION, encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        CallableScore(call=call).ready(tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("call", ["length", "own.py:", "a b.c", ":f"])
def test_what_names_no_function_is_refused(call: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[Scorer](Scorer).validate_python({"kind": "callable", "call": call})


# metrics of evaluate

METRIC = """
import datasets
import evaluate


class Overlap(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="shared letters", citation="", inputs_description="",
            features=datasets.Features({name: datasets.Value("string") for name in ("predictions", "references")}),
        )

    def _compute(self, predictions, references, minus=0.0):
        shared = [len(set(a) & set(b)) for a, b in zip(predictions, references)]
        return {"shared": sum(shared) / len(shared) - minus, "errors": 2.0, "text": "x"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("evaluate")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "overlap.py").write_text(METRIC, encoding="utf-8")
    return tmp_path


def test_a_metric_in_a_file_of_the_loop(folder: Path) -> None:
    answers = replied("abc", "xyz", answers=("abd", "c"))
    metric = Metric(name="overlap.py", key="shared")
    metric.ready(folder)
    assert [one.value for one in metric.score_all(answers, Opened(folder=folder))] == [2.0, 0.0]
    worse = metric.model_copy(update={"lower_is_better": True, "options": {"minus": 1.0}})
    assert [one.value for one in worse.score_all(answers, Opened(folder=folder))] == [-1.0, 1.0]
    assert metric.files(folder) == (folder / "overlap.py",)


def test_a_metric_with_several_figures_wants_a_key(folder: Path) -> None:
    with pytest.raises(ConfigError, match="gives these figures: shared, errors; name one of them as `key`"):
        Metric(name="overlap.py").score_all(replied("a", answers=("a",)), Opened(folder=folder))


def test_a_metric_that_is_not_here_is_one_sentence(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no metric `no_such_metric` here, and looking it up on the Hub failed .*"):
        Metric(name="no_such_metric").ready(folder)
    (folder / "broken.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken.py: cannot be loaded as a metric"):
        Metric(name="broken.py").ready(folder)
