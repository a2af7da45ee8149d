"""Duplicates by meaning: clusters against brute force, what goes before what, and thresholds that data tell."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.quality import neighbours
from wheelwork.core.quality.alike import found_in, kept_of_each
from wheelwork.core.quality.calibrating import calibrate, read_pairs
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.duplicates import ExactDuplicates, NearDuplicates
from wheelwork.core.quality.filters import Novelty
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.known import Text
from wheelwork.core.quality.meaning import EmbeddingDuplicates
from wheelwork.core.quality.neighbours import Halves, clusters, nearest
from wheelwork.core.quality.thresholds import (
    FEWEST,
    HIGHEST,
    Calibration,
    Tail,
    read_calibration,
    separate,
    write_calibration,
)
from wheelwork.core.samples import Message, Sample
from wheelwork.core.settings import parse
from wheelwork.tests.fakes import FakeEncoder


def sample(text: str, **scores: float) -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content="yes")]
    return Sample.make(turns, task="classify", origin="teacher").with_scores(**scores)


def vectors(rows: int, groups: int, seed: int, spread: float = 0.3, dimensions: int = 16) -> Halves:
    """Unit rows around a few centres, some of them the same to the last bit, one of them zero."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((groups, dimensions))
    found = centres[draw.integers(groups, size=rows)] + spread * draw.standard_normal((rows, dimensions))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[rows // 2] = found[0]
    found[rows // 3] = 0
    return found.astype(np.float16)


def brute(rows: Halves, threshold: float) -> list[int]:
    """The clusters by comparing all pairs, each named by its lowest row."""
    lowest = list(range(len(rows)))
    wide = rows.astype(np.float32)
    for left, right in combinations(range(len(rows)), 2):
        if float(wide[left] @ wide[right]) >= threshold and lowest[left] != lowest[right]:
            low, high = sorted((lowest[left], lowest[right]))
            lowest = [low if own == high else own for own in lowest]
    return lowest


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 60), st.integers(1, 8), st.integers(0, 10**6), st.sampled_from([0.7, 0.9, 0.97]))
def test_clusters_are_those_of_comparing_all_pairs(rows: int, groups: int, seed: int, threshold: float) -> None:
    found = vectors(rows, groups, seed)
    cosines = np.abs(found.astype(np.float64) @ found.astype(np.float64).T - threshold)
    if cosines.min() > 1e-5:  # else the order of a sum decides
        assert clusters(found, threshold).tolist() == brute(found, threshold)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, known = vectors(90, 6, seed=1), vectors(40, 6, seed=2)
    whole = clusters(rows, 0.9), nearest(rows, known)
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    assert clusters(rows, 0.9).tolist() == whole[0].tolist()
    assert nearest(rows, known)[0] == pytest.approx(whole[1][0], abs=1e-5)
    assert len(set(whole[0].tolist())) > 6 and whole[0][45] == whole[0][0], "rows that are the same are one"


def test_nearest_of_nothing_is_none() -> None:
    cosines, which = nearest(vectors(5, 2, seed=0), np.zeros((0, 1), dtype=np.float16))
    assert which.tolist() == [-1] * 5 and np.isneginf(cosines).all()


def test_a_thousand_rows_that_are_all_near_are_one_cluster() -> None:
    assert not clusters(vectors(3000, 1, seed=0, spread=0.001)[1500:2500], 0.9).any()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0, 2.0])), max_size=20))
def test_each_row_knows_the_best_of_its_group(rows: list[tuple[int, float]]) -> None:
    groups, ranks = np.array([row[0] for row in rows], dtype=np.int64), np.array([row[1] for row in rows])
    kept = kept_of_each(groups, ranks).tolist()
    for row, one in enumerate(kept):
        own = [other for other in range(len(rows)) if groups[other] == groups[row]]
        assert one == max(own, key=lambda other: (ranks[other], -other))
    assert found_in(groups, np.array([3, 1, 3])).tolist() == [{3: 0, 1: 1}.get(group, -1) for group in groups.tolist()]


# the filter

LINE, AGAIN, BILL = "the line is down again today", "today again the line is down", "why is my bill so very high"
KNOWN = {"seeds": [("my parcel never came home", "")], "seed_places": ["seeds.jsonl:4"]}


