"""What is quick in the common case gives what the slow way gives, on any text."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.digests import digest_of, quick_digest
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.files.writing import _in_one_line
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.rows.language import LETTERS, MAYBE_NOT_PROSE, NOT_PROSE, _letters
from wheelwork.core.samples import Message, Sample
from wheelwork.core.text import WORD, words_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ASCII = st.text(st.characters(max_codepoint=127), max_size=40)
FEW_WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=3, max_size=30)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXTS)), TEXTS | st.none())
def test_a_quick_digest_is_the_digest(turns: list[tuple[str, str]], label: str | None) -> None:
    value = {"label": label, "messages": turns, "task": "qa"}
    assert quick_digest(value) == digest_of(value)


def test_half_a_character_in_a_digest_is_the_error_that_it_was() -> None:
    with pytest.raises(UnicodeEncodeError):
        quick_digest({"label": "\ud83d"})


@given(st.dictionaries(TEXTS, TEXTS | st.integers(), min_size=1), st.booleans(), st.booleans())
def test_a_line_with_a_reason_behind_it_is_the_row_with_its_reason(
    row: dict[str, str | int], ascii_only: bool, known: bool
) -> None:
    row = row | {"reject_reason": "before"} if known else row
    line = json.dumps(row, ensure_ascii=ascii_only).encode()
    written = _in_one_line(line, {"reject_reason": "duplicate"})
    assert b"\n" not in written
    assert json.loads(written) == row | {"reject_reason": "duplicate"}
    assert written.count(b'"reject_reason"') == 1 or "reject_reason" in row.values()


@given(FEW_WORDS, st.sampled_from([0.0, 0.2, 0.35, 0.6, 1.0]))
def test_repetition_is_the_share_of_pairs_that_stood_before(found: list[str], most: float) -> None:
    sample = Sample.make([Message(role="user", content=" ".join(found))], task="qa", origin="import")
    pairs = list(pairwise(found))
    repeats = 1 - len(set(pairs)) / len(pairs) > most
    judged = Rules(max_repetition=most, banned=())([sample], FunnelContext(None))
    assert judged.reasons == ["repetition" if repeats else None]


@given(
    st.lists(st.sampled_from(["it's", "'", "''", "rock'n'roll", " 'so' ", "a_b", "x-y", "7", "\t"])) | st.lists(ASCII)
)
def test_words_of_ascii_are_those_of_the_pattern(parts: list[str]) -> None:
    normal = "".join(parts)
    assert words_of(normal) == WORD.findall(normal)


@given(TEXTS)
def test_what_is_no_prose_is_looked_for_only_where_it_may_be(text: str) -> None:
    assert MAYBE_NOT_PROSE.search(text) or NOT_PROSE.sub(" ", text) == text
    assert _letters(text) == len(re.findall(LETTERS, text))
