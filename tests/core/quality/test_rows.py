"""Filters of single rows: examples of each of their reasons."""

from typing import Any

import pytest
from pydantic import ValidationError
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.parts import texts_of
from wheelwork.core.quality.rows.advertising import Advertising
from wheelwork.core.quality.rows.debris import TemplateDebris
from wheelwork.core.quality.rows.language import Language
from wheelwork.core.quality.rows.repetition import Repetition
from wheelwork.core.quality.rows.structure import Structure
from wheelwork.tests.core.quality.row_texts import (
    context,
    conversation,
    reasons,
    sample,
)

# which messages are judged


def test_a_filter_judges_the_messages_that_it_is_told_to() -> None:
    long = conversation(["one", "two", "three", "four"])
    assert list(texts_of(long, ("prompt",))) == ["three"]
    assert list(texts_of(long, ("answer",))) == ["four"]
    assert list(texts_of(long, ("prompt", "answer", "history"))) == ["three", "four", "one", "two"]
    assert list(texts_of(conversation(["one", "billing"], label="billing"), ("prompt", "answer"))) == ["one"]


def test_rules_judge_answers_where_they_are_told_to() -> None:
    row = sample("how long does it take to dry", "no")
    assert reasons(Rules(), row) == [None]
    assert reasons(Rules(judges=("answer",)), row) == ["too_short"]
    assert reasons(Rules(judges=("answer",), min_words=1), sample("why", "How can I help you with that?")) == [None]
    assert reasons(Rules(judges=("answer",), min_words=1), sample("why", "As an AI, I do not know")) == ["debris"]


# rules


@pytest.mark.parametrize(
    ("judge", "text", "found"),
    [
        (Rules(min_chars=12), "it is ok now", None),
        (Rules(min_chars=13), "it is ok now  ", "too_short"),
        (Rules(max_chars=11), "it is ok now", "too_long"),
        (Rules(language="zh"), "我家的网络断了", None),
        (Rules(language="zh"), "作为一个AI，我没有家", "debris"),
        (Rules(language="zh"), "主题：家里断网怎么办", "debris"),
        (Rules(language="zh"), "as an ai i have no home", None),
        (Rules(banned_words=("damn",)), "Damn, it is broken", "banned_word"),
        (Rules(banned_words=("damn",)), "the damned thing is broken", None),
        (Rules(banned_words=("old hat",)), "that is OLD  hat, really", "banned_word"),
        (Rules(banned_words=("old hat",)), "an old man with a hat", None),
        (Rules(banned_words=("傻瓜",)), "你这个傻瓜真是的", "banned_word"),
    ],
)
def test_rules(judge: Rules, text: str, found: str | None) -> None:
    assert reasons(judge, sample(text)) == [found]


def test_a_message_that_is_empty_is_a_reason_whichever_is_judged() -> None:
    assert reasons(Rules(), sample("how long does it take", " \n")) == ["empty"]
    assert reasons(Rules(), conversation(["how long", "", "so how long then", "an hour"])) == ["empty"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"min_words": 9, "max_words": 3}, "`min_words` is above `max_words`"),
        ({"min_chars": 9, "max_chars": 3}, "`min_chars` is above `max_chars`"),
        ({"banned": [" "]}, "pattern"),
        ({"judges": []}, "at least 1 item"),
    ],
)
def test_rules_that_nothing_could_pass_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Rules.model_validate(settings)


# template debris


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I live in {city} and wait", "placeholder"),
        ("about {{ topic }}", "placeholder"),
        ("Dear [Your Name]", "placeholder"),
        ("send it to <insert address>", "placeholder"),
        ("您好，[姓名]", "placeholder"),
        ("As an AI, I do not eat", "machine_talk"),
        ("lorem IPSUM dolor", "filler"),
        ("yes.<|im_end|>", "chat_markup"),
        ("### Instruction: say yes", "chat_markup"),
        ("the log says [INFO] and [ERROR]", None),
        ("call [EMAIL] or [PHONE]", None),
        ("see [name](https://example.com)", None),
        ("the set {1, 2, 3} and the set {x}", None),
        (r"so \frac{name}{date} it is", None),
        ("use `{topic}` in the template", None),
        ("```\nhello {name}\n```", None),
        ("git checkout <name> and a <b>bold</b> word", None),
        ("【时间】明天下午三点 【地址】北京", None),
        ("are you an AI or a person?", None),
        ("作为人工智能专业的学生，我很好奇", None),
        ("he said [the company] would pay {laughs}", None),
    ],
)
def test_template_debris(text: str, found: str | None) -> None:
    assert reasons(TemplateDebris(), sample("a question", text), sample(text)) == [found, found]


