"""Judges, verifiers and pairs: grades as shares, claims against passages, who wins; what failed is unscored."""

import json
from collections.abc import Callable

import pytest
from wheelwork.core.errors import DataError, TeacherError
from wheelwork.core.evaluation.scorers import Answer, Graded, Grounded, Item, Opened, Pairwise, ReplyBertScore, Score
from wheelwork.core.models.encoder import TokenVectors
from wheelwork.core.quality.review.asking import Review
from wheelwork.core.samples import Message
from wheelwork.tests.core.quality.review.panel import Rule, answer_of, chats, grades, panel

PASSAGES = {"leave#asking": "Leave is asked for on form HR-7, 14 days ahead."}
BROKEN: Rule = lambda text: TeacherError("no answer")  # noqa: E731


def replied(*replies: str, answers: tuple[str, ...] = (), passages: tuple[str, ...] = ()) -> list[Answer]:
    found = []
    for number, reply in enumerate(replies):
        item = Item(id=str(number), prompt=f"question {number}", answers=answers, passages=passages)
        asked = Message(role="user", content=f"{' '.join(PASSAGES.values())}\n{item.prompt}")
        found.append(Answer(item, (Message(role="system", content="Be brief."), asked), reply))
    return found


def opened(review: Review, rival: list[str] | None = None) -> Opened:
    return Opened(review=review, passages=PASSAGES, rival=[] if rival is None else rival)


# grades


def test_grades_from_1_to_5_become_0_to_1() -> None:
    rules: dict[str, str] = {"good": grades(5), "bad": grades(1, 1, 1), "so so": grades(3, 4, 5)}
    with panel("judge", lambda text: rules[answer_of(text)]) as review:
        scores = Graded().score_all(replied("good", "bad", "so so"), opened(review))
        lowest = Graded(grade="lowest").score_all(replied("so so"), opened(review))
        (chat,) = chats(review, "judge")
    assert [score.value for score in scores] == [1.0, 0.0, 0.75]
    assert lowest == [Score(0.5)]
    asked = chat.asked[0].messages[-1].content
    assert "<instruction>\nBe brief." in asked and "question 0" in asked and chat.asked[0].temperature == 0


def test_several_judges_are_averaged_and_half_of_them_are_no_quorum() -> None:
    with panel("judge", lambda text: grades(5), lambda text: grades(1, 1, 1), lambda text: "hm") as review:
        assert [one.value for one in Graded().score_all(replied("x"), opened(review))] == [0.5]
    with panel("judge", lambda text: grades(5), lambda text: "hm") as review:
        assert Graded().score_all(replied("x"), opened(review)) == [Score.unscored("unreadable")]


def test_a_judge_that_fails_leaves_the_reply_unscored() -> None:
    with panel("judge", lambda text: TeacherError("gone") if "broken" in text else grades(4, 4, 4)) as review:
        found = Graded().score_all(replied("fine", "broken"), opened(review))
    assert found == [Score(0.75), Score.unscored("no_reply")]


def test_a_judge_of_the_family_of_the_judged_is_told() -> None:
    with panel("judge", lambda text: grades(5), writers=("alpha-1b-instruct",)) as review:
        within = opened(review)
        Graded().score_all(replied("x"), within)
    assert list(within.notes) == [
        "judge: `alpha-7b` is of one family with `alpha-1b-instruct`, whose replies it may favour; give the role "
        "`judge` to a model of another family."
    ]


# claims


def claims(*supported: bool) -> str:
    told = [{"claim": f"claim {at}", "quote": "on form HR-7", "supported": yes} for at, yes in enumerate(supported)]
    return json.dumps({"claims": told})


def test_a_reply_is_as_grounded_as_its_claims() -> None:
    rules = {"all": claims(True, True), "half": claims(True, False), "none": claims(False)}
    with panel("verifier", lambda text: rules[answer_of(text)]) as review:
        found = Grounded().score_all(replied("all", "half", "none", " ", passages=("leave#asking",)), opened(review))
        (chat,) = chats(review, "verifier")
    assert [score.value for score in found] == [1.0, 0.5, 0.0, 0.0]
    assert len(chat.asked) == 3  # nobody is asked about silence
    text = chat.asked[0].messages[-1].content
    assert "<knowledge>\nLeave is asked for" in text and "<question>\nquestion 0\n" in text


