"""What a model's reply holds: fields out of JSON, broken JSON, labelled text and transcripts, or the reason why not."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.generation.parsing import Fields, Refused, read_fields, unquoted

QA = ("question", "answer")
GROUNDED = ("question", "answer", "quote")
CODE = ("instruction", "solution", "test")
SAID = {"question": "How long?", "answer": "5 days"}
unhurried = settings(deadline=None, max_examples=80)


def read(text: str, keys: tuple[str, ...] = QA) -> Fields:
    return read_fields(text, keys)


# JSON


@pytest.mark.parametrize(
    "reply",
    [
        '{"question": "How long?", "answer": "5 days"}',
        '  \n{"question": " How long? ", "answer": "5 days", "note": [1, {"a": 2}]}\n',
        'Sure! Here it is:\n```json\n{"question": "How long?", "answer": "5 days"}\n```\nHope {this} helps.',
        '```\n{"question": "How long?",\n "answer": "5 days"}\n```',
        '{"question": "How long?", "answer": "5 days",}',
        "{'question': 'How long?', 'answer': '5 days'}",
        '{question: "How long?", answer: "5 days"}',
        '{"question": "How long?", "answer": "5 days"',
        '{"question": "How long?", "answer": "5 days',
        '{"question": "How long?" "answer": "5 days"}',
        '{"question": "How long?", /* short */ "answer": "5 days" // yes\n}',
        '{"Question": "How long?", "ANSWER": "5 days"}',
        '{"问题": "How long?", "回答": "5 days"}',
        '{“question”: “How long?”, “answer”: “5 days”}',
        '{"question"："How long?"，"answer"："5 days"}',
        '{"question": "How long?", "answer": "5 days"} {"question": "Who?", "answer": "I"}',
        '{"question": "How long?", "answer": "5 days",}\n{"question": "Who?", "answer": "I",}',
        '[{"question": "How long?", "answer": "5 days"}, {"question": "Who?", "answer": "I"}]',
        '{"question": "cut off"} then {"question": "How long?", "answer": "5 days"}',
        '{"samples": [{"question": "How long?", "answer": "5 days"}]}',
        '{"a": 1} Question: How long?\nAnswer: 5 days',
        '<think>{"question": "Hm", "answer": "hm"}</think>\n{"question": "How long?", "answer": "5 days"}',
    ],
)  # fmt: skip
def test_json_is_read_in_whatever_shape_it_comes(reply: str) -> None:
    assert read(reply) == SAID


def test_line_breaks_and_quotes_in_strings_are_kept() -> None:
    assert read('{"question": "one\ntwo", "answer": "x\ty"}') == {"question": "one\ntwo", "answer": "x\ty"}
    assert read('{"question": "He said "no" loudly", "answer": "so"}') == {
        "question": 'He said "no" loudly',
        "answer": "so",
    }


def test_literals_of_python_are_read_as_what_they_say() -> None:
    assert read("{'question': 'Is it?', 'answer': True}") == {"question": "Is it?", "answer": "true"}
    assert read("{'question': 'Is it?', 'answer': None}") == Refused("empty_field", "answer")


def test_a_number_and_a_list_of_lines_become_text() -> None:
    assert read('{"question": ["a", "b"], "answer": 50}') == {"question": "a\nb", "answer": "50"}


def test_keys_of_a_template_of_the_users_own_are_read() -> None:
    assert read_fields('{"Tone-of voice": "calm"}', ["tone_of_voice"]) == {"tone_of_voice": "calm"}
    assert read_fields("Tone of voice: calm\nBody: x y", ["tone_of_voice", "body"]) == {
        "tone_of_voice": "calm",
        "body": "x y",
    }


def test_keys_may_be_single_letters_or_none() -> None:
    assert read_fields("X: one\nY: two", ["x", "y"]) == {"x": "one", "y": "two"}
    assert read_fields("one", []) == Refused("unreadable")


@pytest.mark.parametrize(
    ("reply", "refused"),
    [
        ("", Refused("unreadable")),
        ("I cannot help with that.", Refused("unreadable")),
        ('{"other": "x"}', Refused("unreadable")),
        ('{"question": "How long?"}', Refused("missing_field", "answer")),
        ("Question: How long?", Refused("missing_field", "answer")),
        ("Quest\u0130on: How long?\nAnswer: x", Refused("missing_field", "question")),
        ('{"question": "", "answer": "x"}', Refused("empty_field", "question")),
        ("Question:\nAnswer: x", Refused("empty_field", "question")),
        ('{"question": "How?", "answer": null}', Refused("empty_field", "answer")),
        ('{"question": "How?", "answer": {"b": 1}}', Refused("broken_field", "answer")),
        ('{"question": "How?", "answer": "half \\ud83d"}', Refused("broken_field", "answer")),
    ],
)
def test_what_cannot_be_read_has_a_reason(reply: str, refused: Refused) -> None:
    assert read(reply) == refused


# labelled text


@pytest.mark.parametrize(
    "reply",
    [
        "Question: How long?\nAnswer: 5 days",
        "Question: How long? Answer: 5 days",
        "Q: How long?\nA: 5 days",
        "Q: How long? A: 5 days",
        "question:How long?\n\nanswer:\n5 days\n",
        "**Question:** How long?\n**Answer:** 5 days",
        "**Question**: How long?\n\n**Answer**: 5 days",
        "**Question: How long?**\nAnswer: 5 days",
        "### Question 1:\nHow long?\n### Answer 1:\n5 days",
        "1. Question: How long?\nAnswer: 5 days\n\n2. Question: Who?\nAnswer: I",
        "- Question： How long?\n- Answer： 5 days\n\n---\n\nQuestion: Who?\nAnswer: I",
        "Here you are.\n\nQuestion: How long?\nAnswer: 5 days",
        "【问题】：How long?【回答】：5 days",
        "【问题】How long?\n【回答】5 days",
        "问题：How long?\n回答：5 days",
        "问：How long?答：5 days",
        "问:How long?\n答:5 days",
        "Answer: 5 days\nQuestion: How long?",
    ],
)
def test_labels_are_read_in_both_languages(reply: str) -> None:
    assert read(reply) == SAID


def test_every_task_has_its_labels() -> None:
    assert read("Question: a\nAnswer: b\nQuote: c", GROUNDED) == {"question": "a", "answer": "b", "quote": "c"}
    assert read("【问题】：甲【回答】：乙【引用】：丙", GROUNDED) == {"question": "甲", "answer": "乙", "quote": "丙"}
    assert read("Text: a b\nc\nSummary: d", ("text", "summary")) == {"text": "a b\nc", "summary": "d"}
    assert read("【原文】：甲乙【摘要】：丙", ("text", "summary")) == {"text": "甲乙", "summary": "丙"}
    assert read("Text: a\nRewritten: d", ("text", "rewritten")) == {"text": "a", "rewritten": "d"}
    assert read("【原文】：甲【改写】：丙", ("text", "rewritten")) == {"text": "甲", "rewritten": "丙"}


def test_a_value_ends_with_a_divider_or_the_next_passage() -> None:
    assert read("【问题】：甲\n【回答】：乙\n【引用】：丙\n【资料】：丁\n【问题】：戊", GROUNDED) == {
        "question": "甲",
        "answer": "乙",
        "quote": "丙",
    }
    assert read("Question: a\nAnswer: b\nQuote: c\n---\nPassage: d", GROUNDED) == {
        "question": "a",
        "answer": "b",
        "quote": "c",
    }


def test_the_letters_of_choices_are_no_labels_where_words_are() -> None:
    reply = "Question: Which one?\nA: red\nB: blue\nAnswer: red"
    assert read(reply) == {"question": "Which one?\nA: red\nB: blue", "answer": "red"}


def test_a_label_word_inside_a_sentence_is_none() -> None:
    reply = "Question: What is the answer: yes or no?\nAnswer: The question: settled."
    assert read(reply) == {"question": "What is the answer: yes or no?", "answer": "The question: settled."}


def test_a_record_that_breaks_off_is_passed_over_for_a_whole_one() -> None:
    assert read("Question: cut\nQuestion: How long?\nAnswer: 5 days") == SAID


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (" Why is my bill so high?\n", "Why is my bill so high?"),
        ('"Why is it high"', "Why is it high"),
        ("“ Why is it high ”", "Why is it high"),
        ("Text: Why is it high", "Why is it high"),
        ('{"text": "Why"}', "Why"),
        ("It says {error: 5} and a Text: I cannot read", "It says {error: 5} and a Text: I cannot read"),
        ("It's the bill, isn't it", "It's the bill, isn't it"),
    ],
)  # fmt: skip
def test_a_single_text_may_come_as_it_stands(reply: str, text: str) -> None:
    assert read(reply, ("text",)) == {"text": text}


def test_a_single_text_is_not_broken_json_nor_nothing() -> None:
    assert read('{"message": 3', ("text",)) == Refused("unreadable")
    assert read("  ", ("text",)) == Refused("empty_field", "text")


def test_unquoted_takes_one_pair() -> None:
    assert [unquoted(text) for text in ('"a"', "'a' b'", '""', '"', " a ")] == ["a", "a' b", "", '"', "a"]


# code

WHOLE = {"instruction": "Add two.", "solution": "def add(a, b):\n    return a + b", "test": "assert add(1, 2) == 3"}


FENCED = f"```python\n{WHOLE['solution']}\n```"


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps(WHOLE),
        json.dumps(WHOLE | {"solution": FENCED}),
        json.dumps(WHOLE | {"solution": WHOLE["solution"].split("\n")}),
        json.dumps(WHOLE).replace("\\n", "\n"),
        f'{{"instruction": "Add two.", "solution": """{WHOLE["solution"]}""", "test": "{WHOLE["test"]}"}}',
        f"Instruction: Add two.\nSolution:\n{FENCED}\nTest:\n```python\n{WHOLE['test']}\n```",
        f"Instruction: Add two.\nSolution:\n{WHOLE['solution']}\n\nTest: {WHOLE['test']}",
        f"Instruction: Add two.\nSolution:\n{WHOLE['solution']}\nTest:\n{WHOLE['test']}\n---\nInstruction: Add three.",
        f"【任务】：Add two.\n【代码】：\n{FENCED}\n【测试】：\n```\n{WHOLE['test']}\n```",
        f"Task: Add two.\n{FENCED}\nIt works:\n```python\n{WHOLE['test']}\n```\nBye.",
        f"**Instruction:** Add two.\n**Solution:**\n{FENCED}\n**Test:**\n```python\n{WHOLE['test']}",
    ],
)  # fmt: skip
def test_code_is_read_out_of_json_fences_and_labels(reply: str) -> None:
    assert read(reply, CODE) == WHOLE


def test_a_label_in_fenced_code_is_code() -> None:
    code = 'def f():\n    """Says so.\n\nTest:\n    f()\n"""\n    return 1'
    reply = f"Instruction: x\nSolution:\n```python\n{code}\n```\nTest:\nassert f() == 1"
    assert read(reply, CODE) == {"instruction": "x", "solution": code, "test": "assert f() == 1"}


# dialogues

TURNS = [{"role": "user", "content": "It is cold."}, {"role": "assistant", "content": "Since when?"}]


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps({"messages": TURNS}),
        json.dumps(TURNS),
        "Of course:\n" + json.dumps(TURNS),
        json.dumps(TURNS)[:-1] + ",",
        '{"Messages": [{"Role": "Customer", "Content": "It is cold."}, {"speaker": "Agent", "text": "Since when?"}]}',
        json.dumps({"messages": [{"user": "It is cold."}, {"assistant": "Since when?"}]}),
        "Customer: It is cold.\nAgent: Since when?",
        "Customer: It is cold. Agent: Since when?",
        "User: It is cold.\n\nAssistant: Since when?\n\n---\n\nUser: Another one.\nAssistant: Yes.",
        "Here is a talk.\n**Customer:** It is cold.\n**Agent:** Since when?",
        "客户：It is cold.\n客服：Since when?",
        "用户：It is cold.助手：Since when?",
    ],
)  # fmt: skip
def test_a_dialogue_is_read_out_of_json_and_transcripts(reply: str) -> None:
    assert read(reply, ("messages",)) == {"messages": TURNS}


def test_a_turn_may_run_over_lines() -> None:
    found = read("Customer: a\nb\nAgent: c\n\nd", ("messages",))
    assert isinstance(found, dict)
    assert [turn["content"] for turn in found["messages"]] == ["a\nb", "c\n\nd"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('{"messages": []}', "empty_field"),
        ('{"messages": "hello"}', "broken_field"),
        ('{"messages": ["hello"]}', "broken_field"),
        ('{"messages": [{"role": "wizard", "content": "hello"}]}', "unknown_role"),
        ('{"messages": [{"role": "user", "content": " "}]}', "empty_field"),
        ('{"messages": [{"role": "user"}]}', "unknown_role"),
        ("Customer: It is cold.", "unreadable"),
        ("It is cold.", "unreadable"),
    ],
)
def test_a_dialogue_that_is_none_has_a_reason(reply: str, reason: str) -> None:
    found = read(reply, ("messages",))
    assert isinstance(found, Refused)
    assert found.reason == reason


# any text

SIGNS = st.characters(codec="utf-8", exclude_characters="\r")
TEXTS = st.text(SIGNS, min_size=1).map(str.strip).filter(bool)
PLAIN = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"), exclude_characters=":：【】`*_-=>#"))
PLAIN_TEXTS = PLAIN.map(str.strip).filter(bool)
FIELDS = st.sampled_from([QA, GROUNDED, ("text", "summary")])


@unhurried
@given(st.data(), FIELDS, st.sampled_from(["{}", "```json\n{}\n```", "Here it is:\n\n```\n{}\n```\nDone."]))
def test_any_texts_as_json_come_back(data: st.DataObject, keys: tuple[str, ...], frame: str) -> None:
    values = {key: data.draw(TEXTS) for key in keys}
    for whole in (json.dumps(values), json.dumps(values, ensure_ascii=False, indent=1)):
        assert read_fields(frame.replace("{}", whole), keys) == values


@unhurried
@given(st.data(), FIELDS, st.sampled_from(["{}: ", "**{}:** ", "{}：", "【{}】："]), st.sampled_from(["\n", "\n\n"]))
def test_any_texts_without_labels_come_back_from_labelled_form(
    data: st.DataObject, keys: tuple[str, ...], label: str, gap: str
) -> None:
    values = {key: data.draw(PLAIN_TEXTS) for key in keys}
    reply = gap.join(label.format(key.title()) + value for key, value in values.items())
    assert read_fields(reply, keys) == values


PIECES = st.sampled_from(
    ["{", "}", "[", "]", '"', "'", ":", ",", "\\", "```", "\n", "question", "Answer:", "【", "】", "Customer: ",
     "Agent:", '"answer": ', "<think>", "**", "null", "1e9", "…", "---\n", "\ud83d"]
)  # fmt: skip


@unhurried
@given(
    st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)),
    st.sampled_from([QA, ("text",), ("messages",), CODE, GROUNDED]),
)
def test_no_text_raises_and_what_is_read_is_whole(text: str, keys: tuple[str, ...]) -> None:
    found = read_fields(text, keys)
    if isinstance(found, dict):
        assert set(found) == set(keys)
        assert all(value and (isinstance(value, list) or value.strip()) for value in found.values())
    else:
        assert found.reason in ("unreadable", "missing_field", "empty_field", "broken_field", "unknown_role")


@pytest.mark.parametrize(
    "piece", ["{", "[", '{"a":', '"', '\\"', "[{", "```\n", "Question: ", "【问题】", "'{", "- - ", '"""']
)
def test_a_model_that_says_one_thing_for_ever_is_read_in_no_time(piece: str) -> None:
    started = time.perf_counter()
    for keys in (QA, ("messages",), CODE):
        assert isinstance(read_fields("{" + piece * (20_000 // len(piece)), keys), Refused)
    assert time.perf_counter() - started < 3
