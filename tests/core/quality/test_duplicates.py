"""Duplicates: what is found against exact brute force, what a cluster keeps, and what must not become quadratic."""

import random
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.duplicates import ExactDuplicates, NearDuplicates
from wheelwork.core.quality.shingles import shingles
from wheelwork.core.quality.sketches import (
    PAIRS_PER_ROW,
    Sketches,
    _side_by_side,
    bands_for,
    cluster,
    signatures,
)
from wheelwork.core.samples import Message, Sample
from wheelwork.core.settings import parse
from wheelwork.core.text import words
from wheelwork.tests.fakes import FakeEncoder

Rows = list[str]


def written(rows: int, seed: int = 0) -> list[Rows]:
    """Rows of 18 to 32 words that nobody wrote: the frequent words are very frequent, as in a language."""
    draw = random.Random(seed)
    spoken = ["".join(draw.choices("aeioubdgklmnprst", k=draw.randint(2, 8))) for _ in range(2000)]
    weights = [1 / (rank + 5) for rank in range(len(spoken))]
    return [draw.choices(spoken, weights, k=draw.randint(18, 32)) for _ in range(rows)]


def edited(row: Rows, draw: random.Random, share: float = 0.08) -> Rows:
    """`row` with that share of its words replaced."""
    copy = list(row)
    for place in draw.sample(range(len(row)), max(1, round(share * len(row)))):
        copy[place] = f"new{draw.randrange(10**6)}"
    return copy


def joined(rows: Sequence[Rows]) -> list[str]:
    return [" ".join(row) for row in rows]


def grams(text: str) -> frozenset[tuple[str, ...]]:
    found = words(text)
    return frozenset(tuple(found[start : start + 3]) for start in range(max(1, len(found) - 2)))


def jaccard(one: str, other: str) -> float:
    return len(grams(one) & grams(other)) / len(grams(one) | grams(other))


def chained(texts: Sequence[str], threshold: float) -> list[int]:
    """The clusters by comparing all pairs: the lowest row that a chain leads to."""
    lowest, sets = list(range(len(texts))), [grams(text) for text in texts]
    for left, right in combinations(range(len(texts)), 2):
        similarity = len(sets[left] & sets[right]) / len(sets[left] | sets[right])
        if similarity >= threshold and lowest[left] != lowest[right]:
            low, high = sorted((lowest[left], lowest[right]))
            lowest = [low if own == high else own for own in lowest]
    return lowest


def sample(text: str, **scores: float) -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content="yes")]
    return Sample.make(turns, task="classify", origin="teacher").with_scores(**scores)


def context(seeds: Sequence[str] = (), held_out: Sequence[str] = ()) -> FunnelContext:
    return FunnelContext(FakeEncoder(), [(seed, "") for seed in seeds], held_out)


# shingles, signatures, bands


def test_shingles_are_sets_of_folded_word_triples() -> None:
    found = shingles(["One two three, four.", "one  TWO three four!", "two three four", "one two", "", "?"])
    sets = [set(found.hashes[start:end].tolist()) for start, end in pairwise(found.starts)]
    assert [len(own) for own in sets] == [2, 2, 1, 1, 1, 1]
    assert sets[0] == sets[1] > sets[2]
    assert sets[4] == sets[5] != sets[3]
    assert len(set.union(*sets)) == 4


def test_shingles_do_not_reach_into_the_next_text() -> None:
    together, alone = shingles(["a b c d", "e f g"]), [shingles([text]) for text in ("a b c d", "e f g")]
    assert set(together.hashes.tolist()) == {one for part in alone for one in part.hashes.tolist()}


TEXTS = st.lists(st.text("abAB é网络断ﬁ.,'\ud83d", max_size=12), max_size=8)


@settings(deadline=None, max_examples=60)
@given(TEXTS)
def test_jaccard_of_shingles_is_that_of_the_sets_of_word_triples(texts: list[str]) -> None:
    pairs = np.array([*combinations(range(len(texts)), 2)], dtype=np.int64).reshape(-1, 2)
    found = shingles(texts).jaccard(pairs[:, 0], pairs[:, 1])
    assert found.tolist() == [jaccard(texts[left], texts[right]) for left, right in pairs]


