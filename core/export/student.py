"""A smaller model that learns from a loop's adapter: from its replies, or from what it thought of each token too."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..chat.messages import ChatRequest
from ..errors import DataError, ModelError
from ..loops import Loop
from ..models.pretrained import loading
from ..models.progress import Progress, quiet_transformers, silent
from ..models.store import ModelFiles
from ..samples import Message, Sample
from ..settings import Setting
from ..training.settings import Training
from ..training.trained import Trained
from .asking import Answerer, answers_of, engine_serving, replies_of

Prompt = tuple[Message, ...]


class Distilling(Setting):
    """How a student is taught."""

    kind: Literal["sequence", "logits"] = Field(
        "sequence", description="sequence: from the teacher's replies; logits: from its likeliest tokens as well"
    )
    top_k: int = Field(20, ge=1, le=1000, description="logits: how many tokens of the teacher are kept for each")
    temperature: float = Field(2.0, gt=0, le=20, description="logits: above 1, what is unlikely counts for more")
    hard: float = Field(0.5, ge=0, le=1, description="logits: share of the loss that is the reply itself")


@dataclass(frozen=True)
class SuiteScores:
    """Means of one target suite; None where nothing was scored."""

    items: int
    teacher: float | None
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Distilled:
    """What a distillation did."""

    trained: Trained
    taught: int
    """Replies of the teacher that the student learnt from."""
    cut: int
    """Of them, those that the token limit cut; where they end is not learnt."""
    suites: dict[str, SuiteScores]


def distil(
    loop: Loop,
    teacher: Answerer,
    student: ModelFiles,
    prompts: Sequence[Prompt],
    settings: Distilling,
    target: Path,
    cache: Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Distilled:
    """Let `teacher` answer `prompts`, train an adapter of `student` on that, write it to `target`, score both.

    The training is the loop's `train` without `start`, `keep` and `focus`, which are about the champion; with logits a
    message is read as it is, whole and without noise, as that is what the teacher thought about, and in one process.
    Raises DataError without prompts, ModelError where logits cannot be compared.
    """
    from ..training.trainer import train_adapter

    if not prompts:
        raise DataError(f"{loop.name}: there is no prompt for the teacher to answer; give the loop seeds")
    # what looks at the champion or holds to it is of the loop's own base
    training = loop.settings.train.model_copy(update={"start": "scratch", "keep": (), "focus": ()})
    if settings.kind == "logits":
        check_same_tokens(teacher.model, student)
        training = training.model_copy(update={"noise": 0.0, "too_long": "drop", "processes": 1})
    samples, cut = _taught(loop, teacher, prompts, cache, progress)
    soft = _soft(samples, teacher, student, training, settings, cache, progress) if settings.kind == "logits" else None
    trained = train_adapter(
        samples,
        student,
        training,
        seed=seed,
        target=target,
        checkpoints=cache / "training" / "students",
        on_step=lambda step: progress("training the student", step.step, step.steps),
        soft=soft,
    )
    return Distilled(trained, len(samples), cut, _scores(loop, teacher, student, target, cache, progress))


def check_same_tokens(teacher: ModelFiles, student: ModelFiles) -> None:
    """Raises ModelError unless both models know the same tokens by the same numbers."""
    import transformers

    known = []
    for files in (teacher, student):
        with loading(files.name, "a causal language model"):
            known.append(transformers.AutoTokenizer.from_pretrained(files.folder, local_files_only=True).get_vocab())
    if known[0] != known[1]:
        raise ModelError(
            f"{student.name}: its tokens are not those of {teacher.name}, so there are no logits to compare; use "
            "--kind sequence"
        )


def _taught(
    loop: Loop, teacher: Answerer, prompts: Sequence[Prompt], cache: Path, progress: Progress
) -> tuple[list[Sample], int]:
    """The teacher's replies as samples, and how many of them were cut."""
    longest = max(suite.settings.max_tokens for suite in loop.suites.values() if suite.settings.role == "target")
    asked = [ChatRequest(messages=prompt, max_tokens=longest) for prompt in prompts]
    told = replies_of(teacher, asked, cache, lambda done: progress("the teacher answers", done, len(asked)))
    samples = []
    for prompt, reply in zip(prompts, told, strict=True):
        if not reply.text.strip():
            continue
        label = reply.text.strip() if reply.text.strip() in loop.labels else None  # with a label, noise is right
        samples.append(
            Sample.make(
                (*prompt, Message(role="assistant", content=reply.text)),
                task=loop.settings.task.kind,
                label=label,
                origin="teacher",
                source=teacher.name,
                controls={"finish": reply.finish},
            )
        )
    unique = list({sample.id: sample for sample in samples}.values())
    return unique, sum(sample.controls["finish"] == "length" for sample in unique)


