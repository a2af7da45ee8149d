"""The corpora of the benchmark: what is planted is there, and is found by who looks for it."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from wheelwork.benchmarks.corpora import EDITED, PERSONAL, SHARES, WORDS_A_ROW, corpus, write_corpus
from wheelwork.benchmarks.grammars import OTHERS, Grammar
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.personal import find
from wheelwork.core.quality.rows.language import Language
from wheelwork.core.quality.sketches import cluster
from wheelwork.core.text import normalised, words

ROWS = 3000


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_corpus(tmp_path / name, 200, seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert [json.loads(line)["completion"] for line in a.splitlines()] == [f"answer {row}" for row in range(200)]


def test_every_defect_has_its_share() -> None:
    planted = Counter(row["planted"] for row in corpus(ROWS, 3))
    for defect, share in SHARES.items():
        assert planted[defect] / ROWS == pytest.approx(share, rel=0.3)


def test_good_rows_are_english_of_so_many_words_and_no_two_are_alike() -> None:
    good = [row["prompt"] for row in corpus(ROWS, 5) if not row["planted"]]
    assert {len(text.split()) for text in good} == {WORDS_A_ROW}
    assert len(set(cluster(good, threshold=0.2))) == len(good)
    assert all(_confidence(text) > 0.5 for text in good[:200])


@pytest.mark.parametrize("grammar", OTHERS)
def test_sentences_of_another_language_are_not_taken_for_english_and_differ(grammar: Grammar) -> None:
    make = grammar.sentences(random.Random(0))
    texts = [make() for _ in range(100)]
    assert all(_confidence(text) < 0.01 for text in texts)
    assert all(Rules().min_words <= len(words(text)) <= Rules().max_words for text in texts)
    assert len(set(cluster(texts, threshold=0.5))) == len(texts)


def _confidence(text: str) -> float:
    """That it is English."""
    ((_, likely),) = Language(allowed=("en",)).parts(text)
    return likely


def test_copies_are_of_a_row_before_them_and_edits_change_their_share_of_the_words() -> None:
    rows = list(corpus(ROWS, 4))
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
