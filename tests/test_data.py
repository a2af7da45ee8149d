"""What the scenario home_broadband promises: enough rows of each label, and no row that is another one in disguise."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from wheelwork.core.text import normalised, words

FOLDER = Path(__file__).parents[1] / "scenarios" / "home_broadband"
LABELLED = {"seeds.jsonl": 8, "holdout.jsonl": 25, "drift.jsonl": 10, "dev.jsonl": 15}  # rows of each label, at least
GENERAL = ("retention.jsonl", "rehearsal.jsonl")
FILES = (*LABELLED, *GENERAL)
LABELS: dict[str, str] = yaml.safe_load((FOLDER / "labels.yaml").read_text(encoding="utf-8"))
MOST_ALIKE, MOST_COSINE = 0.6, 0.9

Grams = frozenset[tuple[str, ...]]


def rows(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / file).read_text(encoding="utf-8").splitlines()]


def texts(file: str) -> list[str]:
    return [row["prompt" if file in GENERAL else "text"] for row in rows(file)]


def grams(text: str) -> Grams:
    """The word 3-grams of a text; of a shorter one all its words."""
    found = words(text)
    return frozenset(tuple(found[start : start + 3]) for start in range(max(1, len(found) - 2)))


def jaccard(one: Grams, other: Grams) -> float:
    return len(one & other) / len(one | other)


def across_files() -> Iterator[tuple[str, str]]:
    return combinations(FILES, 2)


def test_there_are_labels_enough_and_each_has_one_line() -> None:
    assert len(LABELS) >= 12
    assert all(isinstance(said, str) and said.strip() and "\n" not in said for said in LABELS.values())
    assert len(set(LABELS.values())) == len(LABELS)


@pytest.mark.parametrize(("file", "least"), LABELLED.items())
def test_each_label_has_its_rows(file: str, least: int) -> None:
    counts = Counter(row["label"] for row in rows(file))
    assert set(counts) == set(LABELS)
    assert min(counts.values()) >= least


def test_every_label_has_just_eight_seeds() -> None:
    assert set(Counter(row["label"] for row in rows("seeds.jsonl")).values()) == {8}


@pytest.mark.parametrize("file", LABELLED)
def test_a_labelled_row_has_a_text_and_a_label(file: str) -> None:
    assert all(set(row) == {"text", "label"} and row["text"] == row["text"].strip() != "" for row in rows(file))


def test_a_general_item_has_a_question_and_what_a_right_reply_holds() -> None:
    items = rows("retention.jsonl")
    assert len(items) >= 80
    assert len({row["kind"] for row in items}) >= 3
    for row in items:
        assert set(row) in ({"prompt", "answers", "kind"}, {"prompt", "pattern", "kind"})
        assert row["prompt"].strip() and (row.get("answers") or row.get("pattern"))


def test_no_text_stands_twice() -> None:
    counts = Counter(normalised(text) for file in FILES for text in texts(file))
    assert [text for text, times in counts.items() if times > 1] == []


def test_labels_take_turns_where_the_first_rows_may_stand_for_all() -> None:
    for file in ("holdout.jsonl", "drift.jsonl", "dev.jsonl"):
        labels = [row["label"] for row in rows(file)]
        assert set(labels[: len(LABELS)]) == set(LABELS)


def test_jaccard_knows_a_variation_from_another_text() -> None:
    one = grams("my internet is very slow after dinner again")
    assert jaccard(one, grams("my internet is very slow after dinner, AGAIN!")) == 1
    assert jaccard(one, grams("my internet is very slow after dinner tonight")) > MOST_ALIKE
    assert jaccard(one, grams("the television picture freezes in every match")) == 0


@pytest.mark.parametrize(("one", "other"), across_files())
def test_no_row_is_a_variation_of_a_row_in_another_file(one: str, other: str) -> None:
    others = [(grams(text), text) for text in texts(other)]
    alike = [(text, near) for text in texts(one) for found, near in others if jaccard(grams(text), found) > MOST_ALIKE]
    assert alike == []


@pytest.mark.model
def test_no_row_means_what_a_row_in_another_file_means() -> None:
    from wheelwork.core.models.encoder import Encoder
    from wheelwork.core.models.store import ModelStore

    encode = Encoder.load(ModelStore().get("all-minilm-l6-v2"))
    vectors = {file: encode(texts(file)) for file in FILES}
    for one, other in across_files():
        cosines = vectors[one] @ vectors[other].T
        row, near = np.unravel_index(cosines.argmax(), cosines.shape)
        assert cosines.max() <= MOST_COSINE, (texts(one)[row], texts(other)[near])
