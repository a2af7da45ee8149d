"""Conversations: order, length, self-talk, circles and topic, each alone and planted among clean ones."""

import random
from collections.abc import Sequence

import pytest
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.rows.dialogue import DialogueChecks, spoken
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.quality.row_texts import (
    Row,
    context,
    conversation,
    precision_and_recall,
    reasons,
    sample,
    written,
)
from wheelwork.tests.fakes import FakeEncoder

SHAPE = DialogueChecks(min_topic=-1)  # without the topic
GOOD = [
    "the dryer stops after a minute",
    "Is the tank for the water full?",
    "it was, I emptied it",
    "Good. Does it run on now?",
    "yes, it runs",
    "Enjoy your dry laundry!",
]


def said(*turns: str) -> Sample:
    return conversation(turns, task="dialogue")


def messages(*turns: tuple[str, str]) -> list[Message]:
    return [Message.model_validate({"role": role, "content": content}) for role, content in turns]


@pytest.mark.parametrize(
    ("turns", "found"),
    [
        (GOOD, None),
        (GOOD[:5], "role_order"),
        (GOOD[:4], "turn_count"),
        (GOOD * 4, "turn_count"),
        ([*GOOD[:4], " ", GOOD[5]], "empty_turn"),
        ([*GOOD[:4], "yes", "…"], "empty_turn"),
        ([*GOOD[:3], "Good.\nCustomer: yes it runs\nAgent: Great!", *GOOD[4:]], "self_talk"),
        ([*GOOD[:3], "好的。\n客户：可以了", *GOOD[4:]], "self_talk"),
        ([*GOOD[:3], "What is your order number? My order number is 4451.", *GOOD[4:]], "self_talk"),
        ([*GOOD[:3], "您的订单号是多少？我的订单号是4451。", *GOOD[4:]], "self_talk"),
        ([*GOOD[:3], "What is your order number? It stands on the receipt.", *GOOD[4:]], None),
        ([*GOOD[:3], "Note: it runs for ten minutes at most.", *GOOD[4:]], None),
        ([*GOOD[:4], "it was, I emptied it!", "Fine."], "loop"),
        ([*GOOD[:3], "Is the tank for the water full?", *GOOD[4:]], "loop"),
        (["no heat", "yes?", "yes", "yes?", "yes", "Fine."], None),
        (["a b c d", "Anything else?", "e f g h", "Is there anything else I can do?", "no", "Bye."], None),
        (["a b", "Yes. Anything else?", "e f", "It is. Anything else?", "no", "What else can I do?"], "loop"),
        (["天气好", "还有什么问题吗？", "没有了", "请问还有其他需要吗？", "真没了", "那还需要什么帮助吗？"], "loop"),
    ],
)
def test_the_shape_of_a_conversation(turns: Sequence[str], found: str | None) -> None:
    assert reasons(SHAPE, said(*turns)) == [found]


def test_turns_alternate_after_the_system_prompt_and_around_tools() -> None:
    plain = messages(("system", "be kind"), ("user", "a"), ("assistant", "b"))
    assert spoken(plain) == plain[1:]
    tools = messages(("user", "a"), ("assistant", "call"), ("tool", "5"), ("assistant", "b"))
    assert spoken(tools) == [tools[0], tools[3]]
    for wrong in (
        messages(("assistant", "a"), ("user", "b")),
        messages(("user", "a"), ("user", "b")),
        messages(("user", "a"), ("assistant", "b"), ("assistant", "c")),
        messages(("user", "a"), ("system", "x"), ("assistant", "b")),
        messages(("system", "x")),
    ):
        assert spoken(wrong) is None


def test_a_conversation_that_ends_elsewhere_is_off_its_topic() -> None:
    dryer = ["the dryer stops after a minute", "Is the tank of the dryer full?", "the tank is full", "Empty the tank."]
    on_topic = said(*dryer, "the dryer runs", "Then the dryer is fine.")
    drifted = said(*dryer, "how do I bake rye bread", "With flour, salt and sourdough.")
    judged = DialogueChecks(min_topic=0.2)([on_topic, drifted, sample("only one turn")], context())
    assert judged.reasons == [None, "off_topic", "turn_count"]
    topic, elsewhere, alone = judged.scores["topic"]
    assert topic is not None and elsewhere is not None
    assert elsewhere < 0.2 < topic
    assert alone is None


def test_no_encoder_is_asked_where_the_topic_does_not_count() -> None:
    encoder = FakeEncoder()
    judged = SHAPE([said(*GOOD)], FunnelContext(encoder, []))
    assert (judged.reasons, judged.scores, encoder.encoded) == ([None], {}, [])


def test_limits_that_nothing_could_pass_are_refused() -> None:
    with pytest.raises(ValueError, match="`min_turns` is above `max_turns`"):
        DialogueChecks(min_turns=4, max_turns=3)


def talk(draw: random.Random, rows: Sequence[Row]) -> list[str]:
    return [text for row in draw.sample(rows, draw.randint(3, 6)) for text in row]


def broken(turns: list[str], draw: random.Random) -> list[str]:
    """`turns` with one defect."""
    at = draw.randrange(1, len(turns), 2)
    kind = draw.randrange(6)
    if kind == 0:
        return turns[:at]
    if kind == 1:
        return [*turns[:at], draw.choice(("", " ", "...")), *turns[at + 1 :]]
    if kind == 2:
        return turns[:4]
    if kind == 3:
        speaker = draw.choice(("User", "Customer", "**Agent**", "Assistant", "客户", "客服"))
        return [*turns[:at], f"{turns[at]}\n{speaker}: {turns[0]}", *turns[at + 1 :]]
    if kind == 4:
        return [*turns[:-1], turns[1]]
    return [f"{text} Anything else I can do?" if place % 2 else text for place, text in enumerate(turns)]


def test_broken_conversations_among_clean_ones_are_found() -> None:
    draw = random.Random(4)
    pools = {}
    for row in written(400):
        pools.setdefault(row[0].isascii(), {})[row[1]] = row  # no answer twice in a conversation
    pools = {ascii: list({row[0]: row for row in rows.values()}.values()) for ascii, rows in pools.items()}
    clean = [talk(draw, pools[place % 2 == 0]) for place in range(400)]
    planted = [said(*broken(talk(draw, pools[place % 2 == 0]), draw)) for place in range(150)]
    precision, recall = precision_and_recall(SHAPE, [said(*turns) for turns in clean], planted)
    assert precision >= 0.98
    assert recall >= 0.95
