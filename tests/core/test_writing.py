"""The prompts at work: what is asked of the teacher, what is read out of a reply, what the model itself is asked."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter
from wheelwork.core.chat.messages import Choice, Reply
from wheelwork.core.generation.documents import Passage
from wheelwork.core.generation.example import Example
from wheelwork.core.generation.planning import Cell, Generation, Order
from wheelwork.core.generation.tasks import TASKS, AnyTask
from wheelwork.core.generation.writing import Writing
from wheelwork.core.prompts import load_phrases, load_template
from wheelwork.core.samples import Message, Sample

LABELS = {"offline": "no connection at all", "billing": "a wrong charge", "move": "to another address"}
SHOTS = (
    Example(text="my bill is wrong", answer="billing", label="billing", category="billing"),
    Example(text="charged twice", answer="billing", label="billing", category="billing"),
)
PASSAGE = Passage(id="travel#miles", document="travel", heading="Miles", text="A mile driven is paid with 45 pence.")
ORDER = Order(Cell("billing"), 1, SHOTS, "Why is", 77, "continue")


def task_of(kind: str, **more: Any) -> Any:
    extra: dict[str, Any] = {"labels": LABELS} if kind == "classify" else {}
    if kind == "grounded_qa":
        extra["documents"] = {"path": "handbook"}
    return TypeAdapter(AnyTask).validate_python({"kind": kind, "setting": "Customers write."} | extra | more)


def writing(
    kind: str = "classify", language: str = "en", task: dict[str, Any] | None = None, **changes: Any
) -> Writing:
    return Writing(
        task=task_of(kind, **(task or {})),
        kind=kind,
        categories=LABELS,
        settings=Generation.model_validate(changes),
        templates={name: load_template(kind, name, language) for name in ("write", "continue")},
        answer=load_template(kind, "answer", language),
        phrases=load_phrases(language),
        language=language,
    )


def only(chosen: Writing, order: Order, text: str, **more: Any) -> Sample:
    (sample,) = chosen.read(order, Reply(text=text, **more), origin="teacher")
    return sample


# the request


def test_a_request_asks_as_the_settings_say() -> None:
    request = writing(max_tokens=31, temperature=0.6, top_p=0.7).request(ORDER)
    assert (request.max_tokens, request.temperature, request.top_p) == (31, 0.6, 0.7)
    assert (request.seed, request.stop, request.json_schema, request.choices) == (77, ("\n",), None, 1)


@pytest.mark.parametrize("template", ["continue", "write"])
def test_a_request_shows_setting_topic_examples_and_opening(template: str) -> None:
    request = writing().request(Order(Cell("billing"), 1, SHOTS, "Why is", 77, template))
    whole = "\n".join(message.content for message in request.messages)
    for part in ("Customers write.", "a wrong charge", "- my bill is wrong\n", "- charged twice\n"):
        assert part in whole
    assert "billing" not in whole, "the name of the label must not be copied into a message"
    assert request.messages[-1].content.endswith("Why is")  # what varies stands last, for the prefix cache


def test_a_further_try_draws_another_reply() -> None:
    chosen = writing()
    keys = {chosen.request(ORDER, retry).key("m") for retry in range(3)}
    assert len(keys) == 3


@pytest.mark.parametrize("language", ["en", "zh"])
def test_controls_are_told_as_rules(language: str) -> None:
    controls = (("difficulty", "4"), ("style", "terse"), ("length", "about 9 words"), ("language", "de"))
    chosen = writing(language=language, tone="polite but firm", forbidden=("asap",))
    request = chosen.request(Order(Cell("billing", controls), 1, SHOTS, "", 1, "write"))
    whole = "\n".join(message.content for message in request.messages)
    for part in ("terse", "about 9 words", "polite but firm", "asap", str(load_phrases(language)["difficulty"][4])):
        assert part in whole
    assert str(load_phrases(language)["languages"]["de"]) in whole


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("template", ["write", "continue"])
@pytest.mark.parametrize("shots", [(), "some"])
def test_every_task_can_be_asked_with_and_without_examples(kind: str, language: str, template: str, shots: Any) -> None:
    chosen = writing(kind, language)
    turns = (Message(role="user", content="it is dead"), Message(role="assistant", content="Is the light red?"))
    example = Example(
        text="yes, red", answer="Then hold the button.", history=turns, quote="45 pence", test="assert f()"
    )
    order = Order(Cell("billing"), 2, (example,) if shots else (), "", 5, template, PASSAGE)
    request = chosen.request(order)
    assert request.messages[0].role == "system"
    assert all(message.content for message in request.messages)
    if isinstance(chosen.templates[template].head.output, dict):
        assert request.json_schema is not None
        assert set(request.json_schema["required"]) == set(chosen.task.keys)


def test_a_passage_brings_the_boundary() -> None:
    request = writing("grounded_qa").request(Order(Cell("billing"), 1, (), "", 1, "write", PASSAGE))
    whole = "\n".join(message.content for message in request.messages)
    assert PASSAGE.text in whole
    assert str(load_phrases("en")["boundary"]) in whole


# the reply


@pytest.mark.parametrize(
    ("template", "reply", "text"),
    [
        ("continue", " my bill so high?", "Why is my bill so high?"),
        ("continue", "n't it right", "Why isn't it right"),
        ("continue", "", "Why is"),
        ("continue", "  my bill high \n", "Why is  my bill high"),
        ("write", "Why is my bill so high?", "Why is my bill so high?"),
        ("write", '"Why is my bill so high?"', "Why is my bill so high?"),
        ("write", "  “ Why is it high ” \n", "Why is it high"),
        ("write", "It's the bill, isn't it", "It's the bill, isn't it"),
    ],
)
def test_the_text_is_read_out_of_a_reply(template: str, reply: str, text: str) -> None:
    assert only(writing(), Order(Cell("billing"), 1, SHOTS, "Why is", 7, template), reply).prompt == text


def test_an_empty_reply_is_a_row_with_a_reason() -> None:
    sample = only(writing(), Order(Cell("billing"), 1, SHOTS, "", 7, "write"), "  ")
    assert (sample.reject_reason, sample.label, sample.controls["category"]) == ("empty_field", "billing", "billing")


def test_each_choice_is_a_sample() -> None:
    order = Order(Cell("billing"), 3, SHOTS, "Why", 7, "continue")
    reply = Reply(text=" me?", more=(Choice(text=" not?"), Choice(text=" so high?", finish="length")))
    samples = list(writing().read(order, reply, origin="teacher"))
    assert [sample.prompt for sample in samples] == ["Why me?", "Why not?", "Why so high?"]
    assert [sample.controls["finish"] for sample in samples] == ["stop", "stop", "length"]


def test_a_sample_says_where_it_comes_from() -> None:
    chosen = writing()
    (sample,) = chosen.read(ORDER, Reply(text=" it so?"), origin="teacher", source="teacher:m", round="r1")
    assert sample.controls == {
        "category": "billing",
        "template": "continue",
        "prompt": chosen.templates["continue"].digest[:16],
        "opening": "Why is",
        "finish": "stop",
    }
    assert (sample.origin, sample.source, sample.round) == ("teacher", "teacher:m", "r1")
    assert (sample.task, sample.label, sample.completion) == ("classify", "billing", "billing")


@pytest.mark.parametrize(
    ("kind", "said", "asked", "answered"),
    [
        ("qa", {"question": "When?", "answer": "At noon."}, "When?", "At noon."),
        ("summarize", {"text": "a long text about it", "summary": "short"}, "a long text about it", "short"),
        ("rewrite", {"text": "gimme", "rewritten": "Please give me"}, "gimme", "Please give me"),
    ],
)
def test_json_becomes_question_and_answer(kind: str, said: dict[str, str], asked: str, answered: str) -> None:
    sample = only(writing(kind), Order(Cell("billing"), 1, (), "", 7, "write"), json.dumps(said))
    assert (sample.prompt, sample.completion, sample.reject_reason) == (asked, answered, None)
    assert sample.label is None


def test_labelled_text_goes_on_from_the_label_in_the_prompt() -> None:
    order = Order(Cell("billing"), 1, (), "", 7, "continue")
    sample = only(writing("qa"), order, " How late is it?\nAnswer: Half past four.\n")
    assert (sample.prompt, sample.completion) == ("How late is it?", "Half past four.")
    sample = only(writing("qa", "zh"), order, "几点了？\n【回答】：四点半。")
    assert (sample.prompt, sample.completion) == ("几点了？", "四点半。")


def test_a_grounded_answer_keeps_its_quote_and_its_passage() -> None:
    said = {"question": "What does a mile pay?", "answer": "45 pence", "quote": "paid with 45 pence"}
    order = Order(Cell("billing"), 1, (), "", 7, "write", PASSAGE)
    sample = only(writing("grounded_qa"), order, json.dumps(said))
    assert sample.reject_reason is None
    assert sample.controls["passage"] == "travel#miles"
    assert sample.controls["quote"] == "paid with 45 pence"
    assert PASSAGE.text in sample.messages[0].content


@pytest.mark.parametrize(
    ("answer", "quote", "reason"),
    [
        ("45 pence", "paid with 50 pence", "quote_not_in_passage"),
        ("a hundred euros at least", "paid with 45 pence", "answer_not_in_passage"),
    ],
)
def test_what_the_passage_does_not_say_is_refused(answer: str, quote: str, reason: str) -> None:
    said = json.dumps({"question": "What does a mile pay?", "answer": answer, "quote": quote})
    sample = only(writing("grounded_qa"), Order(Cell("billing"), 1, (), "", 7, "write", PASSAGE), said)
    assert sample.reject_reason == reason


def turns(*texts: str) -> str:
    roles = ("user", "assistant")
    return json.dumps({"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]})


def test_a_conversation_ends_with_what_is_learnt() -> None:
    chosen = writing("dialogue", task={"min_turns": 2})
    sample = only(
        chosen, Order(Cell("billing"), 1, (), "", 7, "write"), turns("dead", "red light?", "yes", "Reset it.")
    )
    assert [message.role for message in sample.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert (sample.prompt, sample.completion) == ("yes", "Reset it.")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (turns("dead", "red light?"), "turns_out_of_range"),
        (turns("dead", "red?", "yes", "red?", "yes", "Bye."), "repeats_itself"),
        (turns("dead", "red?", " ", "and now?", "yes", "Bye."), "empty_turn"),
        (turns("dead"), "missing_field"),
    ],
)
def test_conversations_that_are_none_are_refused(said: str, reason: str) -> None:
    sample = only(writing("dialogue"), Order(Cell("billing"), 1, (), "", 7, "write"), said)
    assert sample.reject_reason in (reason, "empty_field" if reason == "empty_turn" else reason)


def test_code_must_pass_its_own_test() -> None:
    order = Order(Cell("billing"), 1, (), "", 7, "write")
    right = {"instruction": "Add.", "solution": "def add(a, b):\n    return a + b", "test": "assert add(1, 2) == 3"}
    wrong = right | {"test": "assert add(1, 2) == 4"}
    assert only(writing("code"), order, json.dumps(right)).reject_reason is None
    assert only(writing("code"), order, json.dumps(wrong)).reject_reason == "test_failed"
    assert only(writing("code"), order, json.dumps(right)).controls["test"] == "assert add(1, 2) == 3"


# what the model itself is asked


def test_a_sample_is_asked_as_it_will_be_asked_when_served() -> None:
    chosen = writing()
    sample = only(chosen, ORDER, " it so high?")
    assert sample.messages[:-1] == chosen.ask("Why is it so high?")
    system, user = chosen.ask("Why is it so high?")
    assert system.content.startswith("Read the message.")
    assert all(label in system.content for label in LABELS)
    assert user.content == "Why is it so high?"


def test_the_history_stands_before_what_is_said_last() -> None:
    history = (Message(role="user", content="dead"), Message(role="assistant", content="red light?"))
    for kind in ("dialogue", "qa"):
        asked = writing(kind).ask("yes", history)
        assert [message.content for message in asked[1:]] == ["dead", "red light?", "yes"]


def test_the_same_text_under_the_same_label_is_the_same_sample() -> None:
    chosen = writing()
    one, again = (
        next(iter(chosen.read(ORDER, Reply(text=" it?"), origin="teacher", round=round_))) for round_ in ("1", "2")
    )
    assert one.id == again.id
    other = Example(text="Why is it?", answer="offline", label="offline")
    assert chosen.sample(other, origin="seed").id != one.id
