"""Scorers that run something: the item's tests, a function of yours, a metric of the library `evaluate`."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...errors import ConfigError
from .context import Opened
from .item import Answer, Item, Score, Scoring, finite

Function = Callable[[str, Item], "float | None"]


class CodeTests(Scoring):
    """1.0 when the code in the reply passes the item's tests, else 0.0, with the reason.

    The tests run as `generation/code_checks.py` says: a process of its own, limited in time, memory and files, without
    network where the kernel allows it. It is no jail: run suites of models that you do not trust in a container.
    """

    fields: ClassVar[tuple[str, ...]] = ("tests",)

    kind: Literal["code_tests"] = Field("code_tests", description="the code in the reply passes the item's tests")
    seconds: float = Field(5, gt=0, le=600, description="longest time that the tests of an item may take")
    memory_mb: int = Field(512, ge=64, le=65536, description="most memory that they may take, in MiB")
    workers: int = Field(1, ge=1, le=64, description="items whose tests run at the same time")

    def score_all(self, answers: Sequence[Answer], opened: Opened) -> list[Score]:
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._score, answers))

    def _score(self, one: Answer) -> Score:
        from ...generation.code_checks import run_test
        from ...quality.rows.python_code import code_in

        reason = run_test(code_in(one.reply), one.item.tests, self.seconds, self.memory_mb)
        return Score(float(reason is None), reason or "")


class CallableScore(Scoring):
    """What a Python function of yours says of a reply: `(reply, item) -> float | None`; higher is better.

    None, NaN and infinity are unscored. `item` has the fields of the row, and its other columns in `item.columns`.
    The function runs in the process of the benchmark, with all that it may do there. Raises ConfigError when it cannot
    be imported, or when it fails.
    """

    bounded: ClassVar[bool] = False

    kind: Literal["callable"] = Field("callable", description="a Python function of yours")
    call: str = Field(
        pattern=r"^[^:]+\.py:\w+$|^\w+(\.\w+)*[.:]\w+$",
        description="`file.py:function`, from the loop's folder, or `package.module.function`",
    )

    def ready(self, folder: Path) -> None:
        self.function(folder)

    def files(self, folder: Path) -> tuple[Path, ...]:
        path = self._path(folder)
        return () if path is None else (path,)

    def function(self, folder: Path) -> Function:
        """The function. Raises ConfigError."""
        path = self._path(folder)
        module, _, name = self.call.replace(":", ".").rpartition(".") if path is None else self.call.rpartition(":")
        try:
            found = getattr(importlib.import_module(module) if path is None else _module(path), name)
        except Exception as error:  # whatever the user's module does at import
            raise ConfigError(f"`call: {self.call}` cannot be imported ({_said(error)}); mend it") from None
        if not callable(found):
            raise ConfigError(f"`call: {self.call}` is no function; name one that takes reply and item")
        function: Function = found
        return function

    def _path(self, folder: Path) -> Path | None:
        file, _, _ = self.call.rpartition(":")
        return folder / file if file.endswith(".py") else None

    def score_all(self, answers: Sequence[Answer], opened: Opened) -> list[Score]:
        function = self.function(opened.folder)
        return [self._score(function, one) for one in answers]

    def _score(self, function: Function, one: Answer) -> Score:
        try:
            value = function(one.reply, one.item)
            return Score.unscored("none") if value is None else finite(value)
        except Exception as error:
            raise ConfigError(
                f"`call: {self.call}` fails on item `{one.item.id}` ({_said(error)}); mend it, or return None for a "
                "reply that it cannot score"
            ) from error


class Metric(Scoring):
    """A metric of the library `evaluate`, computed for each reply alone; higher is better.

    `name` is a file or folder of the loop, or a name that the library knows. A name is looked up on the Hub, which
    fails offline. `key` picks one of the figures that the metric gives; a figure of which less is better needs
    `lower_is_better: true` and is negated. References are the item's answers, or its label.
    """

    fields: ClassVar[tuple[str, ...]] = ("answers", "label")
    bounded: ClassVar[bool] = False

    kind: Literal["metric"] = Field("metric", description="a metric of the library `evaluate`")
    name: str = Field(min_length=1, description="file or folder from the loop's folder, or a name on the Hub")
    key: str | None = Field(None, description="which of its figures; unset: the only one")
    lower_is_better: bool = Field(False, description="negate it")
    references: Literal["first", "all"] = Field("first", description="the first answer, or the list of all of them")
    options: dict[str, str | int | float | bool] = Field({}, description="further arguments of `compute`")

    def ready(self, folder: Path) -> None:
        load_metric(self.name, folder)

    def files(self, folder: Path) -> tuple[Path, ...]:
        path = folder / self.name
        return tuple(sorted(path.rglob("*.py"))) if path.is_dir() else (path,) if path.is_file() else ()

    def score_all(self, answers: Sequence[Answer], opened: Opened) -> list[Score]:
        metric = load_metric(self.name, opened.folder)
        return [self._score(metric, one) for one in answers]

    def _score(self, metric: Any, one: Answer) -> Score:
        right = list(one.item.answers) or [one.item.label or ""]
        reference = right if self.references == "all" else right[0]
        try:
            figures = metric.compute(predictions=[one.reply], references=[reference], **self.options)
        except Exception as error:  # metrics are anybody's code
            raise ConfigError(f"the metric `{self.name}` fails on item `{one.item.id}` ({_said(error)})") from error
        value = self._figure(figures or {})
        return finite(-value if self.lower_is_better else value)

    def _figure(self, figures: Mapping[str, Any]) -> float:
        known = {name: value for name, value in figures.items() if isinstance(value, int | float)}
        key = self.key or (next(iter(known)) if len(known) == 1 else None)
        if key not in known:
            listed = ", ".join(known) or "none"
            raise ConfigError(f"the metric `{self.name}` gives these figures: {listed}; name one of them as `key`")
        return float(known[key])


@cache
def load_metric(name: str, folder: Path) -> Any:
    """The metric `name`. Raises ConfigError where the library or the metric is not there."""
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    try:
        import evaluate
    except ImportError:
        raise ConfigError(
            "the scorer `metric` needs the library `evaluate`; pip install 'wheelwork[evaluate]'"
        ) from None
    local = folder / name
    try:
        return evaluate.load(str(local) if local.exists() else name)
    except Exception as error:  # of the Hub, of a script, of a package that the script wants
        if local.exists():
            raise ConfigError(f"{local}: cannot be loaded as a metric ({_said(error)}); mend it") from None
        raise ConfigError(
            f"there is no metric `{name}` here, and looking it up on the Hub failed ({_said(error)}); put its script "
            f"into the loop's folder and write `name: {Path(name).name}.py`"
        ) from None


@cache
def _module(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path.name}")
    name = f"wheelwork_scorer_{path.stem}_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of the module look themselves up there
    spec.loader.exec_module(module)
    return module


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]
