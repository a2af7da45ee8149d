"""The filter of personal data: what it drops, and what masking leaves."""

from collections.abc import Sequence
from typing import Any

from wheelwork.core.quality.context import FunnelContext, Judgements
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.quality.personal_texts import GITHUB
from wheelwork.tests.fakes import FakeEncoder


def sample(user: str, assistant: str = "sure", system: str = "be kind", **rest: Any) -> Sample:
    turns = [("system", system), ("user", user), ("assistant", assistant)]
    messages = [Message.model_validate({"role": role, "content": content}) for role, content in turns]
    return Sample.make(messages, task="chat", **({"origin": "teacher"} | rest))


def context() -> FunnelContext:
    return FunnelContext(FakeEncoder(), [])


WRITTEN = [
    sample("my router is red"),
    sample("my mail is a@b.cn"),
    sample("hello", assistant="call 13800138000"),
    sample("hello", system=f"use {GITHUB}"),
    sample(f"{GITHUB} of a@b.cn"),
]


def test_any_message_can_be_the_reason_of_a_drop() -> None:
    kept, dropped, counts = Funnel(filters=(PersonalData(),)).split(WRITTEN, context())
    assert kept == WRITTEN[:1]
    assert [one.reject_reason for one in dropped] == ["personal_data", "personal_data", "secret", "secret"]
    assert [one.messages for one in dropped] == [one.messages for one in WRITTEN[1:]]
    assert (counts[0].filter, counts[0].dropped) == ("personal_data", {"personal_data": 2, "secret": 2})


def test_masking_keeps_every_sample_and_writes_each_message_anew() -> None:
    kept, dropped, counts = Funnel(filters=(PersonalData(action="mask"),)).split(WRITTEN, context())
    assert [[turn.content for turn in one.messages] for one in kept] == [
        ["be kind", "my router is red", "sure"],
        ["be kind", "my mail is [EMAIL]", "sure"],
        ["be kind", "hello", "call [PHONE]"],
        ["use [SECRET]", "hello", "sure"],
        ["be kind", "[SECRET] of [EMAIL]", "sure"],
    ]
    assert (dropped, counts[0].rows_in, counts[0].rows_out) == ([], 5, 5)


def test_a_masked_sample_is_another_one_with_the_same_history() -> None:
    rest = {"source": "mock", "round": "r1", "parent_id": "seed-1", "label": "x", "weight": 2.0}
    before = sample("my mail is a@b.cn", controls={"style": "terse"}, **rest).with_scores(seen=0.5)
    (after,), _, _ = Funnel(filters=(PersonalData(action="mask"),)).split([before], context())
    assert after == sample("my mail is [EMAIL]", controls={"style": "terse"}, **rest).with_scores(seen=0.5)
    assert after.id != before.id


def test_a_clean_sample_is_the_same_after_masking() -> None:
    assert PersonalData(action="mask")(WRITTEN[:1], context()).changed == {}


def test_texts_that_masking_makes_alike_are_duplicates_for_the_filters_after_it() -> None:
    written = [sample("my mail is a@b.cn"), sample("my mail is c@d.cn")]
    funnel = Funnel.model_validate(
        {"filters": [{"kind": "personal_data", "action": "mask"}, {"kind": "exact_duplicates"}]}
    )
    kept, dropped, _ = funnel.split(written, context())
    assert ([one.prompt for one in kept], [one.reject_reason for one in dropped]) == (
        ["my mail is [EMAIL]"],
        ["duplicate"],
    )


def test_the_filter_looks_only_for_its_kinds() -> None:
    assert PersonalData(kinds=("phone", "ip"))([sample("a@b.cn"), sample("at 8.8.8.8")], context()).reasons == [
        None,
        "personal_data",
    ]


def test_a_row_that_is_changed_and_dropped_is_dropped_as_what_it_became() -> None:
    class Both(Rules):
        def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
            return Judgements(["why"], {"score": [1.0]}, {0: sample("changed")})

    _, (dropped,), _ = Funnel(filters=(Both(),)).split([sample("before")], context())
    assert (dropped.prompt, dropped.reject_reason, dropped.scores) == ("changed", "why", {"score": 1.0})


def test_the_filter_is_not_part_of_the_default_funnel() -> None:
    assert not any(isinstance(judge, PersonalData) for judge in Funnel().filters)
