"""The classic failure: a later round is better on the target, and undoes what an earlier one had corrected."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from wheelwork.core.chat.messages import ChatRequest
from wheelwork.core.evaluation.benchmark import answer_suite
from wheelwork.core.evaluation.gate import Decision, GateSettings, decide
from wheelwork.core.evaluation.scorers import Item
from wheelwork.core.evaluation.scores import SuiteScores
from wheelwork.core.evaluation.suites import Suite
from wheelwork.core.ledger.corrections import fixed_items
from wheelwork.core.ledger.judging import judge_ledger, with_ledger
from wheelwork.core.ledger.settings import LedgerSettings
from wheelwork.core.ledger.store import Ledger
from wheelwork.core.ledger.suites import ledger_suites, scores_by_item
from wheelwork.core.samples import Message
from wheelwork.tests.core.ledger.rows import a_question, a_suite, an_entry
from wheelwork.tests.fakes import AnsweringChat

QUESTIONS = {f"question {n}": "yes" for n in range(60)}
HOLDOUT = a_suite(QUESTIONS)
GATE, RULE = GateSettings(resamples=500), LedgerSettings()


class Model:
    """Knows the right label of some questions."""

    def __init__(self, *known: range, also: Mapping[str, str] | None = None) -> None:
        self.knows = {f"question {n}": "yes" for part in known for n in part} | dict(also or {})

    def answers(self, suite: Suite) -> tuple[float | None, ...]:
        chat = AnsweringChat(lambda request: self.knows.get(said(request), "no idea"))
        return asyncio.run(answer_suite(chat, suite, render)).values


def render(suite: Suite, item: Item) -> tuple[Message, ...]:
    return (Message(role="user", content=item.prompt),)


def said(request: ChatRequest) -> str:
    return request.messages[-1].content


def a_round(
    ledger: Ledger, number: int, base: Model, champion: Model | None, candidate: Model, guarded: bool = True
) -> Decision:
    """Benchmark, gate and what is left in the ledger, as a round has them."""
    round_id = f"{number:04d}-a"
    opened = ledger.opened_by(round_id)
    held = list(ledger.held(opened).values()) if guarded else []
    models = {"base": base, "candidate": candidate} | ({"champion": champion} if champion else {})
    parts = ledger_suites(held, ledger.path)
    scores = {model: one.answers(HOLDOUT) for model, one in models.items()}
    asked = {name: {model: one.answers(part) for model, one in models.items()} for name, part in parts.items()}
    ids = tuple(item.id for item in HOLDOUT.items)
    target = SuiteScores(
        "holdout", "target", HOLDOUT.digest, ids, ids, scores["base"], scores.get("champion"), scores["candidate"]
    )
    decision = decide([target], GATE, look=1, seed=0)
    decision = with_ledger(decision, judge_ledger(held, "d", scores_by_item(parts, asked), RULE, GATE, 0))
    if not guarded:
        return decision  # only asked what it would have been
    promoted = decision.verdict == "promoted"
    fixed = fixed_items(HOLDOUT, scores.get("champion"), scores["candidate"], round_id, 1.0) if promoted else []
    ledger.conclude_round(round_id, opened, [], fixed, [])
    return decision


BASE = Model()
FIRST = Model(range(0, 20))
SECOND = Model(range(0, 28))  # corrects eight
THIRD = Model(range(0, 20), range(28, 60))  # better by 24, and none of the eight is right any more


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, "tiny", clock=lambda: 0.0)


def test_a_round_that_undoes_an_earlier_one_is_rejected_by_the_ledger_and_promoted_without(ledger: Ledger) -> None:
    assert a_round(ledger, 1, BASE, None, FIRST).verdict == "promoted"
    assert ledger.held() == {}  # it replaced nobody
    assert a_round(ledger, 2, BASE, FIRST, SECOND).verdict == "promoted"
    assert [one.entry.item.prompt for one in ledger.held().values()] == [f"question {n}" for n in range(20, 28)]

    assert a_round(ledger, 3, BASE, SECOND, THIRD, guarded=False).verdict == "promoted"
    decision = a_round(ledger, 4, BASE, SECOND, THIRD)
    assert decision.verdict == "rejected"
    (reason,) = decision.reasons
    assert "0 of 8 items that rounds fixed are right still" in reason and "“question 20”" in reason
    assert decision.figures["holdout"].outcome == "pass" and decision.figures["ledger"].outcome == "fail"


def test_one_correction_of_a_person_is_enough(ledger: Ledger) -> None:
    ledger.add([an_entry("is it on", "yes", by="ann")], replace=False)
    second, third = (Model(range(0, n), also=also) for n, also in ((20, {"is it on": "yes"}), (50, {})))
    assert a_round(ledger, 1, BASE, FIRST, second).verdict == "rejected"  # no better, and nothing undone
    assert a_round(ledger, 2, BASE, second, third, guarded=False).verdict == "promoted"
    decision = a_round(ledger, 3, BASE, second, third)
    assert decision.verdict == "rejected" and "“is it on”" in decision.reasons[0]
    kept = Model(range(0, 50), also={"is it on": "yes"})
    assert a_round(ledger, 4, BASE, second, kept).verdict == "promoted"


def test_a_person_can_retire_what_stands_in_the_way(ledger: Ledger) -> None:
    (id,) = ledger.add([an_entry("is it on", "yes")], replace=False).added
    second = Model(range(0, 20), also={"is it on": "yes"})
    assert a_round(ledger, 1, BASE, second, THIRD).verdict == "rejected"
    ledger.retire(id, who="ann", why="it is off now")
    assert a_round(ledger, 2, BASE, second, THIRD).verdict == "promoted"


def test_a_round_that_is_given_again_ends_as_it_did(ledger: Ledger) -> None:
    a_round(ledger, 1, BASE, None, FIRST)
    first = a_round(ledger, 2, BASE, FIRST, SECOND)
    assert len(ledger.held()) == 8
    assert a_round(ledger, 2, BASE, FIRST, SECOND) == first


# as suites


def test_each_way_of_asking_is_a_suite_whose_digest_is_that_of_its_active_items(ledger: Ledger) -> None:
    ledger.add([an_entry("is it on"), an_entry("is it off"), a_question("why", ["because"])], replace=False)
    parts = ledger_suites(list(ledger.held().values()), ledger.path)
    assert {name: len(part.items) for name, part in parts.items()} == {"ledger": 2, "ledger-2": 1}
    assert all(part.settings.role == "guard" for part in parts.values())
    assert (parts["ledger-2"].settings.prompt, parts["ledger-2"].settings.max_tokens) == ("plain", 40)
    ledger.retire(an_entry("is it off").id, who="ann", why="gone")
    fewer = ledger_suites(list(ledger.held().values()), ledger.path)
    assert len(fewer["ledger"].items) == 1 and fewer["ledger"].digest != parts["ledger"].digest
    assert fewer["ledger-2"].digest == parts["ledger-2"].digest
    assert ledger_suites([], ledger.path) == {}