def test_signatures_estimate_jaccard() -> None:
    draw = random.Random(1)
    rows = written(300)
    texts = joined([*rows, *(edited(row, draw, draw.random() / 3) for row in rows)])
    found = signatures(shingles(texts), 256)
    assert (found.shape, found.dtype) == ((600, 256), np.uint32)
    true = np.array([jaccard(*pair) for pair in zip(texts[:300], texts[300:], strict=True)])
    errors = (found[:300] == found[300:]).mean(axis=1) - true
    assert abs(errors.mean()) < 4 / np.sqrt(256 * 300)
    assert errors.std() < 1 / np.sqrt(256)


@pytest.mark.parametrize(
    ("threshold", "permutations", "bands"),
    [(0.5, 128, (25, 5)), (0.5, 256, (42, 6)), (0.6, 256, (32, 8)), (0.8, 256, (17, 15)), (1.0, 256, (1, 256))],
)
def test_bands_are_those_of_datasketch_where_both_errors_weigh_the_same(
    threshold: float, permutations: int, bands: tuple[int, int]
) -> None:
    assert bands_for(threshold, permutations, 0.5) == bands


@given(st.floats(0.1, 1), st.integers(16, 300))
@settings(deadline=None, max_examples=30)
def test_bands_fit_into_a_signature(threshold: float, permutations: int) -> None:
    bands, rows = bands_for(threshold, permutations)
    assert 1 <= bands * rows <= permutations


# clusters


def test_edited_copies_are_found() -> None:
    draw = random.Random(2)
    rows = written(1000)
    found = cluster(joined([*rows, *(edited(row, draw) for row in rows)]), threshold=0.5)
    assert (found[:1000] == np.arange(1000)).all()
    assert (found[1000:] == np.arange(1000)).mean() >= 0.95


@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.8])
def test_clusters_are_nearly_those_of_comparing_all_pairs(threshold: float) -> None:
    draw = random.Random(3)
    rows = written(150)
    rows += [edited(draw.choice(rows), draw, draw.choice([0.04, 0.08, 0.15])) for _ in range(90)]
    rows += [[*draw.choice(rows), "now"] for _ in range(60)]
    texts = joined(rows)
    found, true = cluster(texts, threshold).tolist(), chained(texts, threshold)
    assert all(true[own] == true[row] for row, own in enumerate(found)), "a pair below the threshold was joined"
    near = [(one, other) for one, other in combinations(range(300), 2) if true[one] == true[other]]
    assert len(near) > 50
    assert np.mean([found[one] == found[other] for one, other in near]) >= 0.95


SAID = st.lists(st.lists(st.sampled_from("abc"), max_size=7).map(" ".join), max_size=12)


@settings(deadline=None, max_examples=60)
@given(SAID, st.sampled_from([0.3, 0.6, 1.0]), st.randoms(use_true_random=False))
def test_clusters_are_a_partition_that_does_not_depend_on_the_order(
    texts: list[str], threshold: float, draw: random.Random
) -> None:
    found = cluster(texts, threshold, 64).tolist()
    assert all(found[own] == own <= row for row, own in enumerate(found))
    order = list(range(len(texts)))
    draw.shuffle(order)
    again = cluster([texts[row] for row in order], threshold, 64).tolist()
    parts = [{row for row in order if found[row] == own} for own in set(found)]
    shuffled = [{order[place] for place, other in enumerate(again) if other == own} for own in set(again)]
    assert sorted(map(sorted, parts)) == sorted(map(sorted, shuffled))


@settings(deadline=None, max_examples=60)
@given(st.one_of(TEXTS, SAID))
def test_at_threshold_1_clusters_are_the_equal_sets_of_shingles(texts: list[str]) -> None:
    sets = [grams(text) for text in texts]
    assert cluster(texts, 1.0).tolist() == [sets.index(own) for own in sets]


def test_chinese_is_compared_by_its_characters() -> None:
    text = "我家的网络从昨天晚上开始一直断线请你们尽快派人来修理"
    assert cluster([text, text.replace("昨天", "前天"), "这个月的账单比上个月多了五十块钱是为什么"]).tolist() == [
        0,
        0,
        2,
    ]


@pytest.mark.parametrize(
    "other", ["", " and that is {row}"], ids=["identical rows", "rows that differ in their last word"]
)
def test_ten_thousand_rows_that_are_all_alike_are_one_cluster(other: str) -> None:
    row = "the very same words that each and every other row of this file has in it too" + other
    assert not cluster([row.format(row=number) for number in range(10_000)]).any()


