"""Augmentation as a whole: which children are asked for and how, what they keep, and that none is lost silently."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from wheelwork.core.chat.cache import CachedChat, ReplyCache
from wheelwork.core.chat.messages import ChatRequest, Reply
from wheelwork.core.errors import BudgetSpent, ConfigError, TeacherError
from wheelwork.core.generation.augment.children import augment, wishes
from wheelwork.core.generation.augment.settings import (
    Augmentation,
    BackTranslation,
    Clauses,
    Paraphrase,
    RenameVariables,
    Rewrite,
    RewriteCode,
    Stance,
    Style,
    Voice,
    Words,
)
from wheelwork.core.generation.augment.synonyms import Synonyms
from wheelwork.core.samples import Message, Sample
from wheelwork.core.settings import parse
from wheelwork.tests.core.augmenting import children, coding, message, texts
from wheelwork.tests.fakes import FakeEncoder, ScriptedChat

# what is asked for


def test_the_default_needs_only_a_teacher() -> None:
    asked = Counter(wish.operation.kind for wish in wishes(message("hi"), Augmentation()))
    assert asked == {"paraphrase": 3, "back_translation": 2, "style": 1, "stance": 1}


def test_operations_are_read_by_their_kind() -> None:
    kinds = [Paraphrase, BackTranslation, Style, Stance, Voice, Clauses, Words, RenameVariables, Rewrite, RewriteCode]
    data = {"operations": [{"kind": kind().kind, "times": 2} for kind in kinds]}
    assert [type(operation) for operation in parse(Augmentation, data, "loop.yaml").operations] == kinds
    with pytest.raises(ConfigError, match="paraphrase"):
        parse(Augmentation, {"operations": [{"kind": "paraphrases"}]}, "loop.yaml")


def test_code_is_changed_only_in_samples_of_code() -> None:
    settings = Augmentation(operations=(Paraphrase(times=1), RenameVariables(), Rewrite()))
    assert [wish.operation.kind for wish in wishes(message("hi"), settings)] == ["paraphrase"]
    assert [wish.operation.kind for wish in wishes(coding(), settings)] == ["paraphrase", "rename_variables", "rewrite"]
    silent = Sample.make((Message(role="assistant", content="hello"),), task="dialogue", origin="seed")
    assert list(wishes(silent, settings)) == []


def test_seeds_depend_on_parent_operation_and_number_alone() -> None:
    both = Augmentation(operations=(Paraphrase(times=2), Style()))
    more = Augmentation(operations=(Style(), Paraphrase(times=3)))
    seeds = {(wish.operation.kind, wish.number): wish.seed for wish in wishes(message("hi"), both)}
    assert len(set(seeds.values())) == 3
    others = {(wish.operation.kind, wish.number): wish.seed for wish in wishes(message("hi"), more)}
    assert seeds.items() <= others.items()
    assert {wish.seed for wish in wishes(message("ho"), both)}.isdisjoint(seeds.values())
    assert {wish.seed for wish in wishes(message("hi"), both.model_copy(update={"seed": 1}))}.isdisjoint(seeds.values())


def test_extra_children_come_by_turns_and_are_new_ones() -> None:
    settings = Augmentation(operations=(Paraphrase(times=1), Style(times=0), Voice()))
    asked = [(wish.operation.kind, wish.number) for wish in wishes(message("hi"), settings, extra=3)]
    assert asked == [("paraphrase", 0), ("voice", 0), ("paraphrase", 1), ("voice", 1), ("paraphrase", 2)]
    assert list(wishes(message("hi"), Augmentation(operations=()), extra=3)) == []


# how a teacher is asked


def test_a_teacher_is_asked_for_the_text_with_the_settings_of_the_operation() -> None:
    chat = ScriptedChat(["my bill is really wrong now"])
    parent = message("my bill is really wrong", weight=0.5)
    style = Style(styles=("blunt",), temperature=0.3, top_p=0.7, max_tokens=99, weight=0.5)
    (child,) = children([parent], chat, style, round="r1")
    (request,) = chat.asked
    assert "my bill is really wrong" in request.messages[-1].content
    assert "blunt" in request.messages[-1].content
    assert (request.temperature, request.top_p, request.max_tokens) == (0.3, 0.7, 99)
    assert child.reject_reason is None
    assert (child.parent_id, child.origin, child.round, child.source) == (parent.id, "augmented", "r1", parent.source)
    assert child.controls == {"operation": "style", "style": "blunt"}
    assert (child.label, child.task, child.weight) == ("billing", "classify", 0.25)
    assert child.messages == (
        parent.messages[0],
        Message(role="user", content="my bill is really wrong now"),
        parent.messages[2],
    )
    assert 0.6 < child.scores["parent_similarity"] < 1


def test_back_translation_goes_there_and_back_by_turns() -> None:
    chat = ScriptedChat(["DE one", "the bill seems wrong", "ES two", "the bill looks wrong"])
    found = children([message("the bill is wrong")], chat, BackTranslation(pivots=("de", "Klingon")))
    asked = [request.messages[-1].content for request in chat.asked]
    assert "the bill is wrong" in asked[0]
    assert "DE one" in asked[1]
    assert "English" in asked[1]
    there = {"German" if "German" in asked[step] else "Klingon" if "Klingon" in asked[step] else "" for step in (0, 2)}
    assert there == {"German", "Klingon"}
    assert {child.controls["pivot"] for child in found} == {"de", "Klingon"}
    assert [child.prompt for child in found] == ["the bill seems wrong", "the bill looks wrong"]


def test_templates_are_those_of_the_language_or_the_loops_own(tmp_path: Path) -> None:
    chat = ScriptedChat(["账单不对呢"])
    children([message("账单不对")], chat, Paraphrase(times=1), language="zh")
    assert any("\u4e00" <= sign <= "\u9fff" for sign in chat.asked[0].messages[-1].content.replace("账单不对", ""))
    folder = tmp_path / "en" / "augment"
    folder.mkdir(parents=True)
    head = "name: voice\ntask: augment\nlanguage: en\npurpose: ours\nvariables: [text]"
    (folder / "voice.md").write_text(f"---\n{head}\n---\n# user\nTurn round: {{{{ text }}}}\n", encoding="utf-8")
    chat = ScriptedChat(["b a"])
    children([message("a b")], chat, Voice(), overrides=tmp_path)
    assert chat.asked[0].messages[-1].content == "Turn round: a b"


def test_every_operation_of_a_teacher_has_its_templates() -> None:
    every = (Paraphrase(), BackTranslation(), Style(), Stance(), Voice(), Clauses(), RewriteCode())
    for language in ("en", "zh"):
        assert children([], ScriptedChat(), *every, language=language) == []


def test_without_a_teacher_the_operation_that_needs_one_is_named() -> None:
    with pytest.raises(ConfigError, match="`voice` needs a teacher"):
        children([message("hi there")], None, Voice())


def test_a_teacher_that_fails_ends_it() -> None:
    with pytest.raises(TeacherError):
        children([message("hi there")], ScriptedChat([TeacherError("gone")]), Voice())


# what comes of it


def test_every_child_that_is_asked_for_comes_out_with_its_reason() -> None:
    replies = [
        "My bill is WRONG this month!",
        "“my invoice is wrong this month”",
        "my invoice is wrong this month.",
        "let us dance",
        "",
        Reply(text="my bill is wrong this", finish="length"),
        "this month my bill is \ud83d wrong",
        "this month my bill is wrong",
    ]
    found = children([message("my bill is wrong this month")], ScriptedChat(replies), Paraphrase(times=8))
    assert texts(found) == [
        ("My bill is WRONG this month!", "unchanged"),
        ("my invoice is wrong this month", None),
        ("my invoice is wrong this month.", "duplicate"),
        ("let us dance", "meaning_changed"),
        ("", "empty"),
        ("my bill is wrong this", "cut_off"),
        ("this month my bill is ? wrong", "not_unicode"),
        ("this month my bill is wrong", None),
    ]


def test_a_child_may_not_repeat_another_parent_or_its_children() -> None:
    parents = [message("my bill is wrong"), message("my bill is bad")]
    chat = ScriptedChat(["my bill is false", "my bill is bad", "my bill is wrong", "my bill is false"])
    assert texts(children(parents, chat, Paraphrase(times=2, min_similarity=0.1))) == [
        ("my bill is false", None),
        ("my bill is bad", None),  # its twin is a parent that nobody has seen yet: the funnel drops one of them
        ("my bill is wrong", "duplicate"),
        ("my bill is false", "duplicate"),
    ]


def test_the_same_question_about_another_passage_is_another_sample() -> None:
    def about(passage: str) -> Sample:
        turns = [("system", passage), ("user", "when does it open"), ("assistant", "at nine")]
        messages = [Message(role=role, content=text) for role, text in turns]  # type: ignore[arg-type]
        return Sample.make(messages, task="grounded_qa", origin="teacher", controls={"quote": "at nine"})

    chat = ScriptedChat(["when does it open then"] * 3)
    parents = [about("The shop opens at nine."), about("The bank opens at nine."), about("The inn opens late.")]
    assert [child.reject_reason for child in children(parents, chat, Paraphrase(times=1))] == [None, None, "quote_lost"]


def test_a_label_is_checked_against_the_seeds() -> None:
    seeds = [("the bill is wrong", "billing"), ("the line is dead", "offline")]
    chat = ScriptedChat(["the line is dead and wrong", "so the bill is wrong"])
    parent = message("the bill is dead wrong")
    found = children([parent], chat, Paraphrase(times=2, min_similarity=0.3), seeds=seeds)
    assert [child.reject_reason for child in found] == ["label_changed", None]
    assert found[0].scores["label_margin"] < 0 < found[1].scores["label_margin"]


class Echo:
    """A teacher that repeats the text with a word more, later calls sooner, until its budget is spent."""

    fingerprint = "echo"

    def __init__(self, parallel: int = 1, budget: int = 10**9) -> None:
        self.parallel = parallel
        self.budget = budget
        self.calls = 0

    async def __call__(self, request: ChatRequest) -> Reply:
        self.calls += 1
        if self.calls > self.budget:
            raise BudgetSpent("spent")
        await asyncio.sleep(0.002 * (self.calls % 3 == 0))
        return Reply(text=f"{request.messages[-1].content.splitlines()[-1]} v{request.seed % 97}")

    async def aclose(self) -> None:
        pass


PARENTS = [message(f"the bill number is wrong again and word{n} is on it") for n in range(30)]
OPERATIONS = (Paraphrase(times=3), Stance(times=2))


def test_the_order_is_the_same_however_many_calls_are_under_way() -> None:
    alone = children(PARENTS, Echo(), *OPERATIONS)
    assert len(alone) == 150
    assert children(PARENTS, Echo(parallel=7), *OPERATIONS) == alone
    assert [child.parent_id for child in alone] == [parent.id for parent in PARENTS for _ in range(5)]


def test_a_killed_run_asks_the_same_again(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    dying = Echo(budget=50)
    first = children(PARENTS, CachedChat(dying, cache), *OPERATIONS)
    assert Counter(child.reject_reason for child in first)["budget_spent"] == 100
    chat = CachedChat(Echo(), cache)
    again = children(PARENTS, chat, *OPERATIONS)
    assert (chat.hits, chat.calls) == (50, 100)
    assert again == children(PARENTS, Echo(), *OPERATIONS)
    cache.close()


def test_a_reader_that_stops_leaves_nothing_running() -> None:
    async def one() -> int:
        stream = augment(PARENTS, Augmentation(operations=OPERATIONS), Echo(parallel=3), FakeEncoder())
        await anext(stream)
        await stream.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(one()) == 1


def test_words_are_replaced_without_a_teacher() -> None:
    parent = message("please refund the slow router bill of Monday 3", "refund")
    found = children(
        [parent],
        None,
        Words(times=2, share=1.0, min_similarity=0.7),
        fill_mask=Synonyms({"slow": ["sluggish"], "router": ["modem"], "refund": ["pay"], "bill": ["billing"]}),
        seeds=[("a", "billing")],
    )
    assert texts(found) == [("please refund the sluggish modem bill of Monday 3", None), (found[0].prompt, "duplicate")]


def test_words_of_an_answer_stay_in_its_question() -> None:
    parent = message("who pays the bill", None, "the tenant pays the bill", task="qa")
    source = Synonyms({"pays": ["settles"], "bill": ["invoice"]})
    assert texts(children([parent], None, Words(share=1.0), fill_mask=source)) == [("who pays the bill", "unchanged")]
