"""What is served is asked as what was measured was: the loop's prompt goes round a question that brings none."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from wheelwork.core.samples import Message
from wheelwork.core.serving.gateway.bodies import read_question
from wheelwork.core.serving.gateway.prompting import Prompter
from wheelwork.core.serving.gateway.settings import GatewaySettings
from wheelwork.tests.gateway import Gateway


def put(text: str, history: Sequence[Message]) -> list[Message]:
    return [Message(role="system", content="Route it."), *history, Message(role="user", content=f"Message: {text}")]


PROMPTER = Prompter(0.0, put)
HELLO = {"role": "user", "content": "hello"}


def sent(gateway: Gateway) -> dict[str, object]:
    body: dict[str, object] = gateway.hosting.engine.asked[0][1]
    return body


def test_a_question_alone_is_put_under_the_loops_prompt_and_kept_as_it_was_sent(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, serving=GatewaySettings(prompters={"router": PROMPTER}))
    gateway.chat(messages=[HELLO])
    assert sent(gateway)["messages"] == [
        {"role": "system", "content": "Route it."},
        {"role": "user", "content": "Message: hello"},
    ]
    assert sent(gateway)["temperature"] == 0.0
    assert gateway.traffic.exchanges[0].messages == (HELLO,)


def test_earlier_turns_stay_between_the_prompt_and_the_question() -> None:
    turns = b'[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]'
    asked = PROMPTER(read_question("chat/completions", b'{"model":"router","messages":' + turns + b"}"))
    assert [turn["content"] for turn in asked.body["messages"]] == ["Route it.", "a", "b", "Message: c"]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "be short"}, HELLO],
        [HELLO, {"role": "assistant", "content": "go on from"}],
    ],
)
def test_who_brings_a_prompt_or_begins_the_answer_is_taken_at_their_word(
    tmp_path: Path, messages: list[dict[str, str]]
) -> None:
    gateway = Gateway(tmp_path, serving=GatewaySettings(prompters={"router": PROMPTER}))
    gateway.chat(messages=messages, temperature=0.7)
    assert sent(gateway)["messages"] == messages and sent(gateway)["temperature"] == 0.7


def test_completions_and_loops_without_a_prompt_go_as_they_were_sent(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, serving=GatewaySettings(prompters={"router": Prompter(0.5)}))
    gateway.chat(messages=[HELLO])
    assert sent(gateway)["messages"] == [HELLO] and sent(gateway)["temperature"] == 0.5
    asked = PROMPTER(read_question("completions", b'{"model":"router","prompt":"hello"}'))
    assert asked.body["prompt"] == "hello"
