"""Small facts about texts: what makes two of them the same, what a word is, and what was probably meant."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wheelwork.core.text import WORD, nearest, normalised, words

unhurried = settings(deadline=None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("My Wi-Fi is DOWN!", "my wi-fi is down"),
        ("  a \t b\n\nc ", "a b c"),
        ("'so what?'", "so what"),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff37\uff49\uff46\uff49\uff01", "wifi"),  # full-width letters
        ("Straße", "STRASSE"),
        ("“down again”", "down again"),
        ("我要退订。", "我要退订"),
    ],
)
def test_the_same_text_in_another_dress(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("a-b", "ab"), ("it's", "its"), ("1.5", "15"), ("a b", "ab"), ("é", "e")])
def test_what_changes_the_meaning_stays(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@unhurried
@given(st.text())
@example("\u1faf\u0313\u036c")  # folded, its marks stand in another order
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once


@unhurried
@given(st.text(), st.sampled_from([" ", "\n", "!", ".", "?!", " \t"]))
def test_space_and_marks_at_the_end_do_not_count(text: str, end: str) -> None:
    assert normalised(text + end) == normalised(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Wi-Fi, again!", ["the", "wi", "fi", "again"]),
        ("it's 5 o’clock", ["it's", "5", "o’clock"]),
        ("宽带断了", ["宽", "带", "断", "了"]),
        ("光猫 LOS 红灯", ["光", "猫", "los", "红", "灯"]),
        ("ネット が 遅い", ["ネ", "ッ", "ト", "が", "遅", "い"]),
        ("인터넷이 느려요", ["인터넷이", "느려요"]),
        ("?! … —", []),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


@unhurried
@given(st.text())
def test_words_do_not_depend_on_the_dress(text: str) -> None:
    assert words(text) == words(normalised(text)) == words(f" {text}!")


def test_a_near_name_is_offered_else_the_known_ones() -> None:
    assert nearest("biling", ["billing", "moving"]) == "did you mean `billing`?"
    assert nearest("zzz", ["billing", "moving"]) == "known here: billing, moving"
    assert nearest("zzz", (f"label_{number:02}" for number in range(40))).endswith("label_19")


@unhurried
@given(st.text("ab1_' .-,\n\t\x1cé", max_size=16))
def test_the_short_way_for_ascii_finds_the_same_words(text: str) -> None:
    assert words(text) == WORD.findall(normalised(text))
