"""BLEU and ROUGE-L: values that are known, languages, bounds, and rows that cannot be scored."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wheelwork.core.quality.scores.overlap import Bleu, RougeL, common_subsequence, tokenizer_for
from wheelwork.core.text import words
from wheelwork.tests.core.quality.scores.rows import context, row, through


def bleu(answer: str, reference: str) -> float | None:
    return Bleu()([row("what?", answer, reference=reference)], context()).scores["bleu"][0]


def rouge(answer: str, reference: str, measure: str = "f1") -> float | None:
    judge = RougeL.model_validate({"measure": measure})
    return judge([row("what?", answer, reference=reference)], context()).scores["rouge_l"][0]


def test_bleu_of_the_same_text_is_100_and_of_strangers_0() -> None:
    assert bleu("the line is down again", "the line is down again") == pytest.approx(100)
    assert bleu("zebra spoon", "the line is down again") == 0


def test_bleu_is_the_geometric_mean_of_precisions_by_the_brevity_penalty() -> None:
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples
    expected = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)
    assert bleu("the cat sat on a mat", "the cat sat on the mat") == pytest.approx(expected)
    # shorter than its reference; none of 2 quadruples, which is smoothed to half of one
    expected = 100 * math.exp(1 - 7 / 5) * (4 / 5 * 2 / 4 * 1 / 3 * (1 / 2) / 2) ** (1 / 4)
    assert bleu("the cat on a mat", "the cat on the mat is here") == pytest.approx(expected)


def test_a_short_answer_is_not_0_for_want_of_long_ngrams() -> None:
    assert bleu("yes", "yes") == pytest.approx(100)


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [("plain words", "13a"), ("今天天气很好", "zh"), ("今日は良い天気です", "char"), ("สวัสดี", "char"), ("", "13a")],
)
def test_the_tokenizer_follows_the_script(text: str, tokenizer: str) -> None:
    assert tokenizer_for(text) == tokenizer


def test_chinese_is_compared_by_characters() -> None:
    close, far = bleu("猫坐在垫子上面", "猫坐在垫子上"), bleu("银行今天关门了", "猫坐在垫子上")
    assert close is not None and close > 70 and far == 0
    assert rouge("猫坐在垫子上", "猫在垫子上坐") == pytest.approx(2 * 5 / 12)


def test_rouge_l_of_the_papers_example() -> None:
    # Lin 2004, section 3.1: reference "police killed the gunman"
    assert rouge("police kill the gunman", "police killed the gunman") == pytest.approx(0.75)
    assert rouge("the gunman kill police", "police killed the gunman") == pytest.approx(0.5)


def test_recall_and_precision_go_by_their_own_side() -> None:
    assert rouge("the line is down", "down", "precision") == pytest.approx(0.25)
    assert rouge("the line is down", "down", "recall") == pytest.approx(1.0)


def table(one: list[str], other: list[str]) -> int:
    """The length by the table of the textbook."""
    above = [0] * (len(other) + 1)
    for left in one:
        here = [0]
        for at, right in enumerate(other):
            here.append(above[at] + 1 if left == right else max(above[at + 1], here[at]))
        above = here
    return above[-1]


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.lists(st.sampled_from("abcd"), max_size=40))
def test_the_bits_find_what_the_table_finds(one: list[str], other: list[str]) -> None:
    assert common_subsequence(one, other) == table(one, other)


@given(st.text(max_size=60), st.text(max_size=60))
def test_scores_stay_in_their_range_whatever_is_said(answer: str, reference: str) -> None:
    for judge, most in ((Bleu(), 100.0), (RougeL(), 1.0)):
        (value,) = judge([row("what?", answer, reference=reference)], context()).scores[judge.score]
        assert value is None or 0 <= value <= most
        assert (value is None) <= (not words(answer) or not words(reference) or judge.score == "bleu")


def test_what_has_no_reference_or_answer_is_unscored_and_counted() -> None:
    rows = [row("a", "b", reference="b"), row("a", "b"), row("a"), row("a", label="billing", reference="b")]
    kept, dropped, count = through(RougeL(), rows, context())
    assert [sample.scores for sample in kept] == [{"rouge_l": 1.0}, {}, {}, {}] and not dropped
    assert count.figures["scored"] == 1 and count.figures["unscored"] == 3 and count.figures["mean"] == 1.0
    assert count.notes == ("rouge_l: 3 of 4 rows could not be scored (no_answer 2, no_reference 1) and were kept.",)


def test_bounds_drop_by_their_own_reasons() -> None:
    rows = [row("a", answer, reference="one two three four") for answer in ("one two three four", "one two", "nothing")]
    judge = RougeL(min=0.5, max=0.9, unscored="drop")
    _, dropped, count = through(judge, [*rows, row("a", "b")], context())
    assert [sample.reject_reason for sample in dropped] == ["rouge_l_high", "rouge_l_low", "rouge_l_unscored"]
    assert count.dropped == {"rouge_l_high": 1, "rouge_l_low": 1, "rouge_l_unscored": 1}


def test_a_summary_is_compared_with_the_text_that_it_is_of() -> None:
    (value,) = Bleu(against="prompt")([row("the line is down again", "the line is down again")], context()).scores[
        "bleu"
    ]
    assert value == pytest.approx(100) and Bleu(against="prompt").columns == () and Bleu().columns == ("reference",)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min": 2.0, "max": 1.0}, "nothing would be kept"),
        ({"min": 101.0}, "highest score"),
        ({"max": -1.0}, "lowest score"),
        ({"min": float("nan")}, "finite"),
        ({"against": ""}, "at least 1"),
        ({"unscored": "maybe"}, "keep"),
    ],
)
def test_impossible_bounds_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Bleu.model_validate(settings)