def test_a_huge_bucket_proposes_a_bounded_number_of_pairs() -> None:
    keys = np.zeros(1000, dtype=np.uint64)
    pairs = [*_side_by_side(keys, np.arange(1, 1001), keys)]
    assert sum(len(rows) for rows, _ in pairs) <= (PAIRS_PER_ROW + 1) * 1000
    few = [*_side_by_side(keys[:5], np.arange(1, 6), keys[:5])]
    found = [(one, other) for rows, places in few for one, other in zip(rows.tolist(), places.tolist(), strict=True)]
    assert sorted(found) == [*combinations(range(5), 2)]


def test_near_asks_for_the_pair_itself_and_not_for_a_chain() -> None:
    known, middle, far = "a b c d e f g h i j", "a b c d e f g h x y", "k l c d e f g h x y"
    sketches = Sketches.of([known, middle, far, known], 0.5, 1024)
    assert sketches.near(sketches.set_of[1:], sketches.set_of[:1]).tolist() == [True, False, True]
    assert cluster([known, middle, far], 0.5, 1024).tolist() == [0, 0, 0]


# the filters

FIRST = "please tell me why the parcel that i sent to my sister in march never came to her door"
SECOND, OTHER = FIRST.replace("please tell", "kindly tell"), "the lamp in the hall went out again last night"
NEAR: list[Callable[..., NearDuplicates | ExactDuplicates]] = [NearDuplicates, ExactDuplicates]


def test_of_a_chain_one_row_is_kept() -> None:
    chain = ["a b c d e f g h i j", "a b c d e f g h x y", "k l c d e f g h x y"]
    judged = NearDuplicates(threshold=0.5, permutations=1024)([sample(text) for text in chain], context())
    assert judged.reasons == [None, "near_duplicate", "near_duplicate"]


@pytest.mark.parametrize("judge", NEAR)
@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([{"fit": 0.1}, {"fit": 0.9}, {"fit": 0.5}], 1),
        ([{}, {"fit": -3.0}, {}], 1),
        ([{"fit": 0.5}, {"fit": 0.5}, {"other": 1.0}], 0),
        ([{}, {"other": 1.0}, {}], 0),
    ],
)
def test_the_best_of_a_cluster_is_kept(
    judge: Callable[..., NearDuplicates | ExactDuplicates], scores: list[dict[str, float]], kept: int
) -> None:
    texts = [FIRST, FIRST.upper(), f"{FIRST}!"]
    batch = [sample(OTHER), *(sample(text, **own) for text, own in zip(texts, scores, strict=True))]
    reasons = judge(keep="best", best_by="fit")(batch, context()).reasons
    assert [row for row, reason in enumerate(reasons) if reason is None] == [0, kept + 1]
    first = judge()(batch, context()).reasons
    assert [row for row, reason in enumerate(first) if reason is None] == [0, 1]


def test_the_best_is_dropped_all_the_same_if_it_is_near_to_what_is_known() -> None:
    judge = NearDuplicates(keep="best", best_by="fit")
    batch = [sample(FIRST, fit=0.1), sample(SECOND, fit=0.9), sample(OTHER)]
    assert judge(batch, context(seeds=[OTHER])).reasons == ["near_duplicate", None, "near_seed"]
    assert judge(batch, context([FIRST], [OTHER])).reasons == ["near_seed", "near_seed", "near_held_out"]
    assert judge(batch, context([FIRST], [FIRST])).reasons == ["near_held_out", "near_held_out", None]


@pytest.mark.parametrize("judge", [NearDuplicates, ExactDuplicates])
@pytest.mark.parametrize(
    ("given", "said"),
    [({"keep": "best"}, "needs `best_by`"), ({"best_by": "fit"}, "counts with `keep: best` only")],
)
def test_a_score_is_named_where_the_best_is_kept_and_only_there(
    judge: type[NearDuplicates | ExactDuplicates], given: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(judge, given, "loop.yaml")


@settings(deadline=None, max_examples=40)
@given(SAID, st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=12, max_size=12))
def test_each_cluster_keeps_just_one_row_and_none_is_better(texts: list[str], fits: list[float]) -> None:
    batch = [sample(text, fit=fit) for text, fit in zip(texts, fits, strict=False)]
    reasons = NearDuplicates(keep="best", best_by="fit", permutations=64)(batch, context()).reasons
    found = cluster(texts, 0.6, 64).tolist()
    kept = {found[row]: row for row, reason in enumerate(reasons) if reason is None}
    assert len(kept) == reasons.count(None) == len(set(found))
    assert all(fits[row] <= fits[kept[own]] for row, own in enumerate(found))
