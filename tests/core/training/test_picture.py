"""The picture of a training: the same bytes for the same figures, and what it shows."""

import xml.etree.ElementTree as ElementTree

from wheelwork.core.training.control.picture import draw
from wheelwork.core.training.trained import Trained

TRAINED = Trained(
    samples=100,
    too_long=0,
    tokens=1,
    seconds=1,
    tokens_per_second=1,
    final_loss=0.1,
    losses=tuple(2 * 0.95**n for n in range(90)),
    validation=((20, 1.0), (40, 0.6), (60, 0.7), (80, 0.8), (90, 0.9)),
    step=40,
    stopped="the validation loss had not fallen in 3 measurements",
)


def test_it_shows_both_losses_the_step_of_the_adapter_and_why_it_ended() -> None:
    svg = draw(TRAINED, "desk, round 0001 & more")
    ElementTree.fromstring(svg)
    for said in (
        "training",
        "mean of 6 steps",
        "held back",
        "the adapter: step 40",
        "ended early: the validation",
        "&amp; more",
    ):
        assert said in svg
    assert svg == draw(TRAINED, "desk, round 0001 & more")


def test_a_short_training_has_one_curve_and_says_no_more() -> None:
    plain = TRAINED.model_copy(update={"losses": (0.5, 0.0, 0.4), "validation": (), "step": 3, "stopped": ""})
    svg = draw(plain, "desk")
    assert "training" in svg and not any(said in svg for said in ("mean of", "held back", "adapter", "ended early"))
