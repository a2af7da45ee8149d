"""Judges: what they read, how they vote, how far they agree, and what becomes of rows that nobody could grade."""

import json
from typing import Any

import pytest
from wheelwork.core.errors import ConfigError, TeacherError
from wheelwork.core.quality.context import Judgements
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.review.judge import Judge
from wheelwork.core.quality.review.marks import CRITERIA, Marks, read_marks, shown
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.quality.review.panel import Rule, answer_of, chats, context, grades, panel, said, sample


def by_answer(**replies: str | Exception) -> Rule:
    """A judge whose reply depends on the answer that it is shown."""
    return lambda text: replies[answer_of(text)]


def judged(settings: Judge, answers: str, *rules: Rule, **more: Any) -> Judgements:
    with panel("judge", *rules, **more) as review:
        return settings([sample(answer) for answer in answers.split()], context(review))


GOOD, FAIR, BAD = grades(5), grades(3, 4, 4), grades(5, 5, 1, "it says 3 months, which is nowhere")
ONE = by_answer(good=GOOD, fair=FAIR, bad=BAD, none="I would rather not say")


# what is read


def test_a_judge_reads_the_whole_sample_and_is_asked_for_a_schema() -> None:
    with panel("judge", ONE) as review:
        Judge(max_tokens=99)([sample("good", "How long?", "Be brief.")], context(review))
        (request,) = chats(review, "judge")[0].asked
    assert all(part in said(request) for part in ("Be brief.", "How long?", "good"))
    assert (request.temperature, request.max_tokens) == (0.0, 99)
    assert request.json_schema and set(CRITERIA) < set(request.json_schema["required"])


def test_a_conversation_is_shown_turn_by_turn_up_to_the_last_answer() -> None:
    roles = ("system", "user", "assistant", "user", "assistant", "user")
    turns = [Message(role=role, content=f"{role} {n}") for n, role in enumerate(roles)]  # type: ignore[arg-type]
    one = Sample.make(turns, task="dialogue", origin="teacher")
    assert shown(one) == ("system 0", "user: user 1\nassistant: assistant 2\nuser: user 3", "assistant 4")


def test_without_a_system_prompt_there_is_no_empty_part() -> None:
    with panel("judge", ONE) as review:
        Judge()(
            [
                Sample.make(
                    [Message(role="user", content="q"), Message(role="assistant", content="good")],
                    task="qa",
                    origin="import",
                )
            ],
            context(review),
        )
        assert "<instruction>" not in said(chats(review, "judge")[0].asked[0])


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (grades(4, 3, 2, "r"), ((4, 3, 2), ("r",) * 3)),
        ("```json\n" + grades(4, because="r") + "\n```", ((4, 5, 5), ("r",) * 3)),
        ('{"accuracy": "4/5", "structure": 3.0, "truthfulness": "5"}', ((4, 3, 5), ("",) * 3)),
        ("Accuracy: 4\nStructure: 3\nTruthfulness: 1/5", ((4, 3, 1), ("",) * 3)),
        ("<think>accuracy: 1</think>" + grades(5, because="r"), ((5, 5, 5), ("r",) * 3)),
        ('{"accuracy": 4, "structure": 3}', None),
        ('{"accuracy": 0, "structure": 3, "truthfulness": 4}', None),
        ('{"accuracy": 6, "structure": 3, "truthfulness": 4}', None),
        ('{"accuracy": 3.5, "structure": 3, "truthfulness": 4}', None),
        ('{"accuracy": "good", "structure": 3, "truthfulness": 4}', None),
        ("great!", None),
        ("", None),
    ],
)
def test_grades_are_whole_numbers_from_1_to_5_or_nothing(reply: str, found: tuple[Any, Any] | None) -> None:
    assert read_marks(reply) == (found and Marks(*found))


# votes


def test_one_judge_drops_what_it_marks_down_and_scores_the_rest() -> None:
    told = judged(Judge(), "good fair bad", ONE)
    assert told.reasons == [None, None, "marked_down"]
    assert told.scores["judge_truthfulness"] == [5, 4, 1]
    assert told.scores["judge"] == pytest.approx([5, 11 / 3, 11 / 3])
    assert told.scores["judge_votes"] == [1, 1, 0]
    assert judged(Judge(min_score=4), "good fair bad", ONE).reasons == [None, "marked_down", "marked_down"]
    assert judged(Judge(min_score=1), "good fair bad", ONE).reasons == [None] * 3


@pytest.mark.parametrize(("agreement", "kept"), [(0.3, 3), (0.34, 2), (0.6, 2), (0.67, 1), (1.0, 1)])
def test_several_judges_vote(agreement: float, kept: int) -> None:
    votes = {"a": "+++", "b": "++-", "c": "+--", "d": "---"}
    rules = [
        by_answer(**{name: GOOD if signs[place] == "+" else BAD for name, signs in votes.items()}) for place in range(3)
    ]
    told = judged(Judge(agreement=agreement), "a b c d", *rules)
    assert told.reasons == [None] * kept + ["marked_down"] * (4 - kept)
    assert told.scores["judge_votes"] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert told.scores["judge_truthfulness"] == pytest.approx([5, 11 / 3, 7 / 3, 1])


# agreement


def test_alpha_is_reported_and_below_the_bar_it_is_said() -> None:
    one = by_answer(a=grades(5), b=grades(4), c=grades(2), d=grades(1))
    agreeing = judged(Judge(), "a b c d", one, one)
    assert agreeing.figures["alpha"] == agreeing.figures["alpha_accuracy"] == 1
    assert "alpha_structure" not in agreeing.figures, "where all grades are equal, nothing can be told"
    assert agreeing.notes == () and agreeing.figures["judges"] == 2
    told = judged(Judge(), "a b c d", one, by_answer(a=grades(1), b=grades(4), c=grades(2), d=grades(5)))
    assert told.figures["alpha"] < 0
    (note,) = told.notes
    assert note.startswith(f"judge: the judges agree at α = {told.figures['alpha']:.2f} (accuracy ")
    assert "below the bar of 0.85" in note


