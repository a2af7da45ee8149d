"""Learning from a teacher's likeliest tokens: the whole divergence at the whole vocabulary, never more with fewer."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.distilling import IDS, SoftTargets, divergence, likeliest, soft_targets
from wheelwork.core.training.layout import one_by_one
from wheelwork.core.training.losses import token_losses
from wheelwork.core.training.packing import Encoded, alone, pack
from wheelwork.core.training.steps import collating
from wheelwork.tests.core.engines.served import trained as network_of
from wheelwork.tests.core.training.toys import TRAINING, samples, train

V = 12


def logits(rows: int = 5, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(rows, V, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
    theirs, ours = (F.log_softmax(one / temperature, -1) for one in (teacher, student))
    return temperature**2 * F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)


@given(seed=st.integers(0, 999), temperature=st.floats(0.5, 8))
def test_with_all_tokens_it_is_the_divergence_itself(seed: int, temperature: float) -> None:
    teacher, student = logits(seed=seed), logits(seed=seed + 1000)
    found = divergence(student, *likeliest(teacher, V, temperature), temperature)
    assert torch.allclose(found, whole(teacher, student, temperature), rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 999), k=st.integers(1, V - 1), temperature=st.floats(0.5, 8))
def test_with_fewer_it_is_never_more_and_never_negative(seed: int, k: int, temperature: float) -> None:
    teacher, student = logits(seed=seed), logits(seed=seed + 1000)
    found = divergence(student, *likeliest(teacher, k, temperature), temperature)
    assert (found <= whole(teacher, student, temperature) + 1e-3).all()
    assert (found >= -1e-3).all()


def test_a_student_that_thinks_the_same_has_nothing_to_learn() -> None:
    for k in (1, 4, V):
        student = logits().requires_grad_()
        loss = divergence(student, *likeliest(student.detach(), k, 2.0), 2.0).sum()
        (gradient,) = torch.autograd.grad(loss, student)
        assert abs(float(loss.detach())) < 1e-4 and gradient.abs().max() < 1e-4


@pytest.mark.parametrize("k", [1, 3, V])
def test_the_gradient_is_the_gradient(k: int) -> None:
    ids, logs = likeliest(logits(seed=1), k, 2.0)
    student = logits(seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: divergence(x, ids, logs.double(), 2.0), student, atol=1e-5)


def test_the_gradient_keeps_its_size_whatever_the_temperature() -> None:
    sizes = []
    for temperature in (4.0, 8.0, 16.0):
        student = logits(seed=2, scale=0.1).requires_grad_()
        teacher = likeliest(logits(seed=1, scale=0.1), V, temperature)
        (gradient,) = torch.autograd.grad(divergence(student, *teacher, temperature).sum(), student)
        sizes.append(float(gradient.norm()))
    assert max(sizes) / min(sizes) < 1.1


def test_a_token_that_is_certain_gives_finite_gradients() -> None:
    certain = torch.full((1, V), -1e4, dtype=torch.float64)
    certain[0, 3] = 1e4
    student = certain.clone().roll(1, -1).requires_grad_()
    for k in (2, V):
        loss = divergence(student, *likeliest(certain, k, 1.0), 1.0).sum()
        (gradient,) = torch.autograd.grad(loss, student)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


LESSONS = [Encoded([*range(20, 40), n, 50], [60 + n, 70, 2], weight=1 + n / 4) for n in range(3)]


def soft(teacher: Any, cache: Path, hard: float = 0.0, top_k: int = 8) -> SoftTargets:
    lessons = [*LESSONS, Encoded([9, 8, 7], [6, 5])]
    return soft_targets(
        zip(lessons, lessons, strict=True), teacher, "t", cache, top_k=top_k, temperature=2.0, hard=hard
    )


def test_packed_and_alone_the_loss_is_the_same(tiny: ModelFiles, tmp_path: Path) -> None:
    teacher = network_of(tiny, None)
    student = network_of(tiny, None)
    with torch.no_grad():
        student.model.norm.weight.mul_(1.3)
    batch = [LESSONS[0], Encoded([9, 8, 7], [6, 5]), *LESSONS[1:]]
    targets = soft(teacher, tmp_path)
    together = targets.collating(lambda part: {"learn": [pack(part)]})(batch)
    one_by_one = targets.collating(lambda part: {"learn": [alone(one) for one in part]})(batch)
    packed = torch.cat([token_losses(student, row) for row in together["learn"]])
    single = torch.cat([token_losses(student, row) for row in one_by_one["learn"]])
    assert packed.sum() > 0.01
    assert torch.allclose(packed.sum(), single.sum(), rtol=1e-4)
    assert together["learn"][0][IDS].shape == (11, 8)


@pytest.mark.parametrize("layout", [lambda given: [pack(given)], one_by_one], ids=["packed", "one by one"])
def test_no_teacher_is_asked_about_rehearsal(layout: Any, tiny: ModelFiles, tmp_path: Path) -> None:
    teacher, student = network_of(tiny, None), network_of(tiny, None)
    with torch.no_grad():
        student.model.norm.weight.mul_(1.3)
    one_process = SimpleNamespace(process_index=0, world_size=1)
    collate = soft(teacher, tmp_path).collating(collating(layout, one_process))
    mixed = collate([Encoded([9, 8], [7], rehearsal=True), *LESSONS])["learn"]
    asked = [row for row in mixed if IDS in row]
    assert sum(len(row[IDS]) for row in asked) == sum(len(one.completion) for one in LESSONS)
    assert [row["samples"][-1].rehearsal for row in mixed] in ([True], [False] * len(LESSONS) + [True])
    plain = torch.cat([token_losses(student, row) for row in collate(LESSONS)["learn"]])

    def knows_nothing(samples: list[Encoded]) -> Any:
        if any(one.rehearsal for one in samples):
            return lambda part: torch.zeros(part.stop - part.start, student.config.vocab_size)
        return None

    asked_base: Any = knows_nothing
    beside = torch.cat([token_losses(student, row, base=asked_base)[: len(row[IDS])] for row in asked])
    torch.testing.assert_close(beside, plain, rtol=1e-4, atol=1e-5)
    (alone_,) = collate([Encoded([9, 8], [7], rehearsal=True)])["learn"]
    assert IDS not in alone_


def test_a_hard_share_of_one_is_cross_entropy(tiny: ModelFiles, tmp_path: Path) -> None:
    network = network_of(tiny, None)
    rows = soft(network, tmp_path, hard=1.0).collating(lambda part: {"learn": [pack(part)]})(LESSONS)
    assert torch.allclose(token_losses(network, rows["learn"][0]), token_losses(network, pack(LESSONS)))


def test_the_teacher_is_asked_once(tiny: ModelFiles, tmp_path: Path) -> None:
    teacher = network_of(tiny, None)
    first = soft(teacher, tmp_path)
    assert sum(path.stat().st_size for path in first.folder.iterdir()) < 11 * (8 * 6 + 2) + 400

    class Gone:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError("it was asked again")

    assert soft(Gone(), tmp_path).digest == first.digest
    assert soft(teacher, tmp_path, top_k=4).digest != first.digest


def test_answers_in_other_tokens_are_refused(tiny: ModelFiles, tmp_path: Path) -> None:
    pairs = [(Encoded([1], [2, 3]), Encoded([1], [2, 4]))]
    with pytest.raises(ModelError, match="use --kind sequence"):
        soft_targets(pairs, None, "t", tmp_path, top_k=2, temperature=1.0, hard=0)


def test_a_student_comes_nearer_to_its_teacher(tiny: ModelFiles, tmp_path: Path) -> None:
    from transformers import AutoTokenizer
    from wheelwork.core.engines.base import Adapter
    from wheelwork.core.training.packing import encode

    train(tiny, tmp_path / "teacher", settings=TRAINING.model_copy(update={"epochs": 4}))
    teacher = network_of(tiny, Adapter.at(tmp_path / "teacher" / "adapter"))
    learnt = [one for one in samples() if one.task != "rehearsal"]
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder, local_files_only=True)
    lessons, _ = encode(learnt, tokenizer, 1024)
    targets = soft_targets(
        zip(lessons, lessons, strict=True), teacher, "t", tmp_path, top_k=50, temperature=2.0, hard=0.0
    )
    settings = TRAINING.model_copy(update={"epochs": 8, "noise": 0.0, "dropout": 0.0})
    done = train(tiny, tmp_path / "student", settings=settings, samples=learnt, soft=targets)
    assert done.losses[-1] < 0.3 * done.losses[0]
    student = network_of(tiny, Adapter.at(tmp_path / "student" / "adapter"))
    row = alone(lessons[0])
    apart = [whole(teacher(row["input_ids"]).logits[0, -4:], one(row["input_ids"]).logits[0, -4:], 1.0).mean()
             for one in (student, network_of(tiny, None))]  # fmt: skip
    assert apart[0] < 0.3 * apart[1]