def context(**rest: object) -> FunnelContext:
    return FunnelContext(FakeEncoder(), **(KNOWN | rest))  # type: ignore[arg-type]


def test_of_rows_that_mean_the_same_one_is_kept_and_the_others_say_which() -> None:
    held_out = [
        Text("the modem shows a red light", "holdout.jsonl:7", "holdout"),
        Text("x y z", "general:1", "general"),
    ]
    texts = [LINE, AGAIN, BILL, "never came my parcel home", "a red light the modem shows", BILL.upper()]
    judged = EmbeddingDuplicates(threshold=0.8)([sample(text) for text in texts], context(held_out=held_out))
    assert judged.reasons == [None, "same_meaning", None, "means_seed", "means_held_out", "same_meaning"]
    assert judged.like == {1: 0, 3: "seeds.jsonl:4", 4: "holdout.jsonl:7", 5: 2}
    cosines = judged.scores["cosine"]
    assert [cosines[row] is None for row in range(6)] == [True, False, True, False, False, False]
    assert cosines[1] == pytest.approx(1, abs=1e-3) and 0.8 < (cosines[4] or 0) < 1
    assert judged.figures == {"clusters": 2, "largest_cluster": 2, "means_held_out_holdout": 1}
    assert judged.notes == ("means_held_out: 1 of `holdout`.",)


def test_the_best_of_a_cluster_is_kept_and_named_by_its_id() -> None:
    rows = [sample(LINE, fit=0.1), sample(AGAIN, fit=0.9)]
    funnel = Funnel(filters=(EmbeddingDuplicates(threshold=0.9, keep="best", best_by="fit"),))
    (kept,), (dropped,), (count,) = funnel.split(rows, context())
    assert kept.prompt == AGAIN and dropped.controls == {"duplicate_of": kept.id}
    assert count.dropped == {"same_meaning": 1} and dropped.scores["cosine"] > 0.99


@pytest.mark.parametrize(
    ("judge", "reason"),
    [
        (ExactDuplicates(pool=True), "copies_pool"),
        (NearDuplicates(pool=True), "near_pool"),
        (EmbeddingDuplicates(threshold=0.9, pool=True), "means_pool"),
        (Novelty(pool=True), "known_to_pool"),
    ],
)
def test_what_the_pool_has_is_dropped_where_it_is_asked(judge: ExactDuplicates, reason: str) -> None:
    pool = [Text(LINE, "00ff00ff00ff00ff")]
    judged = judge([sample(LINE), sample(BILL)], context(pool=pool))
    assert (judged.reasons, judged.like) == ([reason, None], {0: "00ff00ff00ff00ff"})
    assert "pool" in judge.needs
    alone = judge.model_copy(update={"pool": False})
    assert alone([sample(LINE), sample(BILL)], context(pool=pool)).reasons == [None, None]


def test_figures_name_each_suite_that_would_have_leaked() -> None:
    held_out = [Text(LINE, "holdout.jsonl:1", "holdout"), Text(BILL, "guard.jsonl:1", "guard")]
    judged = ExactDuplicates()([sample(text) for text in (LINE, BILL, f"{LINE}!")], context(held_out=held_out))
    assert judged.reasons == ["held_out"] * 3
    assert judged.figures == {"held_out_holdout": 2, "held_out_guard": 1}
    assert judged.notes == ("held_out: 1 of `guard`, 2 of `holdout`.",)


# thresholds