def test_slots_in_the_answer_of_a_code_task_are_code() -> None:
    assert reasons(TemplateDebris(), sample("greet", 'f"Hello {user_name}"', task="code")) == [None]


def test_an_answer_that_repeats_prompt_or_instruction_is_an_echo() -> None:
    asked = "How long does it take to dry?"
    rows = [
        sample(asked, f"{asked} About an hour."),
        sample(asked, "You help the people of this house. About an hour."),
        sample(asked, "You asked how long it takes: about an hour."),
        sample("why?", "why? Because."),
    ]
    assert reasons(TemplateDebris(), *rows) == ["echo", "echo", None, None]
    assert reasons(TemplateDebris(looks_for=("filler",)), *rows) == [None] * 4


# repetition


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lag lag lag in the game, downloads are super fast though", None),
        ("the internet goes off and on, off and on, off and on since this very morning, all day long", None),
        ("very very very very very very good and fine and nice", "repeated_word"),
        ("no" + "o" * 20, "repeated_signs"),
        ("what now" + "?" * 20, "repeated_signs"),
        ("a line of dashes " + "-" * 40 + " and one of dots " + "." * 40, None),
        ("open the valve now\nopen the valve now\nopen the valve now", "repeated_lines"),
        ("}\n}\n}\nreturn x\nreturn x", None),
        ("哈哈哈哈哈", None),
        ("我想退款我想退款我想退款我想退款我想退款", "repeated_ngram"),
        ("turn it off and on again " * 6, "repeated_ngram"),
    ],
)
def test_repetition(text: str, found: str | None) -> None:
    assert reasons(Repetition(), sample(text)) == [found]


def test_repetition_scores_the_largest_share() -> None:
    judged = Repetition()([sample("a quiet text of a few words"), sample("go " * 20)], context())
    assert judged.scores["repetition"][0] == 0
    assert judged.scores["repetition"][1] == 1


# language


def test_what_is_too_short_or_no_language_has_no_confidence_and_passes() -> None:
    rows = [sample("ok", "12:30"), sample("谢谢", "`systemctl status`"), sample("https://example.com/de/hilfe", "7")]
    kept, _, _ = Funnel(filters=(Language(allowed=("fr",)),)).split(rows, context())
    assert [row.scores for row in kept] == [{"language_unknown": 1.0}] * 3
    (known,), _, _ = Funnel(filters=(Language(allowed=("en",)),)).split(
        [sample("The lamp flickers at night")], context()
    )
    assert set(known.scores) == {"language_confidence"}


@pytest.mark.parametrize(
    ("text", "english", "chinese"),
    [
        ("光猫的 LOS 红灯一直闪，WiFi 也连不上", "wrong_language", None),
        ("The sign over the door says 出口, which means the way out", None, "wrong_language"),
        ("The lamp over the stairs flickers\n```\nfür jeden Fall eine Lösung\n```", None, "wrong_language"),
        ("電視機突然沒有聲音，請問怎麼辦？", "wrong_language", None),
        ("テレビの音が急に出なくなりました", "wrong_language", "wrong_language"),
        ("这款の店铺在哪里可以找到，想去看看", "wrong_language", None),
    ],
)
def test_mixed_texts_are_judged_by_what_most_of_them_is(text: str, english: str | None, chinese: str | None) -> None:
    assert reasons(Language(allowed=("en",)), sample(text, "ok")) == [english]
    assert reasons(Language(allowed=("zh",)), sample(text, "ok")) == [chinese]


