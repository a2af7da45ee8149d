"""Labels with an `other`, exact answers, and likeness by ROUGE, chrF and BLEU."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from wheelwork.core.errors import DataError
from wheelwork.core.evaluation.scorers import AnswerEm, AnswerF1, Chrf, ExactLabel, Item, Rouge, SentenceBleu

LABELS = ("wifi_drops", "bill", "other")
TEXTS = some.text(alphabet="abc de.", max_size=30)


def labelled(label: str) -> Item:
    return Item(id="a", prompt="?", label=label)


def answered(*answers: str) -> Item:
    return Item(id="a", prompt="?", answers=answers)


# labels


@pytest.mark.parametrize(
    ("reply", "label", "score"),
    [
        ("Bill.", "bill", 1.0),
        ("bill", "other", 0.0),
        ("I cannot tell", "other", 1.0),
        ("other", "other", 1.0),
        ("", "other", 1.0),
        ("I cannot tell", "bill", 0.0),
    ],
)
def test_a_reply_that_is_no_label_counts_as_other(reply: str, label: str, score: float) -> None:
    scorer = ExactLabel(other="other").knowing(LABELS)
    assert scorer(reply, labelled(label)).value == score


def test_without_other_a_reply_that_is_no_label_is_wrong() -> None:
    assert ExactLabel()("I cannot tell", labelled("other")).value == 0.0


def test_other_must_be_a_label() -> None:
    with pytest.raises(DataError, match=r"`scorer.other: othr` is no label; did you mean `other`\?"):
        ExactLabel(other="othr").knowing(LABELS)


@pytest.mark.parametrize("reply", ["WiFi drops", "wifi-drops", "**wifi_drops**", "Label: wifi drops.", "# Wifi_Drops!"])
def test_loosely_spelled_a_label_is_still_the_label(reply: str) -> None:
    assert ExactLabel(normalise="loose")(reply, labelled("wifi_drops")).value == 1.0
    assert ExactLabel()(reply, labelled("wifi_drops")).value == 0.0


@pytest.mark.parametrize("reply", ["wifi", "wifi drops bill", "no wifi_drops", "wifidrops"])
def test_loosely_spelled_other_words_are_not_the_label(reply: str) -> None:
    assert ExactLabel(normalise="loose")(reply, labelled("wifi_drops")).value == 0.0


def test_two_labels_that_are_one_when_spelled_loosely_are_refused() -> None:
    with pytest.raises(DataError, match="`a_b` and `a-b` are one label to `normalise: loose`"):
        ExactLabel(normalise="loose").knowing(("a_b", "a-b"))
    assert ExactLabel(normalise="loose")("C", labelled("C#")).value == 0.0


def test_what_a_reply_is_taken_for() -> None:
    scorer = ExactLabel()
    assert [scorer.predicted(reply, LABELS) for reply in ("'Bill'", "bills")] == ["bill", "(no label)"]
    assert ExactLabel(other="other").predicted("bills", LABELS) == "other"


# answers


@pytest.mark.parametrize(
    ("reply", "score"),
    [("The Eiffel Tower.", 1.0), ("eiffel tower", 1.0), ("Paris", 1.0), ("It is the Eiffel Tower", 0.0), ("", 0.0)],
)
def test_an_answer_is_given_and_nothing_else(reply: str, score: float) -> None:
    assert AnswerEm()(reply, answered("Eiffel Tower", "Paris")).value == score


def test_an_answer_of_signs_or_articles_alone_is_not_given_by_silence() -> None:
    assert AnswerEm()("", answered("+")).value == 0.0
    assert AnswerEm()("+", answered("+")).value == 1.0
    assert AnswerEm()("the", answered("The")).value == 1.0


@given(TEXTS, TEXTS.filter(str.strip))
def test_an_exact_answer_overlaps_whole(reply: str, answer: str) -> None:
    if AnswerEm()(reply, answered(answer)).value == 1.0 and any(sign.isalpha() for sign in answer):
        assert AnswerF1()(reply, answered(answer)).value == 1.0


# likeness


def test_rouge_counts_words_pairs_and_the_longest_subsequence() -> None:
    item = answered("the cat sat on the mat")
    reply = "the cat on the mat"  # 5 words of 6; pairs (the cat) (on the) (the mat) of 4 and 5
    found = {of: Rouge(of=of)(reply, item).value for of in ("rouge1", "rouge2", "rougeL")}
    assert found == pytest.approx({"rouge1": 10 / 11, "rouge2": 6 / 9, "rougeL": 10 / 11})
    assert Rouge(of="rouge1", measure="recall")(reply, item).value == pytest.approx(5 / 6)
    assert Rouge(of="rouge2", measure="precision")(reply, item).value == pytest.approx(3 / 4)


def test_the_nearest_answer_counts() -> None:
    for scorer in (Rouge(), Chrf()):
        assert scorer("on the mat", answered("nothing alike", "on the mat")).value == pytest.approx(1.0)


def test_chrf_and_bleu_are_those_of_sacrebleu() -> None:
    reply, answers = "the cat is on a mat", ["the cat sat on the mat", "a cat on a mat"]
    item = answered(*answers)
    assert Chrf()(reply, item).value == pytest.approx(CHRF().sentence_score(reply, answers).score / 100)
    assert Chrf(word_order=2)(reply, item).value == pytest.approx(
        CHRF(word_order=2).sentence_score(reply, answers).score / 100
    )
    bleu = BLEU(effective_order=True, tokenize="13a")
    assert SentenceBleu()(reply, item).value == pytest.approx(bleu.sentence_score(reply, answers).score / 100)


def test_chinese_is_compared_by_characters() -> None:
    assert Rouge(of="rouge1")("北京市", answered("北京")).value == pytest.approx(4 / 5)
    assert SentenceBleu()("中国的首都是北京", answered("中国的首都是北京")).value == pytest.approx(1.0)


@given(TEXTS, TEXTS.filter(str.strip))
def test_likeness_lies_between_0_and_1(reply: str, answer: str) -> None:
    for scorer in (Rouge(), Rouge(of="rouge2"), Rouge(of="rouge1", measure="precision"), Chrf(), SentenceBleu()):
        value = scorer(reply, answered(answer)).value
        assert value is not None and 0 <= value <= 1


def test_silence_is_like_nothing() -> None:
    for scorer in (Rouge(), Rouge(of="rouge2"), Chrf(), SentenceBleu()):
        assert scorer("", answered("something else")).value == 0.0


@pytest.mark.parametrize("scorer", [Rouge(), Chrf(), SentenceBleu(), AnswerEm()])
def test_without_answers_there_is_nothing_to_compare(scorer: Rouge | Chrf | SentenceBleu | AnswerEm) -> None:
    with pytest.raises(DataError, match=rf"`a` has no `answers`, which the scorer `{scorer.kind}` needs; add some"):
        scorer("x", labelled("x"))


def test_an_item_whose_right_choice_is_not_there_is_refused() -> None:
    with pytest.raises(ValidationError, match="there is no choice 2 among 2"):
        Item(id="a", prompt="?", choices=("x", "y"), choice=2)