def gaussian(rows: int, seed: int, dimensions: int = 24) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Unit rows whose cosines are those of unrelated texts, as far as chance goes."""
    found = np.random.default_rng(seed).standard_normal((rows, dimensions))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("told_by", "batch"), [(60, 100), (60, 1000), (200, 1000)])
def test_a_threshold_from_rows_drops_no_more_unrelated_rows_than_it_says(told_by: int, batch: int) -> None:
    shares = []
    for seed in range(8):
        tail = Tail.of(gaussian(told_by, seed))
        assert tail is not None
        threshold = tail.cosine(batch - 1, 0.05)
        rows = gaussian(batch, seed + 100)
        cosines = rows @ rows.T
        np.fill_diagonal(cosines, -1)
        shares.append(float((cosines.max(axis=1) >= threshold).mean()))
    assert 0.001 < np.mean(shares) <= 0.05, shares


def test_a_threshold_rises_with_what_is_compared_and_stays_below_one() -> None:
    tail = Tail.of(gaussian(FEWEST, 0))
    assert tail is not None and Tail.of(gaussian(FEWEST - 1, 0)) is None
    found = [tail.cosine(rows, 0.05) for rows in (1, 10, 1000, 10**6, 10**12)]
    assert found == sorted(found) and tail.start <= found[0] and found[-1] <= HIGHEST
    assert tail.cosine(1000, 0.01) > tail.cosine(1000, 0.2)


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.sampled_from([0.05, 0.1, 0.5]))
def test_of_the_pairs_that_are_not_the_same_few_reach_the_threshold(other: list[float], rate: float) -> None:
    if (len(other) + 1) * rate < 1:
        with pytest.raises(DataError, match="give at least"):
            separate([0.9], other, rate)
        return
    found = separate([0.9, -1.0], other, rate)
    assert sum(one >= found.threshold for one in other) < (len(other) + 1) * rate
    assert found.recall in (0.0, 0.5, 1.0)


def test_pairs_are_told_from_rows_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("text,other,same\nthe line is down,down is the line,1\nthe line is down,my bill,0\n")
    assert [pair.same for pair in read_pairs(pairs) or []] == [True, False]
    found = calibrate(pairs, FakeEncoder(), encoder="words", model="m", false_positives=0.5)
    assert (found.recall, found.pairs, found.threshold) == (1.0, (1, 1), pytest.approx(0, abs=0.1))
    with pytest.raises(DataError, match=r"pairs.csv: 1 pairs that do not say the same .* give at least 99"):
        calibrate(pairs, FakeEncoder(), encoder="words", model="m", false_positives=0.01)
    pairs.write_text("text,other,same\na,b,maybe\n")
    with pytest.raises(DataError, match=r"pairs.csv:2: `same` must be 1 or 0"):
        read_pairs(pairs)
    rows = tmp_path / "rows.csv"
    rows.write_text("text\n" + "".join(f"word{n} other{n} third{n % 9}\n" for n in range(FEWEST - 1)))
    assert read_pairs(rows) is None
    with pytest.raises(DataError, match="49 different texts are too few"):
        calibrate(rows, FakeEncoder(), encoder="words", model="m", false_positives=0.01)


def test_what_is_found_is_kept_for_this_encoder_alone(tmp_path: Path) -> None:
    found = Calibration(encoder="words", model="m", source="pairs.csv", threshold=0.7, pairs=(3, 4))
    path = write_calibration(tmp_path, found)
    assert read_calibration(tmp_path, "m") == found and read_calibration(tmp_path, "other") is None
    assert found.limit(10, 0.05).told == "7 pairs of pairs.csv"
    path.write_text("{")
    with pytest.raises(DataError, match="this is no calibration; remove it"):
        read_calibration(tmp_path, "m")


def test_auto_is_told_by_the_calibration_else_by_the_seeds_else_not_at_all() -> None:
    judge, rows = EmbeddingDuplicates(), [sample(LINE), sample(AGAIN), sample(BILL)]
    assert "threshold" in judge.needs and "threshold" not in Novelty().needs
    known = Calibration(encoder="words", model="m", source="pairs.csv", threshold=0.7, pairs=(3, 4))
    told = judge(rows, context(calibration=known))
    assert told.reasons == [None, "same_meaning", None] and told.figures["threshold"] == 0.7
    assert told.notes == ("embedding_duplicates: cosine 0.700, told by 7 pairs of pairs.csv.",)
    seeds = [(f"w{n} w{n * 7 % 50} w{n * 3 % 50} end", "") for n in range(FEWEST)]
    told = judge(rows, FunnelContext(FakeEncoder(), seeds))
    assert told.reasons == [None, "same_meaning", None] and "told by the 50 seeds" in told.notes[0]
    with pytest.raises(ConfigError, match="there are 1; run `wheelwork calibrate FILE`"):
        judge(rows, context())
    assert Novelty(max_cosine="auto")(rows, context(calibration=known)).figures == {"threshold": 0.7}


@pytest.mark.parametrize("given", [{"threshold": 1.5}, {"threshold": "often"}])
def test_a_threshold_is_a_cosine_or_auto(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        parse(EmbeddingDuplicates, given, "loop.yaml")
