"""The whole benchmark: every model and suite through engine, training stack and judges, one after the other."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from wheelwork.core.chat.messages import ChatRequest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ConfigError
from wheelwork.core.evaluation.measuring import BASE, CANDIDATE, CHAMPION, Contest, measure
from wheelwork.core.evaluation.opening import scoring_identity
from wheelwork.core.loops import Loop, load_loop, read_settings
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.teaching import unresolved
from wheelwork.tests.e2e.command import LABELS, tiny_loop
from wheelwork.tests.fakes import AnsweringChat
from wheelwork.tests.tiny import tiny_adapter

EVENTS: list[str] = []
SUITES = {
    "holdout": {"role": "target", "path": "holdout.jsonl"},
    "quiz": {
        "role": "guard",
        "path": "quiz.jsonl",
        "scorer": {"kind": "multiple_choice", "score": "probability"},
        "margin": 0.1,
    },
    "drawn": {
        "role": "guard",
        "path": "general.jsonl",
        "scorer": {"kind": "matches"},
        "prompt": "plain",
        "margin": 0.3,
        "temperature": 1.0,
        "repeats": 2,
    },
}


@pytest.fixture(autouse=True, scope="module")
def alone(one_thread: None) -> None:
    """Every test here computes on one thread."""


class Serving:
    """An engine whose adapters say their names, the base nothing."""

    def __init__(self) -> None:
        self.chats: dict[str, AnsweringChat] = {}

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> AnsweringChat:
        def answer(request: ChatRequest) -> str:
            return {CHAMPION: "line", CANDIDATE: "bill"}.get(adapter or "", "")

        chat = AnsweringChat(answer, fingerprint=f"serving {adapter}")
        self.chats[adapter or BASE] = chat
        return chat

    def close(self) -> None:
        pass


class FakeEngine:
    kind = "fake"

    def __init__(self) -> None:
        self.serving = Serving()

    def fingerprint(self, model: ModelFiles, adapter: Adapter | None = None) -> str:
        return "fake"

    @contextmanager
    def start(self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path, choices: int = 1) -> Iterator[Any]:
        EVENTS.append("engine on")
        yield self.serving
        EVENTS.append("engine off")


class Faked(Loop):
    """A loop that is served by a fake."""

    served = FakeEngine()

    def engine_for(self, model: ModelFiles) -> Any:
        return self.served


@contextmanager
def showing(what: str, total: float, *_: Any) -> Iterator[Any]:
    EVENTS.append(what)
    told: list[float] = [0.0]
    yield told.append
    assert told[-1] == total and told == sorted(told)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_loop(tmp_path_factory.mktemp("measured") / "loop", suites=SUITES)
    rows = [{"prompt": f"{word}?", "choices": list(LABELS), "answer": "wifi"} for word in ("modem", "kitchen", "euros")]
    (folder / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def base(folder: Path) -> ModelFiles:
    return ModelStore(folder.parent / "store").get(str(folder / "tiny.gguf"))


@pytest.fixture(scope="module")
def adapters(base: ModelFiles, folder: Path) -> dict[str, Adapter]:
    names = enumerate((CHAMPION, CANDIDATE), 1)
    return {name: Adapter.at(tiny_adapter(folder.parent / name, base.folder, seed=seed)) for seed, name in names}


def test_each_suite_is_measured_by_its_stack_and_each_model_in_the_same_way(
    folder: Path, base: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    loop = Faked(folder, read_settings(folder))
    EVENTS.clear()
    measured = measure(Contest(loop, base, adapters, loop.suites), tmp_path, unresolved, showing)
    assert EVENTS == ["engine on", "benchmark", "engine off", "read"]
    assert {name: list(models) for name, models in measured.answered.items()} == {
        name: [BASE, CHAMPION, CANDIDATE] for name in SUITES
    }
    holdout = measured.answered["holdout"]
    assert holdout[BASE].mean == 0.0
    assert holdout[CHAMPION].mean == holdout[CANDIDATE].mean == pytest.approx(1 / 3)
    quiz = [measured.answered["quiz"][model].values for model in (BASE, CHAMPION, CANDIDATE)]
    assert len(set(quiz)) == 3 and all(value is not None and 0 < value < 1 for values in quiz for value in values)
    assert len(measured.answered["drawn"][BASE].every_reply[0]) == 2
    assert measured.calls == 3 * (48 + 2 * 24) and measured.reused == 0
    again = measure(Contest(loop, base, adapters, loop.suites), tmp_path, unresolved, showing)
    assert again.answered == measured.answered
    assert again.calls == 0 and again.reused == measured.calls


def test_one_model_alone(folder: Path, base: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path) -> None:
    loop = Faked(folder, read_settings(folder))
    suites = {"quiz": loop.suites["quiz"]}
    EVENTS.clear()
    only = Contest(loop, base, {CANDIDATE: adapters[CANDIDATE]}, suites, only=CANDIDATE)
    measured = measure(only, tmp_path, unresolved, showing)
    assert list(measured.answered["quiz"]) == [CANDIDATE]
    assert EVENTS == ["read"]  # nobody asks the engine


def test_a_scorer_that_asks_wants_a_teacher_with_the_role(folder: Path, tmp_path: Path) -> None:
    judged = {"holdout": SUITES["holdout"], "style": {"role": "guard", "path": "general.jsonl", "margin": 0.1}}
    judged["style"] = judged["style"] | {"scorer": {"kind": "judge"}}  # type: ignore[dict-item]
    for name in ("holdout.jsonl", "general.jsonl", "seeds.jsonl", "rehearsal.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = yaml.safe_load((folder / "loop.yaml").read_text(encoding="utf-8")) | {"suites": judged}
    (tmp_path / "loop.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"`suites.style.scorer` is `judge`, and no teacher has the role `judge`"):
        load_loop(tmp_path)
    teacher = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "big", "roles": ["writer", "judge"]}
    (tmp_path / "loop.yaml").write_text(yaml.safe_dump(config | {"teacher": teacher}), encoding="utf-8")
    loop = load_loop(tmp_path)
    assert set(scoring_identity(loop, unresolved)) == {"judge", "prompt judge"}
    assert list(loop.review_templates) == ["judge"]


def test_a_loop_whose_scorers_ask_nobody_names_nothing(folder: Path) -> None:
    assert scoring_identity(load_loop(folder), unresolved) == {}
