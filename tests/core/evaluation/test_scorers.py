"""What a reply is worth, in the spellings that models and languages bring along."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import TypeAdapter, ValidationError
from wheelwork.core.errors import DataError
from wheelwork.core.evaluation.scorers import ExactLabel, Item, Matches, Score, Scorer


def labelled(label: str) -> Item:
    return Item(id="a", prompt="?", label=label)


def answered(*answers: str) -> Item:
    return Item(id="a", prompt="?", answers=answers)


@pytest.mark.parametrize(
    "reply",
    ["wifi_drops", " wifi_drops\n", "WiFi_Drops", '"wifi_drops"', "`wifi_drops`", "'wifi_drops.'", '"wifi_drops".'],
)
def test_a_label_counts_whatever_its_case_space_quotes_and_full_stop(reply: str) -> None:
    assert ExactLabel()(reply, labelled("wifi_drops")) == Score(1.0)


@pytest.mark.parametrize(
    "reply",
    ["", "wifi", "wifi_drops wifi_drops", "It is wifi_drops", '""wifi_drops""', '"wifi_drops', "wifi_drops..", "`\"'"],
)
def test_anything_else_is_not_the_label(reply: str) -> None:
    assert ExactLabel()(reply, labelled("wifi_drops")) == Score(0.0)


def test_labels_of_other_scripts_are_compared_alike() -> None:
    assert ExactLabel()("「账单争议」。", labelled("账单争议")).value == 1.0
    assert ExactLabel()("cafe\u0301", labelled("Café")).value == 1.0  # an accent of its own
    assert ExactLabel()("STRASSE", labelled("straße")).value == 1.0


@given(some.text(), some.sampled_from(["", " ", "\n"]))
def test_a_label_equals_itself_and_its_quoted_self(label: str, space: str) -> None:
    try:
        item = labelled(label)
    except ValidationError:
        return  # a label without content is refused
    assert ExactLabel()(label, item).value == 1.0
    if label[-1] not in ".。．" and label == label.strip():
        assert ExactLabel()(f"{space}{label}.{space}", item).value == 1.0


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("Paris", "The capital is PARIS."),
        ("Paris", "**Paris**"),
        ("Paris", "_Paris_"),
        ("Paris", "Paris's river"),
        ("H2O", "Water is H2O."),
        ("H2O", "水的化学式是H2O。"),
        ("3.14", "about 3.14, roughly"),
        ("7", "3+4=7."),
        ("7", "between 3-7"),
        ("-5", "It is -5 degrees"),
        ("-5", "-5"),
        ("C++", "I like C++!"),
        ("buenos días", "¡Buenos\nDías, señor!"),
        ("café", "un cafe\u0301 noir"),
        ("北京", "中国的首都是北京市。"),
        ("서울", "수도는 서울입니다"),
        ("กรุงเทพ", "เมืองกรุงเทพมหานคร"),
    ],
)
def test_an_answer_is_found_as_whole_words(answer: str, reply: str) -> None:
    assert Matches()(reply, answered(answer)) == Score(1.0)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("Paris", ""),
        ("Paris", "Parisian"),
        ("Paris", "the_paris_office"),
        ("art", "a smart start"),
        ("H2O", "H2O2"),
        ("3.14", "13.14"),
        ("3.14", "3.141"),
        ("3", "3.14"),
        ("14", "3.14"),
        ("1", "1,000"),
        ("5", "-5"),
        ("5", "it is −5"),
        ("-5", "10-5"),
        ("C++", "C++11"),
        ("día", "días"),
        ("नम", "नमी"),
        ("北京", "首都是南京"),
    ],
)
def test_a_part_of_a_word_or_number_is_not_an_answer(answer: str, reply: str) -> None:
    assert Matches()(reply, answered(answer)) == Score(0.0)


def test_a_later_whole_word_counts_after_a_part_of_one() -> None:
    assert Matches()("Parisians live in Paris", answered("Paris")).value == 1.0


def test_any_of_several_answers_will_do() -> None:
    assert Matches()("a dozen", answered("12", "twelve", "dozen")).value == 1.0


words = some.text(some.characters(categories=("Ll", "Lu", "Nd"), max_codepoint=0x24F), min_size=1)


@given(words, words)
def test_a_word_is_found_beside_spaces_and_never_inside_a_longer_word(answer: str, more: str) -> None:
    assert Matches()(f"so {answer} then", answered(answer)).value == 1.0
    assert Matches()(f"{more}é{answer}éé", answered(f"{answer}é")).value == 0.0


def test_a_pattern_is_searched_in_the_reply_as_it_is() -> None:
    item = Item(id="a", prompt="list three", pattern=r"(?m)^1\..*\n2\..*\n3\.")
    assert Matches()("1. a\n2. b\n3. c", item).value == 1.0
    assert Matches()("1. a 2. b 3. c", item).value == 0.0


def test_answers_and_pattern_are_alternatives() -> None:
    item = Item(id="a", prompt="?", answers=("yes",), pattern="^y$")
    assert [Matches()(reply, item).value for reply in ("yes", "y", "yeah")] == [1.0, 1.0, 0.0]


def test_an_item_without_what_the_scorer_needs_is_named() -> None:
    with pytest.raises(DataError, match="`a` has no `label`"):
        ExactLabel()("x", answered("x"))
    with pytest.raises(DataError, match="`a` has neither `answers` nor `pattern`"):
        Matches()("x", labelled("x"))


@pytest.mark.parametrize(
    "fields",
    [{"answers": ("yes", " ")}, {"pattern": "("}, {"pattern": ""}, {"label": " "}, {"label": '""'}, {"id": ""}],
)
def test_an_item_that_every_reply_or_none_would_answer_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Item.model_validate({"id": "a", "prompt": "?"} | fields)


def test_an_item_is_its_own_source_unless_it_names_one() -> None:
    assert labelled("x").cluster == "a"
    assert Item(id="a", prompt="?", group="page 3").cluster == "page 3"


def test_an_unscored_reply_has_a_reason_and_no_value() -> None:
    score = Score.unscored("the judge answered no number after 3 tries")
    assert (score.scored, score.value, score.reason) == (False, None, "the judge answered no number after 3 tries")
    assert Score(0.0).scored


def test_the_kind_picks_the_scorer() -> None:
    scorer = TypeAdapter[Scorer](Scorer)
    assert scorer.validate_python({"kind": "exact_label"}) == ExactLabel()
    assert scorer.validate_python({"kind": "matches"}) == Matches()
    assert "version" not in Matches().model_dump()  # it belongs to the code, not to the settings
