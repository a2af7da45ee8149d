"""What is held back: its share of each label, whole families, and never all of a label."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.samples import REHEARSAL, Sample
from wheelwork.core.training.control.validation import Patience, Validation
from wheelwork.tests.core.training.toys import rehearsal, sample


def labelled(count: int, label: str, start: int = 0) -> list[Sample]:
    return [sample(f"{label} {n}", label, label=label) for n in range(start, start + count)]


def test_each_label_and_the_rehearsal_give_their_share() -> None:
    rows = [*labelled(60, "wifi"), *labelled(30, "bill"), *(rehearsal(f"say {n}", "yes") for n in range(20))]
    split = Validation(share=0.1).split(rows, seed=0)
    assert Counter(one.label or one.task for one in split.held_back) == {"wifi": 6, "bill": 3, REHEARSAL: 2}
    assert sorted(one.id for one in (*split.learn, *split.held_back)) == sorted(one.id for one in rows)
    assert not split.note


def test_rare_labels_give_theirs_together_and_none_is_held_back_whole() -> None:
    rows = [row for n in range(40) for row in labelled(3, f"label {n}")] + labelled(1, "lonely")
    split = Validation(share=0.1).split(rows, seed=0)
    assert len(split.held_back) == pytest.approx(12, abs=1)
    assert {one.label for one in split.learn} == {one.label for one in rows}


def test_a_family_is_on_one_side() -> None:
    parents = labelled(40, "wifi")
    children = [
        sample(f"{one.prompt} again {n}", "wifi", label="wifi", parent_id=one.id) for one in parents for n in (1, 2)
    ]
    grandchildren = [sample(f"{one.prompt} once more", "wifi", label="wifi", parent_id=one.id) for one in children]
    split = Validation(share=0.2).split([*grandchildren, *parents, *children], seed=3)
    words = {
        side: {" ".join(one.prompt.split()[:2]) for one in part}
        for side, part in enumerate((split.learn, split.held_back))
    }
    assert words[1] and not words[0] & words[1]


def test_the_seed_draws() -> None:
    rows = labelled(200, "wifi")
    one, same, other = (Validation().split(rows, seed) for seed in (0, 0, 1))
    assert one == same != other


def test_too_few_hold_nothing_back_and_a_note_says_so() -> None:
    rows = labelled(50, "wifi")
    split = Validation(share=0.1, fewest=10).split(rows, seed=0)
    assert (split.learn, split.held_back) == (tuple(rows), ())
    assert split.note.startswith("nothing was held back for validation: of 50 samples it would be 5, fewer than")


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 30)), max_size=120),
    st.floats(0.02, 0.5),
    st.integers(0, 5),
)
def test_nothing_is_lost_and_no_more_than_the_share_is_held_back(
    drawn: list[tuple[str, int]], share: float, seed: int
) -> None:
    root = labelled(31, "root")
    rows = [
        sample(f"{label} {n}", label, label=label, parent_id=root[family].id) for n, (label, family) in enumerate(drawn)
    ]
    split = Validation(share=share, fewest=2).split(rows, seed)
    assert Counter(one.id for one in (*split.learn, *split.held_back)) == Counter(one.id for one in rows)
    assert not {one.parent_id for one in split.learn} & {one.parent_id for one in split.held_back}
    if rows and split.held_back:
        largest = max(Counter(one.parent_id for one in rows).values())
        assert len(split.held_back) <= share * len(rows) + largest / 2 + 1e-9
        assert split.learn


def test_patience_counts_measurements_without_a_lower_loss() -> None:
    patience = Patience(Validation(patience=2, least=0.05))
    assert [patience(step, loss) for step, loss in enumerate([1.0, 0.97, 0.9, 0.86, float("nan")], 1)] == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert (patience.best, patience.best_step, patience.exhausted) == (0.9, 3, True)
