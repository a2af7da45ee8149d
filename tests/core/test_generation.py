"""Writing samples: a plan that is even and repeatable, a request an order, and what is read out of a reply."""

from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.chat.messages import Reply
from wheelwork.core.formats import LabelledText
from wheelwork.core.generation.classify import GROUP, Classifying, Generation, Order, opening, plan
from wheelwork.core.prompts import load_template

LABELS = {"offline": "no connection at all", "billing": "a wrong charge", "move": "to another address"}
unhurried = settings(deadline=None, max_examples=60)


def seeds_of(label: str, count: int) -> list[LabelledText]:
    return [LabelledText(n, f"{label}{n} is what number {n} says", label) for n in range(count)]


SEEDS = [row for label in LABELS for row in seeds_of(label, 8)]
WRITINGS = st.builds(Generation, samples=st.integers(0, 100), shots=st.integers(1, 9), opening_words=st.integers(1, 3))


def writing(template: str = "continue", **changes: object) -> Classifying:
    return Classifying(
        instruction="Read the message.",
        setting="Customers write.",
        labels=LABELS,
        settings=Generation.model_validate(changes),
        write=load_template("classify", template),
        answer=load_template("classify", "answer"),
    )


ORDER = Order("billing", ("my bill is wrong", "charged twice"), "Why is", 77)


# the plan


@unhurried
@given(WRITINGS, st.integers(0, 2**32), st.integers(1, 3))
def test_samples_are_spread_evenly_and_the_first_labels_take_the_remainder(
    wanted: Generation, seed: int, labels: int
) -> None:
    names = list(LABELS)[:labels]
    orders = plan([row for row in SEEDS if row.label in names], names, wanted, seed)
    counts = [Counter(order.label for order in orders)[name] for name in names]
    assert sum(counts) == len(orders) == wanted.samples
    assert counts == sorted(counts, reverse=True)
    assert max(counts) - min(counts) <= 1


@unhurried
@given(WRITINGS, st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_plan_and_another_gives_another(wanted: Generation, seed: int) -> None:
    orders = plan(SEEDS, list(LABELS), wanted, seed)
    assert plan(SEEDS, list(LABELS), wanted, seed) == orders
    if wanted.samples:
        assert plan(SEEDS, list(LABELS), wanted, seed + 1) != orders


def groups(orders: list[Order]) -> list[list[Order]]:
    """Neighbours that share label and examples."""
    return [list(group) for _, group in groupby(orders, lambda order: (order.label, order.shots))]


@unhurried
@given(WRITINGS, st.integers(0, 2**32))
def test_no_two_orders_that_share_their_examples_begin_alike(wanted: Generation, seed: int) -> None:
    for group in groups(plan(SEEDS, list(LABELS), wanted, seed)):
        for start in range(0, len(group), GROUP):  # the same examples may be drawn twice in a row
            begins = [order.opening for order in group[start : start + GROUP]]
            assert len(set(begins)) == len(begins)


@unhurried
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_too_few_openings_are_used_again(seed: int, samples: int) -> None:
    few = [LabelledText(1, "my bill", "billing"), LabelledText(2, "my line", "offline")]
    orders = plan(few, ["billing", "offline"], Generation(samples=samples), seed)
    assert len(orders) == samples


@unhurried
@given(WRITINGS, st.integers(0, 2**32))
def test_examples_are_of_the_label_and_openings_are_of_real_messages(wanted: Generation, seed: int) -> None:
    texts = [row.text for row in SEEDS]
    for order in plan(SEEDS, list(LABELS), wanted, seed):
        assert {row.label for row in SEEDS if row.text in order.shots} == {order.label}
        assert len(set(order.shots)) == len(order.shots) == min(wanted.shots, 8)
        assert any(text.startswith(order.opening) for text in texts)
        assert 1 <= len(order.opening.split()) <= wanted.opening_words


def test_groups_are_long_enough_for_an_engine_to_reuse_what_it_read() -> None:
    sizes = [len(group) for group in groups(plan(SEEDS, list(LABELS), Generation(samples=24 * GROUP), 0))]
    assert all(size % GROUP == 0 for size in sizes)


def test_every_order_has_its_own_seed_and_so_its_own_call() -> None:
    chosen = writing(samples=300)
    keys = [chosen.request(order).key("m") for order in plan(SEEDS, list(LABELS), chosen.settings, 0)]
    assert len(set(keys)) == 300


def test_an_opening_is_the_first_words() -> None:
    assert opening("  My  Wi-Fi is gone", 2) == "My Wi-Fi"
    assert opening("Help", 2) == "Help"


# the request


def test_a_request_asks_as_the_settings_say() -> None:
    request = writing(max_tokens=31, temperature=0.6, top_p=0.7).request(ORDER)
    assert (request.max_tokens, request.temperature, request.top_p) == (31, 0.6, 0.7)
    assert (request.seed, request.stop, request.json_schema) == (77, ("\n",), None)


@pytest.mark.parametrize("template", ["continue", "write"])
def test_a_request_shows_setting_topic_examples_and_opening(template: str) -> None:
    request = writing(template).request(ORDER)
    whole = "\n".join(message.content for message in request.messages)
    for part in ("Customers write.", "a wrong charge", "- my bill is wrong\n", "- charged twice\n"):
        assert part in whole
    assert "billing" not in whole, "the name of the label must not be copied into a message"
    assert request.messages[-1].content.endswith("Why is")  # what varies stands last, for the prefix cache


def test_who_writes_the_last_turn() -> None:
    assert writing("continue").request(ORDER).messages[-1].role == "assistant"
    assert writing("write").request(ORDER).messages[-1].role == "user"


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
        ("write", "", ""),
    ],
)
def test_the_text_is_read_out_of_a_reply(template: str, reply: str, text: str) -> None:
    assert writing(template).read(ORDER, Reply(text=reply), origin="teacher").prompt == text


@pytest.mark.parametrize("finish", ["stop", "length", "other"])
def test_a_sample_says_where_it_comes_from(finish: str) -> None:
    reply = Reply.model_validate({"text": " it so high?", "finish": finish})
    sample = writing().read(ORDER, reply, origin="teacher", source="teacher:m", round="r1")
    assert sample.controls == {"category": "billing", "opening": "Why is", "finish": finish}
    assert (sample.origin, sample.source, sample.round) == ("teacher", "teacher:m", "r1")
    assert (sample.task, sample.label, sample.completion) == ("classify", "billing", "billing")


def test_a_sample_is_asked_as_it_will_be_asked_when_served() -> None:
    chosen = writing()
    sample = chosen.read(ORDER, Reply(text=" it so high?"), origin="teacher")
    assert sample.messages[:-1] == chosen.ask("Why is it so high?")
    system, user = chosen.ask("Why is it so high?")
    assert system.content.startswith("Read the message.")
    assert all(label in system.content for label in LABELS)
    assert user.content == "Why is it so high?"


def test_the_same_text_under_the_same_label_is_the_same_sample() -> None:
    chosen = writing()
    one, again = (chosen.read(ORDER, Reply(text=" it?"), origin="teacher", round=round_) for round_ in ("1", "2"))
    assert one.id == again.id
    assert chosen.sample("Why is it?", "offline", origin="seed").id != one.id