def test_the_bar_and_what_happens_below_it_are_options() -> None:
    one = by_answer(a=grades(5), b=grades(4), c=grades(2), d=grades(3))
    other = by_answer(a=grades(3), b=grades(4), c=grades(1), d=grades(4))
    warned = judged(Judge(), "a b c d", one, other)
    assert warned.reasons == [None, None, "marked_down", None]
    dropped = judged(Judge(below_bar="drop"), "a b c d", one, other)
    assert dropped.reasons == ["judges_disagree", None, "marked_down", None]
    assert "samples on which they lie apart were dropped" in dropped.notes[0]
    assert judged(Judge(below_bar="drop", bar=0.1), "a b c d", one, other).reasons == warned.reasons
    assert judged(Judge(bar=0.1), "a b c d", one, other).notes == ()


def test_one_judge_alone_has_no_alpha() -> None:
    told = judged(Judge(below_bar="drop"), "good fair bad", ONE)
    assert not any(name.startswith("alpha") for name in told.figures) and told.notes == ()


def test_alpha_is_of_all_batches_of_a_pass() -> None:
    one = by_answer(a=grades(5), b=grades(2))
    with panel("judge", one, one) as review:
        settings, where = Judge(), context(review)
        first = settings([sample("a")], where)
        assert "alpha" not in first.figures and first.figures["asked"] == 1
        assert settings([sample("b")], where).figures == {
            "asked": 2, "unscored": 0, "judges": 2, "alpha": 1, "alpha_accuracy": 1,
        }  # fmt: skip


# rows that nobody could grade

DOWN = TeacherError("no answer in time")


@pytest.mark.parametrize("failure", ["I would rather not say", DOWN])
@pytest.mark.parametrize(("then", "reason"), [("keep", None), ("drop", "judge_unscored")])
def test_a_failure_is_unscored_and_never_a_low_grade(failure: Any, then: Any, reason: str | None) -> None:
    told = judged(Judge(unscored=then), "good none", by_answer(good=GOOD, none=failure))
    assert told.reasons == [None, reason]
    assert all(values[1] is None for values in told.scores.values())
    assert told.scores_of(1) == {} and told.figures["unscored"] == 1
    (note,) = told.notes
    assert note.startswith("judge: 1 of 2 rows could not be judged (") and note.endswith(
        f"{'kept' if then == 'keep' else 'dropped'}."
    )


def test_those_who_answered_vote_as_long_as_they_are_more_than_half() -> None:
    silent = by_answer(a=DOWN, b=DOWN)
    speaks = by_answer(a=GOOD, b=BAD)
    assert judged(Judge(), "a b", speaks, silent).figures["unscored"] == 2
    told = judged(Judge(), "a b", speaks, speaks, silent)
    assert (told.reasons, told.scores["judge_votes"], told.figures["unscored"]) == ([None, "marked_down"], [1, 0], 0)


# what is told


def test_the_strictest_judge_is_quoted() -> None:
    with panel("judge", by_answer(a=FAIR, b="?"), by_answer(a=BAD, b="?")) as review:
        one, other = sample("a"), sample("b")
        Judge()([one, other], context(review))
        assert review.remarks[one.id] == ["judge beta-7b: truthfulness 1: it says 3 months, which is nowhere"]
        assert review.remarks[other.id] == ["judge: unscored, unreadable"]


def test_a_judge_of_the_writers_family_is_flagged() -> None:
    told = judged(Judge(), "good", ONE, writers=["alpha-70b"])
    (note,) = told.notes
    assert "`alpha-7b` is of one family with the writer `alpha-70b`" in note
    assert judged(Judge(), "good", ONE, writers=["omega"]).notes == ()


def test_in_the_funnel_dropped_and_unscored_rows_are_told_apart() -> None:
    rows = [sample(answer) for answer in ("good", "none", "bad")]
    with panel("judge", ONE) as review:
        kept, dropped, (count,) = Funnel(filters=(Judge(),)).split(rows, context(review))
    assert [one.completion for one in kept] == ["good", "none"]
    assert (kept[0].scores["judge"], kept[1].scores) == (5, {})
    assert [(one.completion, one.reject_reason) for one in dropped] == [("bad", "marked_down")]
    assert count.figures["unscored"] == 1 and "1 of 3 rows" in count.notes[0]
    assert count.model_validate_json(count.model_dump_json()) == count


def test_without_reviewers_the_filter_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="nobody to ask here; run it in a loop"):
        Judge()([sample("good")], context(None))


def test_a_loops_own_prompt_goes_before_the_packaged_one(tmp_path: Any) -> None:
    own = tmp_path / "en" / "review" / "judge.md"
    own.parent.mkdir(parents=True)
    head = {
        "name": "judge",
        "task": "review",
        "language": "en",
        "purpose": "p",
        "variables": ["instruction", "question", "answer"],
    }
    own.write_text(
        f"---\n{json.dumps(head)}\n---\n# user\nMine: {{{{ instruction }}}} {{{{ question }}}} {{{{ answer }}}}\n"
    )
    with panel("judge", lambda text: GOOD, overrides=tmp_path) as review:
        Judge()([sample("good")], context(review))
        assert said(chats(review, "judge")[0].asked[0]).startswith("Mine: ")
