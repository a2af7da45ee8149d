"""Contraries by their words: negations that come and go, opposites, and what only looks like either."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.generation.augment.polarity import turned_round


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("The refund arrived on time.", "The refund didn't arrive on time."),
        ("I never ordered this.", "I ordered this myself."),
        ("Guests travel free.", "Guests do not travel free."),  # `free` stands in both, so it excuses nothing
        ("nobody told me", "somebody told me"),
        ("it works", "it doesnt work"),
        ("Close the valve before noon.", "Open the valve before noon."),
        ("Turn it off after an hour.", "Turn it on after an hour."),
        ("The fee was raised.", "The fee was lowered."),
        ("It is fast in the morning.", "It is slow in the evening."),  # two opposites are two changes
        ("请在月底取消", "请不要在月底取消"),
        ("上午打开阀门", "上午关闭阀门"),
    ],
)
def test_the_contrary(parent: str, child: str) -> None:
    assert turned_round(parent, child)
    assert turned_round(child, parent)


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("The room is cold.", "The room does not get warm."),  # an opposite and a negation undo each other
        ("I did not get the parcel.", "The parcel is missing."),
        ("It cannot be opened.", "It fails to open."),
        ("Nothing works, not even the light.", "Not a thing works."),
        ("The shop opens and closes early.", "The shop closes and opens early."),
        ("It is on and stays on.", "It stays on."),
        ("the notebook is nonetheless mine", "nonetheless the notebook is mine"),  # no negation within a word
        ("这是不是坏了", "这坏了吗"),
        ("对不起，差不多好了", "抱歉，几乎好了"),
    ],
)
def test_the_same_in_other_words(parent: str, child: str) -> None:
    assert not turned_round(parent, child)
    assert not turned_round(child, parent)


@given(st.text())
def test_no_text_is_its_own_contrary(text: str) -> None:
    assert not turned_round(text, text)
