"""What each entry of `train.focus` makes of numbers that are given."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wheelwork.core.people.pseudo import SCORE
from wheelwork.core.quality.batch.weights import ClassWeights
from wheelwork.core.training.focus.emphasis import (
    PROBABILITY,
    Classes,
    Confidence,
    GradientNorm,
    GradientOverEntropy,
    TopLoss,
)
from wheelwork.core.training.settings import Training
from wheelwork.tests.core.training.focus.toys import labelled, rows

NAN = float("nan")
LABELS = ["wifi", "wifi", "wifi", "wifi", "bill", "bill"]
SIX = [labelled(label, f"text {n}") for n, label in enumerate(LABELS)]


def test_the_share_with_the_highest_loss_of_each_label_is_chosen() -> None:
    loss = [0.1, 0.4, 0.2, 0.3, 9.0, 8.0]
    assert TopLoss()(rows(SIX, loss=loss)).tolist() == [0, 1, 0, 1, 1, 0]
    assert TopLoss(by_label=False, share=0.3)(rows(SIX, loss=loss)).tolist() == [0, 0, 0, 0, 1, 1]
    assert TopLoss(share=0.01)(rows(SIX, loss=loss)).tolist() == [0, 1, 0, 0, 1, 0]  # at least one of each


def test_the_others_may_stay_with_less_weight() -> None:
    factors = TopLoss(rest=0.25)(rows(SIX, loss=[0.1, 0.4, 0.2, 0.3, 9.0, 8.0]))
    assert factors.mean() == pytest.approx(1)
    assert set(np.round(factors / factors.max(), 9)) == {0.25, 1.0}


def test_an_unknown_loss_is_a_middling_one_and_not_zero() -> None:
    given = rows(SIX[:4], loss=[0.1, NAN, 0.2, 0.3])  # the median of the others is 0.2
    assert TopLoss(share=0.75)(given).tolist() == [0, 1, 1, 1]
    assert TopLoss().unknown(given) == 1
    assert TopLoss()(rows(SIX)).tolist() == [1] * 6  # of none is anything known: all stay


def test_a_weight_is_the_gradients_norm_clipped_and_of_mean_1() -> None:
    weights = GradientNorm(largest=100)(rows(SIX[:4], gradient=[1, 2, 3, NAN]))
    assert weights.tolist() == pytest.approx([0.5, 1, 1.5, 1])
    clipped = GradientNorm(largest=2)(rows(SIX, gradient=[0, 1, 1, 1, 1, 1000]))
    assert clipped.mean() == pytest.approx(1)
    assert (clipped.min(), clipped.max()) == pytest.approx((0.5, 2), abs=0.05)
    assert GradientNorm()(rows(SIX, gradient=[0] * 6)).tolist() == [1] * 6
    assert GradientNorm(of="logits")(rows(SIX[:2], error=[1, 3])).tolist() == pytest.approx([0.5, 1.5])


def test_entropy_divides() -> None:
    given = rows(SIX[:2], gradient=[2, 2], entropy=[0, 1])
    assert GradientOverEntropy()(given).tolist() == pytest.approx([4 / 3, 2 / 3])
    assert GradientOverEntropy().unknown(rows(SIX[:2], gradient=[2, NAN], entropy=[0, NAN])) == 1
    assert GradientOverEntropy().measures == {"gradient", "entropy"}
    assert GradientOverEntropy(of="logits").measures == {"error", "entropy"}


@given(st.lists(st.floats(0, 1e6) | st.just(NAN), min_size=1, max_size=30), st.floats(1.01, 50))
def test_weights_are_bounded_and_of_mean_1_whatever_the_norms(norms: list[float], largest: float) -> None:
    samples = [labelled(text=str(n)) for n in range(len(norms))]
    weights = GradientNorm(largest=largest)(rows(samples, gradient=norms))
    assert weights.mean() == pytest.approx(1)
    assert weights.min() > 0
    assert weights.min() >= 0.98 / largest and weights.max() <= 1.02 * largest
    order = np.argsort([n if np.isfinite(n) else 0 for n in norms])
    known = [at for at in order if np.isfinite(norms[at])]
    assert all(weights[a] <= weights[b] * (1 + 1e-9) for a, b in pairwise(known))


def test_class_weights_are_those_of_the_batch() -> None:
    given = rows(SIX)
    assert Classes()(given).tolist() == ClassWeights()(LABELS).tolist()
    assert Classes()(given)[4] == pytest.approx(2 * Classes()(given)[0])
    assert Classes().unknown(rows([labelled(None), labelled()])) == 1


def pseudo(probability: float | None, text: str) -> object:
    scores = {} if probability is None else {"probability": probability}
    return labelled(text=text, origin="pseudo", scores=scores, weight=probability or 0.5)


def test_a_pseudo_label_weighs_a_power_of_its_probability() -> None:
    samples = [labelled(text=str(n)) for n in range(4)] + [pseudo(0.9, "a"), pseudo(0.5, "b"), pseudo(None, "c")]
    given = rows(samples)  # type: ignore[arg-type]
    factors = Confidence(sharpness=3, share=0.9)(given)
    assert factors.tolist() == pytest.approx([1, 1, 1, 1, 0.81, 0.25, 1])
    weights = [one.weight for one in given.samples] * factors
    assert weights[4:6].tolist() == pytest.approx([0.9**3, 0.5**3])
    assert Confidence().unknown(given) == 1
    assert Confidence()(given).tolist() == [1] * 7  # as it came: the pool's weight is the probability
    flat = Confidence(sharpness=0, share=0.9)(given) * [one.weight for one in given.samples]
    assert flat[4:6].tolist() == pytest.approx([1, 1])


def test_pseudo_labels_together_weigh_no_more_than_their_share() -> None:
    samples = [labelled(text="x"), *(pseudo(0.9, str(n)) for n in range(9))]
    given = rows(samples)  # type: ignore[arg-type]
    weights = Confidence(share=0.25)(given) * [one.weight for one in given.samples]
    assert weights[1:].sum() / weights.sum() == pytest.approx(0.25)
    alone = rows(samples[1:])  # type: ignore[arg-type]
    assert Confidence(share=0.25)(alone).tolist() == [1] * 9  # beside nothing there is no share


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"kind": "top_loss"}, {"kind": "top_loss", "share": 0.2}], "`top_loss` stands there twice"),
        ([{"kind": "top_loss", "share": 0}], "greater than 0"),
        ([{"kind": "gradient"}], "gradient_norm"),
    ],
)
def test_what_cannot_be_is_refused(given: list[dict[str, object]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Training.model_validate({"focus": given})


def test_the_probability_is_where_the_labelling_writes_it() -> None:
    assert PROBABILITY == SCORE
