"""The pairs that calibrate augmentation, and that its defaults are what they give."""

import json
from collections import Counter

import numpy as np
import pytest
from wheelwork.benchmarks import meaning
from wheelwork.core.models.encoder import Encoder
from wheelwork.core.models.store import ModelStore
from wheelwork.core.text import normalised

CHILDREN = meaning.read(meaning.DATA)


def test_there_are_enough_pairs_of_each_kind_in_both_halves() -> None:
    counts = Counter((child.language, child.same) for child in CHILDREN)
    assert min(counts["en", True], counts["en", False]) >= 160
    assert min(counts["zh", True], counts["zh", False]) >= 40
    halves = Counter((child.same, child.kind, child.family % 2) for child in CHILDREN if child.language == "en")
    assert min(halves.values()) >= 6
    assert set(meaning.OTHERS) == set(meaning.kinds(CHILDREN, same=False))


def test_no_text_stands_twice_in_a_family() -> None:
    for line in meaning.DATA.read_text(encoding="utf-8").splitlines():
        family = json.loads(line)
        texts = [family["parent"], *family["same"].values(), *family["other"].values()]
        assert len({normalised(text) for text in texts}) == len(texts), family["parent"]


def test_a_threshold_keeps_its_share_of_the_families_that_choose() -> None:
    cosines = np.array([0.5 + child.family / 200 for child in CHILDREN])
    for kind, threshold in meaning.thresholds(CHILDREN, cosines).items():
        kinds = meaning.TOGETHER.get(kind, (kind,))
        own = [
            cosine
            for child, cosine in zip(CHILDREN, cosines, strict=True)
            if child.same and child.kind in kinds and child.family % 2 == 0
        ]
        assert np.mean([cosine >= threshold for cosine in own]) >= meaning.RECALL
        assert np.mean([cosine >= threshold + 0.02 for cosine in own]) < 0.95


def test_the_area_is_the_chance_that_right_is_above_wrong() -> None:
    assert meaning.area(np.array([0.9, 0.8]), np.array([0.1, 0.85])) == 0.75
    assert meaning.area(np.array([0.5]), np.array([0.5])) == 0.5


@pytest.mark.model
def test_the_defaults_of_augmentation_are_what_the_pairs_give() -> None:
    english = [child for child in CHILDREN if child.language == "en"]
    encode = Encoder.load(ModelStore().get(meaning.ENCODER))
    chosen = meaning.thresholds(english, meaning.measure(english, encode))
    assert meaning.defaults(chosen) == pytest.approx(chosen, abs=0.011)  # processors round otherwise