def test_the_answer_of_a_code_task_is_no_text() -> None:
    code = "for item in the_list_of_items:\n    print(item, the_next_item)"
    assert reasons(Language(allowed=("zh",)), sample("请写一个打印列表里每一项的循环", code, task="code")) == [None]


def test_an_unknown_language_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="no language has the code `eng`; did you mean `en`"):
        Language(allowed=("eng",))


def test_the_codes_are_those_of_the_model() -> None:
    from wheelwork.core.quality.rows import language

    assert {*language.LANGUAGES, language.NO_LANGUAGE} == set(language._identifier().labels)


# structure


@pytest.mark.parametrize(
    ("format", "text", "found"),
    [
        ("json", '{"a": [1, 2]}', None),
        ("json", '```json\n{"a": 1}\n```', None),
        ("json", 'Here it is: {"a": 1}', "broken_json"),
        ("json", '{"a": NaN}', "broken_json"),
        ("json", "[" * 5000, "broken_json"),
        ("any", '{"a": 1', "broken_json"),
        ("any", "[1] says so, and [2] does not", None),
        ("any", "{name} is a slot", None),
        ("markdown", "```\na\n", "broken_markdown"),
        ("markdown", "````\n```\n````", None),
        ("markdown", "- a\n  ```sh\n  ls\n  ```", None),
        ("markdown", "a `b\nc` d", None),
        ("markdown", "a `b\n\nc` d", "broken_markdown"),
        ("markdown", "a `b", "broken_markdown"),
        ("markdown", "[a](b", "broken_markdown"),
        ("markdown", "[a](b(c)) and [d](e 'f')", None),
        ("markdown", "a **b** and **c", "broken_markdown"),
        ("markdown", "| a | b |\n| - | - |\n| 1 | 2 |", None),
        ("markdown", "| a | b |\n|---|---|\n| 1 | 2 | 3 |", "broken_markdown"),
        ("markdown", "| a | b |\n|---|---|---|\n| 1 | 2 |", "broken_markdown"),
        ("any", "mind this (see page 4", "unbalanced"),
        ("any", "that's fine :) or :-( or ;)", None),
        ("any", "1) first 2) second and a) third (of 4)", None),
        ("any", "the interval [0, 1) and (0, 1]", None),
        ("any", 'a 5" pipe and the "old" one of "1999"', None),
        ("any", 'he said "no and left', "unbalanced"),
        ("any", "请看说明书（第四页", "unbalanced"),
        ("any", "请看《说明书》（第四页)", None),
        ("any", "“开始”按钮", None),
        ("any", "”开始", "unbalanced"),
        ("code", "print('(')  # )", None),
        ("code", "print((1)", "unbalanced_code"),
        ("code", "so:\n```js\nlet a = [1, 2;\n```", "unbalanced_code"),
        ("code", "so:\n```json\n{'a': 1}\n```", "broken_json"),
    ],
)
def test_structure(format: Any, text: str, found: str | None) -> None:
    assert reasons(Structure(format=format), sample("a question", text)) == [found]


# advertising


@pytest.mark.parametrize(
    "text",
    [
        "You can reach us at 1-800-555-0199 or at https://help.example.com/returns",
        "The page says click here, but nothing happens",
        "Please visit our website www.example.com and fill in the form",
        "Is there a discount of 20% for students?",
        "Sign up today is not possible, www.example.com is down",
        "快递包邮吗？价格是39元",
        "我的微信登录不了，换了手机号13800138000",
        "我加了你们的客服微信，但是没人理我",
        "请问限时优惠什么时候结束？",
    ],
)
def test_help_and_questions_are_no_advertising(text: str) -> None:
    assert reasons(Advertising(), sample(text), sample("why", text)) == [None, None]


def test_advertising_counts_its_signs() -> None:
    rows = [sample("Buy now!"), sample("Buy now, only $5, at www.example.com"), sample("how are you")]
    judged = Advertising()(rows, context())
    assert judged.scores["advertising"] == [1, 3, 0]
    assert judged.reasons == [None, "advertising", None]
    assert reasons(Advertising(min_signs=1), *rows) == ["advertising", "advertising", None]