def test_a_verifier_that_fails_leaves_the_reply_unscored() -> None:
    with panel("verifier", BROKEN) as review:
        found = Grounded().score_all(replied("x", passages=("leave#asking",)), opened(review))
    assert found == [Score.unscored("no_reply")]


def test_an_item_without_passages_is_not_for_grounded() -> None:
    with pytest.raises(DataError, match="has no `passages`, which the scorer `grounded` needs"):
        Grounded().check(Item(id="a", prompt="?"))


# pairs


def judge(pick: Callable[[str, str], str]) -> Rule:
    def rule(text: str) -> str:
        first, second = (text.split(f"<answer_{name}>\n")[1].split("\n</answer")[0] for name in "AB")
        return json.dumps({"reason": "so", "better": pick(first, second)})

    return rule


LONGER = judge(lambda a, b: "A" if len(a) > len(b) else "B" if len(b) > len(a) else "neither")
ALWAYS_A = judge(lambda a, b: "A")


def test_the_reference_is_beaten_or_not_in_both_orders() -> None:
    with panel("judge", LONGER) as review:
        found = Pairwise().score_all(replied("a long reply", "ab", "xyz", answers=("xyz",)), opened(review))
        (chat,) = chats(review, "judge")
    assert [score.value for score in found] == [1.0, 0.0, 0.5]
    assert len(chat.asked) == 4  # what is the same is a tie unasked


def test_a_judge_that_goes_by_the_place_has_a_tie_and_that_is_told() -> None:
    with panel("judge", ALWAYS_A) as review:
        within = opened(review)
        found = Pairwise().score_all(replied("abc", answers=("xyz",)), within)
    assert [score.value for score in found] == [0.5]
    assert any("0% of the verdicts stayed the same" in note for note in within.notes)


def test_the_champion_has_half_by_definition_and_others_play_against_it() -> None:
    scorer = Pairwise(against="champion")
    with panel("judge", LONGER) as review:
        champion = scorer.score_all(replied("four", "five5"), opened(review, ["four", "five5"]))
        candidate = scorer.score_all(replied("longer", "no"), opened(review, ["four", "five5"]))
        assert len(chats(review, "judge")[0].asked) == 4
    assert [score.value for score in champion] == [0.5, 0.5]
    assert [score.value for score in candidate] == [1.0, 0.0]


def test_a_pair_that_nobody_judged_is_unscored() -> None:
    with panel("judge", BROKEN) as review:
        found = Pairwise().score_all(replied("abc", answers=("xyz",)), opened(review))
    assert [(score.value, score.reason) for score in found] == [(None, "no_reply")]


# BERTScore


class OneHot:
    """Tokens are letters, each a direction of its own."""

    layers, most_tokens = 2, 4

    def by_token(self, texts: list[str], layer: int | None) -> list[TokenVectors]:
        import numpy as np

        eye = np.eye(26, dtype=np.float32)
        return [TokenVectors(eye[[ord(sign) - 97 for sign in text[:4]]], len(text) > 4) for text in texts]


class OneModel:
    def __call__(self, name: str, load: object) -> OneHot:
        assert name == "encoder"
        return OneHot()


def test_tokens_are_matched_with_the_nearest_answer_and_silence_has_0() -> None:
    within = Opened(models=OneModel())  # type: ignore[arg-type]
    found = ReplyBertScore().score_all(replied("ab", "abcdef", "", answers=("abx", "zz")), within)
    # "ab" against "abx": precision 1, recall 2/3
    assert [score.value for score in found] == pytest.approx([0.8, 2 * (2 / 4 * 2 / 3) / (2 / 4 + 2 / 3), 0.0])
    assert list(within.notes) == ["bert_score: 1 replies were cut at 4 tokens."]