def _soft(
    samples: Sequence[Sample],
    teacher: Answerer,
    student: ModelFiles,
    training: Training,
    settings: Distilling,
    cache: Path,
    progress: Progress,
) -> Any:
    """What the teacher thinks of its own replies, token by token."""
    import transformers

    from ..engines.peft_adapters import with_adapters
    from ..training.distilling import soft_targets
    from ..training.packing import encode

    with loading(teacher.model.name, "a causal language model"):
        ours, theirs = (
            transformers.AutoTokenizer.from_pretrained(files.folder, local_files_only=True)
            for files in (student, teacher.model)
        )
        network = transformers.AutoModelForCausalLM.from_pretrained(
            teacher.model.folder, dtype="float32", local_files_only=True
        )
    if teacher.adapter is not None:
        with quiet_transformers():
            network = with_adapters(network, [teacher.adapter])
    lessons = []
    for sample in samples:
        # a sample that is too long for one of them is left out by the training as well
        read = [encode([sample], tokenizer, training.max_length)[0] for tokenizer in (ours, theirs)]
        if len(read[0]) != len(read[1]):
            raise ModelError(
                f"{student.name}: reads a conversation otherwise than {teacher.model.name}; use --kind sequence"
            )
        lessons += list(zip(*read, strict=True))
    return soft_targets(
        lessons,
        network.eval(),
        f"{teacher.model.digest}+{teacher.adapter.digest if teacher.adapter else ''}",
        cache,
        top_k=settings.top_k,
        temperature=settings.temperature,
        hard=settings.hard,
        progress=progress,
    )


def _scores(
    loop: Loop, teacher: Answerer, student: ModelFiles, target: Path, cache: Path, progress: Progress
) -> dict[str, SuiteScores]:
    """Target suites, answered by teacher, student as it was, and student as it is now."""
    from ..engines.base import Adapter

    suites = [suite for suite in loop.suites.values() if suite.settings.role == "target" and suite.plain]
    engine = engine_serving(loop, student)
    models = (
        teacher,
        Answerer("student before", student, None, engine),
        Answerer("student", student, Adapter.at(target), engine),
    )
    questions, means = sum(len(suite.items) for suite in suites), []
    for number, one in enumerate(models):
        advance = _advancing(progress, number * questions, len(models) * questions)
        means.append([answered.mean for answered in answers_of(one, suites, loop, cache, advance)])
    return {
        suite.name: SuiteScores(len(suite.items), *(column[place] for column in means))
        for place, suite in enumerate(suites)
    }


def _advancing(progress: Progress, before: int, total: int) -> Any:
    return lambda done: progress("measuring", before + done, total)


def prompts_of(loop: Loop, pooled: Sequence[Sample], count: int, seed: int) -> list[Prompt]:
    """At most `count` prompts: of the loop's seeds and of accepted samples of its pool, drawn by `seed`."""
    samples = [*loop.material.seed_samples(), *pooled]
    prompts = list(dict.fromkeys(sample.messages[:-1] for sample in samples if sample.messages[-1].role == "assistant"))
    return random.Random(seed).sample(prompts, count) if count < len(prompts) else prompts
