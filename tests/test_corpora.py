"""The corpora of the benchmark: what is planted is there, and is found by who looks for it."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from wheelwork.benchmarks.corpora import EDITED, PERSONAL, SHARES, WORDS_A_ROW, corpus, write_corpus
from wheelwork.core.quality.personal import find
from wheelwork.core.text import normalised

ROWS = 3000


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_corpus(tmp_path / name, 200, seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert [json.loads(line)["completion"] for line in a.splitlines()] == [f"answer {row}" for row in range(200)]


def test_every_defect_has_its_share_and_a_further_one_too() -> None:
    others = {"foreign": (0.1, lambda draw: "guten Tag")}
    rows = list(corpus(ROWS, 3, others))
    planted = Counter(row["planted"] for row in rows)
    for defect, share in {**SHARES, "foreign": 0.1}.items():
        assert planted[defect] / ROWS == pytest.approx(share, rel=0.3)
    assert all(row["prompt"] == "guten Tag" for row in rows if row["planted"] == "foreign")


def test_copies_are_of_a_row_before_them_and_edits_change_their_share_of_the_words() -> None:
    rows = list(corpus(ROWS, 4, {}))
    for row in rows:
        if row["planted"] == "exact":
            assert normalised(row["prompt"]) == normalised(rows[row["of"]]["prompt"])
        elif row["planted"] == "near":
            words, before = row["prompt"].split(), rows[row["of"]]["prompt"].split()
            assert sum(one != other for one, other in zip(words, before, strict=True)) == round(EDITED * WORDS_A_ROW)
        else:
            assert row["of"] is None


def test_personal_data_is_what_it_looks_like() -> None:
    draw = random.Random(0)
    for make in PERSONAL:
        assert all(find(f"so it is {make(draw)} then") for _ in range(50))
