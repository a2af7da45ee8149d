"""The long tail: labels and categories below their quota get more children, the scarcest first of all."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from wheelwork.core.generation.augment.children import wishes
from wheelwork.core.generation.augment.longtail import extra_children
from wheelwork.core.generation.augment.settings import Augmentation, Paraphrase, Rewrite, Voice
from wheelwork.core.samples import Message, Sample

ONE = Augmentation(operations=(Paraphrase(times=1),), long_tail=10)


def parents(**counts: int) -> list[Sample]:
    """So many samples of each label."""
    return [sample(f"{label} {n}", label) for label, count in counts.items() for n in range(count)]


def sample(text: str, label: str | None = None, category: str = "", task: str = "classify") -> Sample:
    turns = (Message(role="user", content=text), Message(role="assistant", content=label or "yes"))
    return Sample.make(turns, task=task, origin="seed", label=label, controls={"category": category})


def by_label(samples: list[Sample], extra: dict[str, int]) -> dict[str, int]:
    counts = Counter[str]()
    for one in samples:
        counts[one.label or one.controls["category"]] += extra.get(one.id, 0)
    return dict(counts)


def test_what_is_below_its_share_gets_what_it_lacks() -> None:
    samples = parents(billing=6, move=2)
    # 16 parents and children in all, so 8 each: four of `move` are there
    assert by_label(samples, extra_children(samples, ONE)) == {"billing": 0, "move": 4}


def test_weights_are_the_quotas_of_the_loop() -> None:
    samples = parents(billing=4, move=4)
    assert by_label(samples, extra_children(samples, ONE, {"billing": 3})) == {"billing": 4, "move": 0}
    assert extra_children(samples, ONE, {"billing": 0, "move": 0}) == {}


def test_a_small_allowance_goes_by_scarcity() -> None:
    samples = parents(billing=10, move=4, fees=1)
    tight = ONE.model_copy(update={"long_tail": 0.2})  # 3 of 15 children
    # 10 each are wanted: `move` lacks 2 of them and `fees` 8
    assert by_label(samples, extra_children(samples, tight)) == {"billing": 0, "move": 1, "fees": 2}
    assert extra_children(samples, ONE.model_copy(update={"long_tail": 0})) == {}


def test_categories_count_where_there_are_no_labels_and_one_alone_lacks_nothing() -> None:
    samples = [sample("a", category="pairing"), *(sample(f"b{n}", category="returns") for n in range(3))]
    assert extra_children(samples, ONE) == {samples[0].id: 2}
    assert extra_children([sample("a"), sample("b")], ONE) == {}
    assert extra_children([], ONE) == {}


def two_corners(texts: Sequence[str]) -> NDArray[np.float32]:
    """Texts about rain lie in one place, all others in another."""
    return np.array([[0.0, 1.0] if "rain" in text else [1.0, 0.0] for text in texts], dtype=np.float32)


def test_a_small_cluster_gets_what_it_lacks_of_its_part() -> None:
    samples = [*(sample(f"sun {n}") for n in range(6)), sample("rain one"), sample("rain two")]
    grouped = ONE.model_copy(update={"clusters": 2})
    # 16 parents and children in all, so 8 a cluster: four about rain are there
    assert extra_children(samples, grouped, encode=two_corners) == {samples[6].id: 2, samples[7].id: 2}
    assert extra_children(samples, ONE, encode=two_corners) == {}
    more = grouped.model_copy(update={"clusters": 9})  # than there are places
    assert extra_children(samples, more, encode=two_corners) == {samples[6].id: 2, samples[7].id: 2}


def test_clusters_share_what_their_label_may_have() -> None:
    samples = [*parents(sun=6), sample("rain", "sun"), *parents(snow=1)]
    grouped = ONE.model_copy(update={"clusters": 2})
    # 16 in all: 4 for each cluster of `sun`, of which rain has 2, and 8 for `snow`, which lies in one place
    extra = extra_children(samples, grouped, encode=two_corners)
    assert {one.prompt: extra.get(one.id, 0) for one in samples if extra.get(one.id)} == {"rain": 2, "snow 0": 6}


def test_a_parent_of_which_nothing_can_be_made_is_no_parent() -> None:
    code_only = Augmentation(operations=(Rewrite(),), long_tail=10)
    assert extra_children(parents(billing=3, move=1), code_only) == {}
    silent = Sample.make((Message(role="assistant", content="hi"),), task="qa", origin="seed", label="move")
    assert extra_children([silent, *parents(billing=3)], ONE) == {}


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 12), min_size=1), st.floats(0, 3))
def test_no_more_than_allowed_and_none_for_what_has_most(counts: dict[str, int], allowed: float) -> None:
    samples = parents(**counts)
    augmentation = Augmentation(operations=(Paraphrase(times=2), Voice()), long_tail=allowed)
    extra = extra_children(samples, augmentation)
    assert sum(extra.values()) <= allowed * 3 * len(samples)
    made = Counter[str]()
    for one in samples:
        made[one.label or ""] += 1 + sum(1 for _ in wishes(one, augmentation, extra.get(one.id, 0)))
    largest = max(counts, key=lambda label: counts[label])
    assert max(made.values()) == made[largest] == 4 * counts[largest]
