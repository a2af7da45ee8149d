"""A student that learns from the replies of a loop's adapter, and from its logits."""

from pathlib import Path

import pytest
from wheelwork.core.chat.messages import ChatRequest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import DataError, ModelError
from wheelwork.core.export.asking import Answerer, engine_serving, replies_of
from wheelwork.core.export.student import Distilling, check_same_tokens, distil, prompts_of
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.training.trainer import train_adapter
from wheelwork.tests.e2e.command import rows, tiny_loop
from wheelwork.tests.tiny import TEXTS, tiny_gguf

TEACHING = {"rank": 16, "epochs": 20, "batch_size": 8, "learning_rate": 0.01, "noise": 0.0}


@pytest.fixture(scope="module")
def taught(place: Path) -> Loop:
    """A loop whose training makes a random model answer with labels."""
    engine = {"kind": "llamacpp", "context": 512, "threads": 1}
    return load_loop(tiny_loop(place / "taught", train=TEACHING, engine=engine))


@pytest.fixture(scope="module")
def teacher(taught: Loop, place: Path) -> Answerer:
    """An adapter that was trained on the loop's seeds."""
    base = ModelStore(place / "store").get(str(taught.folder / "tiny.gguf"))
    train_adapter(taught.material.seed_samples(), base, taught.settings.train, seed=0,
                  target=place / "teacher", checkpoints=place / "work")  # fmt: skip
    return Answerer("teacher", base, Adapter.at(place / "teacher"), engine_serving(taught, base))


@pytest.fixture(scope="module")
def student(taught: Loop, place: Path) -> ModelFiles:
    """Another random model that knows the same tokens."""
    texts = [*TEXTS, *(row["text"] for row in rows(8))]
    return ModelStore(place / "store").get(str(tiny_gguf(place / "student.gguf", "llama", 1, seed=7, texts=texts)))


@pytest.mark.parametrize("kind", ["sequence", "logits"])
def test_a_student_learns_what_its_teacher_says(
    taught: Loop, teacher: Answerer, student: ModelFiles, kind: str, tmp_path: Path
) -> None:
    prompts = prompts_of(taught, [], 500, seed=0)
    assert len(prompts) == len(taught.seeds)
    settings = Distilling.model_validate({"kind": kind, "top_k": 30, "hard": 0.2})
    told: list[str] = []
    done = distil(
        taught, teacher, student, prompts, settings, tmp_path / "out", tmp_path / "cache",
        progress=lambda label, *_: told.append(label),
    )  # fmt: skip
    scores = done.suites["holdout"]
    assert scores.items == 48 and scores.teacher is not None and scores.after is not None
    assert scores.before == 0.0 and scores.teacher > 0.2
    learnt = Answerer("student", student, Adapter.at(tmp_path / "out"), teacher.engine)
    asked = [ChatRequest(messages=prompt, max_tokens=24) for prompt in prompts]
    said = [[reply.text for reply in replies_of(one, asked, tmp_path / "cache")] for one in (teacher, learnt)]
    assert sum(one == other for one, other in zip(*said, strict=True)) > len(prompts) / 2
    assert Adapter.at(tmp_path / "out") and done.trained.samples == done.taught
    assert {"the teacher answers", "training the student", "measuring"} <= set(told)
    assert ("asking the teacher" in told) == (kind == "logits")


def test_logits_need_the_same_tokens(teacher: Answerer, taught: Loop, tmp_path: Path) -> None:
    other = ModelStore(tmp_path / "store").get(str(tiny_gguf(tmp_path / "other.gguf", "llama", texts=["abc abc"])))
    with pytest.raises(ModelError, match=r"other: its tokens are not those of tiny.*--kind sequence"):
        check_same_tokens(teacher.model, other)
    prompts = prompts_of(taught, [], 4, seed=0)
    with pytest.raises(ModelError, match="--kind sequence"):
        distil(taught, teacher, other, prompts, Distilling(kind="logits"), tmp_path / "out", tmp_path / "cache")


def test_without_a_prompt_nothing_can_be_taught(
    taught: Loop, teacher: Answerer, student: ModelFiles, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no prompt for the teacher"):
        distil(taught, teacher, student, [], Distilling(), tmp_path / "out", tmp_path / "cache")


def test_prompts_are_drawn_once_each_by_their_seed(taught: Loop) -> None:
    pooled = taught.material.seed_samples()
    everything = prompts_of(taught, pooled, 500, seed=0)
    assert len(everything) == len(set(everything)) == len(taught.seeds)
    few = [prompts_of(taught, [], 5, seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2] and len(few[0]) == 5
    assert all(prompt[-1].role == "user" for prompt in everything)
