"""Whether a round has anything to learn."""

from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.training.control.worth import Worth

WORTH = Worth(max_cosine=0.9, max_loss=0.05, least=0.25)
maybe = st.one_of(st.none(), st.floats(-1, 1))


def test_what_is_new_or_surprises_teaches_and_what_is_unknown_is_not_counted_out() -> None:
    found = WORTH([0.5, 0.95, 0.95, None], [0.0, 0.3, 0.0, 0.0])
    assert (found.rows, found.new, found.hard, found.teaching, found.reason) == (4, 2, 1, 3, "")
    assert WORTH([0.99], [None]).reason == ""


def test_a_round_that_has_nothing_to_learn_says_what_was_looked_at() -> None:
    found = WORTH([0.99] * 9 + [0.5], [0.01] * 10)
    assert found.reason == (
        "no improvement was expected, so nothing was trained: of 10 samples that were kept 1 are new (cosine "
        "below 0.9) and 0 the champion does not know (loss of 0.05 or more), and `train.control.worth.least` asks for "
        "a share of 0.25"
    )
    assert WORTH([], []).reason


@given(st.lists(st.tuples(maybe, maybe), min_size=1, max_size=30))
def test_more_that_is_new_never_ends_a_round(rows: list[tuple[float | None, float | None]]) -> None:
    nearest, losses = [one for one, _ in rows], [two for _, two in rows]
    if not WORTH(nearest, losses).reason:
        assert not WORTH([*nearest, 0.0], [*losses, 0.0]).reason
