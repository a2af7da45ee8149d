"""What a text states: numbers in digits and words, days, names; and what of it another text has or has not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.generation.augment.facts import changed_facts, numbers

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"


@pytest.mark.parametrize(
    ("parent", "child", "keeps", "changed"),
    [
        ("charged 25 euros", "charged twenty-five euros", "names", set()),
        ("charged 25 euros", "charged 250 euros", "numbers", {"25", "250"}),
        ("charged 25 euros", "charged 250 euros", "none", {"250"}),
        ("it fails", "it fails 3 times", "names", {"3"}),
        ("due on Tuesday", "it was due friday", "none", {"friday"}),
        ("due on Tuesday", "it was due tuesday", "numbers", set()),
        ("due on Tuesday", "it was due", "numbers", {"tuesday"}),
        ("charged 25 euros", "charged something", "none", set()),
        ("on 3.5. at 10:30, 1,000 times", "at 10:30 on 3.5., 1000 times", "names", set()),
        ("电话２５号", "25 号电话", "names", set()),
        ("I called Mr Brown", "I rang mr brown", "names", set()),
        ("I called Mr Brown", "I rang him", "names", {"Mr", "Brown"}),
        ("I called Brown", "I rang him", "numbers", set()),
        ("Ask for Al", "ask for also", "names", {"Al"}),
        ("My router's Wi-Fi", "the wi-fi of it", "names", set()),
        ("我的Wi-Fi坏了", "Wi-Fi不能用", "names", set()),
        ("use Netflix's app", "the app of Netflix", "names", set()),
        ("Why is it slow? It was fast. I'd say so", "it is not quick", "names", set()),
        ("write add_two and `f(x)` for iPhone", "code", "names", {"add_two", "f(x)", "iPhone"}),
        ("WHY IS IT SLOW", "why so slow", "names", set()),
        ("the DSL line", "the line", "names", {"DSL"}),
        ("call add_two", "call `add_two(x)`", "names", set()),
        ("in 4G, 30 times on the 3rd", "30 times on the 3rd in 4g", "names", set()),
    ],
)
def test_facts(parent: str, child: str, keeps: str, changed: set[str]) -> None:
    assert changed_facts(parent, child, keeps) == changed  # type: ignore[arg-type]


@given(st.text())
def test_a_text_keeps_its_own_facts(text: str) -> None:
    assert changed_facts(text, text, "names") == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("two hundred and five of thirty-one", {"205", "31"}),
        ("one of them, none of us", set()),
        ("twenty one days, a hundred and one", {"21", "101"}),
        ("three thousand two hundred, two million", {"3200", "2000000"}),
        ("someone is often alone; freighters", set()),  # no number within a word
        ("Fourteen days", {"14"}),
        ("三十一天，两百零五元，十二次", {"31", "205", "12"}),
        ("三万五千元", {"35000"}),
        ("一个人，万一，十分好", set()),
        ("二零二六年", {"2026"}),
        ("1,000 pounds at 7:45", {"1000", "7:45"}),
    ],
)
def test_numbers(text: str, found: set[str]) -> None:
    assert numbers(text) == found


@given(st.integers(2, 999_999))
def test_a_number_in_words_is_the_number(number: int) -> None:
    assert numbers(in_english(number)) == {str(number)}


def in_english(number: int) -> str:
    """How people say a number below a million."""
    if number < 20:
        return SMALL.split()[number]
    if number < 100:
        return TENS.split()[number // 10] + (f"-{in_english(number % 10)}" if number % 10 else "")
    base, name, link = (100, "hundred", " and ") if number < 1000 else (1000, "thousand", " ")
    rest = number % base
    return f"{in_english(number // base)} {name}" + (f"{link}{in_english(rest)}" if rest else "")
