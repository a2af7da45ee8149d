"""A training with a focus and an order: weights reach the loss, what is left out is, and a killed one goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.samples import REHEARSAL, Sample
from wheelwork.core.training.control.settings import Control
from wheelwork.core.training.control.step import Step
from wheelwork.core.training.control.validation import Validation
from wheelwork.core.training.focus.emphasis import Classes, Confidence, GradientNorm, GradientOverEntropy, TopLoss
from wheelwork.core.training.focus.focusing import Focused, focus
from wheelwork.core.training.focus.order import Competence, EasyFirst, Shuffled
from wheelwork.core.training.keeping.former import Former
from wheelwork.core.training.settings import Training
from wheelwork.tests.core.training import toys
from wheelwork.tests.core.training.toys import TRAINING, rehearsal, sample, train

KILLED = 5


def samples() -> list[Sample]:
    """Two labels, one of them rare, with rehearsal between."""
    given = [
        sample(f"message number {n} {'indeed ' * (n % 3)}", label, label=label)
        for n, label in enumerate(["wifi"] * 6 + ["bill"] * 3)
    ]
    return [*given[:4], rehearsal("and you?", "fine"), *given[4:], rehearsal("who?", "me")]


def focused(base: ModelFiles, folder: Path, given: list[Sample] | None = None, **settings: Any) -> Focused:
    return focus(
        samples() if given is None else given,
        base,
        TRAINING.model_copy(update=settings),
        seed=0,
        champion=None,
        folder=folder,
        heard=lambda done, of: None,
    )


def test_without_focus_and_order_nothing_is_touched(tiny: ModelFiles, tmp_path: Path) -> None:
    given = samples()
    found = focused(tiny, tmp_path, given)
    assert found.samples is given and found.record is None and not any(tmp_path.iterdir())


def test_entries_work_one_after_the_other_and_leave_rehearsal_alone(tiny: ModelFiles, tmp_path: Path) -> None:
    found = focused(tiny, tmp_path, focus=(TopLoss(share=0.5), Classes()))
    kept = [one for one in found.samples if one.task != REHEARSAL]
    assert [one.label for one in kept].count("wifi") == 3
    assert [one.label for one in kept].count("bill") == 2
    weights = {one.label: one.weight for one in kept}
    assert weights["bill"] / weights["wifi"] == pytest.approx(3 / 2)  # counted among those that are left
    assert [one for one in found.samples if one.task == REHEARSAL] == [
        one for one in samples() if one.task == REHEARSAL
    ]
    record = found.record
    assert record is not None and record.measured_by == "base"
    assert [(one.kind, one.rows, one.chosen) for one in record.emphases] == [
        ("top_loss", 9, 5),
        ("class_weights", 5, 5),
    ]
    correlation = record.emphases[0].loss_correlation
    assert correlation is not None and correlation > 0.3
    found.forget()
    assert not any(tmp_path.iterdir())


def test_factors_multiply_the_weights_that_samples_have(tiny: ModelFiles, tmp_path: Path) -> None:
    given = [one.model_copy(update={"weight": 0.5 + n}) for n, one in enumerate(samples())]
    plain = focused(tiny, tmp_path, samples(), focus=(GradientNorm(),)).samples
    scaled = focused(tiny, tmp_path, given, focus=(GradientNorm(),)).samples
    for before, one, other in zip(given, plain, scaled, strict=True):
        assert other.weight == pytest.approx(one.weight * before.weight)
    assert len({round(one.weight, 6) for one in plain if one.task != REHEARSAL}) > 3


def test_what_is_too_long_is_left_for_the_training_to_count(tiny: ModelFiles, tmp_path: Path) -> None:
    given = [*samples(), sample("word " * 2000, "wifi", label="wifi")]
    found = focused(tiny, tmp_path, given, focus=(GradientOverEntropy(),), order=EasyFirst())
    assert found.samples[-1] == given[-1]
    assert found.record is not None and found.record.emphases[0].rows == 9
    assert len(found.difficulty) == len(found.samples) == 12
    alone = focused(tiny, tmp_path, [given[-1]], focus=(TopLoss(),))
    assert list(alone.samples) == [given[-1]] and alone.record is None


def test_the_record_tells_what_is_unknown(tiny: ModelFiles, tmp_path: Path) -> None:
    found = focused(tiny, tmp_path, focus=(Confidence(),), order=EasyFirst(difficulty="grade"))
    record = found.record
    assert record is not None and record.order is not None
    assert record.measured_by == "" and found.file is None
    assert record.order.unknown == record.order.rows == 9
    assert record.order.length_correlation is None
    assert any("no sample has a grade" in line for line in record.sentences)
    assert set(found.difficulty) == {0.5}
    assert "train" not in record.metrics and record.metrics["order.unknown"] == 9


def test_a_training_says_what_it_focused_on_and_forgets_what_it_measured(tiny: ModelFiles, tmp_path: Path) -> None:
    settings = TRAINING.model_copy(
        update={"focus": (TopLoss(), GradientOverEntropy()), "order": Competence(difficulty="loss")}
    )
    heard: list[int] = []
    trained = train(
        tiny, tmp_path, samples=samples(), settings=settings, on_measured=lambda done, of: heard.append(done)
    )
    assert trained.focus is not None and trained.samples == 5 + 2
    assert [one.kind for one in trained.focus.emphases] == ["top_loss", "gradient_over_entropy"]
    assert trained.focus.order is not None and trained.focus.order.loss_correlation == pytest.approx(1)
    assert heard == list(range(1, 19))
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_weights_of_a_focus_reach_the_loss(tiny: ModelFiles, tmp_path: Path) -> None:
    """Weights that a pool or a focus gave are the same training, bit for bit."""
    given = [one for one in samples() if one.task != REHEARSAL]
    told = focused(tiny, tmp_path / "focus", given, focus=(Classes(),)).samples
    assert len({one.weight for one in told}) == 2
    by_focus = TRAINING.model_copy(update={"focus": (Classes(),), "dropout": 0.0})
    by_pool = TRAINING.model_copy(update={"dropout": 0.0})
    ours = train(tiny, tmp_path / "ours", samples=given, settings=by_focus)
    pool = train(tiny, tmp_path / "pool", samples=told, settings=by_pool)
    plain = train(tiny, tmp_path / "plain", samples=given, settings=by_pool)
    assert ours.losses == pool.losses != plain.losses
    assert Adapter.at(tmp_path / "ours" / "adapter").digest == Adapter.at(tmp_path / "pool" / "adapter").digest


def test_some_of_the_samples_keep_their_places_in_the_order() -> None:
    given = samples()[:4]
    whole = Focused(given, [0.1, 0.9, 0.4, 0.5])
    some = whole.of([given[3], given[1]])
    assert (list(some.samples), list(some.difficulty)) == ([given[1], given[3]], [0.9, 0.5])
    assert not Focused(given).of(given[:2]).difficulty


@pytest.mark.parametrize("order", [Shuffled(), EasyFirst()])
def test_what_is_held_back_is_drawn_from_what_the_focus_left(
    order: Shuffled | EasyFirst, tiny: ModelFiles, tmp_path: Path
) -> None:
    control = Control(validation=Validation(share=0.25, fewest=2))
    settings = TRAINING.model_copy(update={"focus": (TopLoss(),), "order": order, "control": control})
    trained = train(tiny, tmp_path, samples=toys.samples(24), settings=settings)
    assert trained.focus is not None and trained.focus.emphases[0].chosen == 9
    assert trained.validation and 9 <= trained.samples < 9 + 6, "half of 18 samples and 6 of rehearsal"


class Stopped(BaseException):
    """As Ctrl-C: nobody catches it."""


@pytest.mark.parametrize(
    "settings",
    [{"order": EasyFirst(epochs=2)}, {"order": Competence(by_label=True), "focus": (GradientNorm(),)}],
    ids=["easy first", "competence"],
)
def test_a_killed_training_with_an_order_goes_on_to_the_same_adapter(
    settings: dict[str, Any], tiny: ModelFiles, tmp_path: Path
) -> None:
    chosen: Training = TRAINING.model_copy(update={**settings, "batch_size": 3})
    straight = train(tiny, tmp_path / "straight", samples=samples(), settings=chosen)

    def stop(step: Step) -> None:
        if step.step == KILLED:
            raise Stopped

    with pytest.raises(Stopped):
        train(tiny, tmp_path / "killed", samples=samples(), settings=chosen, on_step=stop)
    measured: list[int] = []
    resumed = train(
        tiny,
        tmp_path / "killed",
        samples=samples(),
        settings=chosen,
        on_measured=lambda done, of: measured.append(done),
    )
    assert resumed.resumed_at == 4 and measured == []
    assert resumed.losses == straight.losses
    digests = [Adapter.at(tmp_path / name / "adapter").digest for name in ("straight", "killed")]
    assert digests[0] == digests[1]
    shuffled = train(tiny, tmp_path / "none", samples=samples(), settings=TRAINING.model_copy(update={"batch_size": 3}))
    assert shuffled.losses != straight.losses


def test_a_folder_that_is_no_champion_is_one_sentence(tiny: ModelFiles, tmp_path: Path) -> None:
    settings = TRAINING.model_copy(update={"focus": (TopLoss(),)})
    former = Former(Adapter(tmp_path, "empty"))
    with pytest.raises(ModelError, match="not a LoRA adapter"):
        train(tiny, tmp_path / "work", samples=samples(), settings=settings, former=former)
    assert np.isfinite(train(tiny, tmp_path / "work", samples=samples(), former=former).final_loss)


def test_an_entry_sees_the_weights_that_the_ones_before_it_made(tiny: ModelFiles, tmp_path: Path) -> None:
    guessed = [
        sample(f"guess {n}", "bill", label="bill", weight=0.5).model_copy(update={"origin": "pseudo"}) for n in range(9)
    ]

    def share_of_pseudo(share: float) -> float:
        found = focused(tiny, tmp_path, [*samples(), *guessed], focus=(Classes(), Confidence(share=share))).samples
        ours = sum(one.weight for one in found if one.origin == "pseudo")
        return ours / sum(one.weight for one in found if one.task != REHEARSAL)

    # bills weigh 3/4 and wifi 3/2: 9 · 0.5 · 3/4 of 6 · 3/2 + 3 · 3/4 + that; by the weights they came with a third
    assert share_of_pseudo(0.3) == pytest.approx(3 / 13)
    assert share_of_pseudo(0.1) == pytest.approx(0.1)
