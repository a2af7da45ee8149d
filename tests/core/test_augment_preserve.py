"""What a child must have kept: meaning, facts, label, answer, quote; what cannot be measured has no score."""

import pytest
from wheelwork.core.generation.augment.preserve import Pair, Preservation, quote_lost
from wheelwork.core.generation.augment.settings import Augmentation
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder

SEEDS = [
    ("the line is dead", "offline"),
    ("no connection since morning", "offline"),
    ("the bill is wrong", "billing"),
    ("charged twice this month", "billing"),
]


def verdict_of(pair: Pair, seeds: list[tuple[str, str]] = SEEDS, **settings: float) -> tuple[str | None, set[str]]:
    found = Preservation(FakeEncoder(), Augmentation.model_validate(settings), seeds)([pair])[0]
    return found.reason, set(found.scores)


def test_a_child_that_shares_too_little_with_its_parent_says_something_else() -> None:
    parent, child = "the line is dead today", "the line is silent now"
    assert verdict_of(Pair(parent, child, "names", 0.5)) == (None, {"parent_similarity"})
    assert verdict_of(Pair(parent, child, "names", 0.7)) == ("meaning_changed", {"parent_similarity"})


def test_a_similarity_is_a_cosine() -> None:
    preserved = Preservation(FakeEncoder(), Augmentation())
    same, other = preserved([Pair("a b", "b a", "names"), Pair("a b", "a c", "names")])
    assert same.scores["parent_similarity"] == pytest.approx(1)
    assert other.scores["parent_similarity"] == pytest.approx(0.5)


def test_lost_facts_are_a_reason() -> None:
    pair = Pair("the line is dead since 3", "the line is dead since", "numbers")
    assert verdict_of(pair)[0] == "facts_changed"


def test_the_contrary_is_a_reason() -> None:
    pair = Pair("the line is dead since noon", "the line is not dead since noon", "none")
    assert verdict_of(pair)[0] == "turned_round"


def test_a_child_may_not_lie_nearer_to_another_label() -> None:
    parent, child = "the line is dead and the bill", "the bill is wrong the line"
    pair = Pair(parent, child, "names", label="offline")
    assert verdict_of(pair, label_margin=0.0) == (
        "label_changed",
        {"parent_similarity", "label_margin"},
    )
    assert verdict_of(pair, label_margin=1.0)[0] is None
    own = Pair(parent, child, "names", label="billing")
    assert verdict_of(own, label_margin=0.0)[0] is None


@pytest.mark.parametrize(
    ("label", "seeds"),
    [(None, SEEDS), ("move", SEEDS), ("offline", []), ("offline", [("the line is dead", "offline")])],
)
def test_a_label_that_cannot_be_measured_has_no_score(label: str | None, seeds: list[tuple[str, str]]) -> None:
    pair = Pair("the bill is wrong", "the bill is wrong now", "names", label=label)
    assert verdict_of(pair, seeds) == (None, {"parent_similarity"})


def test_a_question_may_not_leave_its_answer() -> None:
    parent, child = "where is the cup of tea", "where is the cup of coffee"
    pair = Pair(parent, child, "names", answer="the tea is hot tea")
    assert verdict_of(pair, answer_margin=0.1) == ("answer_changed", {"parent_similarity", "answer_similarity"})
    assert verdict_of(pair, answer_margin=0.9)[0] is None


def test_what_a_test_judges_is_only_measured() -> None:
    pair = Pair("x = 1", "y + 2", "names", label="offline", judged_by_test=True)
    assert verdict_of(pair) == (None, {"parent_similarity"})


def test_each_text_is_encoded_once() -> None:
    encode = FakeEncoder()
    Preservation(encode, Augmentation())([Pair("a", "b", "names"), Pair("a", "c", "names", answer="b")])
    assert encode.encoded == ["a", "b", "c"]
    assert Preservation(encode, Augmentation())([]) == []


def test_a_quote_must_stand_in_what_the_child_holds() -> None:
    turns = (Message(role="system", content="It opens at NINE."), Message(role="user", content="when?"))
    answer = Message(role="assistant", content="it opens at ten")
    held = Sample.make((*turns, answer), task="grounded_qa", origin="seed", controls={"quote": "opens at nine"})
    lost = Sample.make((*turns, answer), task="grounded_qa", origin="seed", controls={"quote": "opens at ten"})
    assert not quote_lost(held)
    assert quote_lost(lost)
    assert not quote_lost(held.model_copy(update={"controls": {}}))
