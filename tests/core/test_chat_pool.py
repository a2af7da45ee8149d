"""Several teachers behind one chat: shares, standing in, and the same one for the same request."""

import asyncio
from pathlib import Path

import pytest
from wheelwork.core.chat.cache import CachedChat, ReplyCache
from wheelwork.core.chat.messages import ChatRequest, Reply
from wheelwork.core.chat.pool import ChatPool, Member
from wheelwork.core.errors import BudgetSpent, TeacherError
from wheelwork.core.samples import Message
from wheelwork.tests.fakes import impatiently


def ask(text: str = "hi", seed: int = 0, **rest: object) -> ChatRequest:
    return ChatRequest.model_validate({"messages": (Message(role="user", content=text),), "seed": seed, **rest})


class Named:
    """Answers with its name; raises `error` while there is one."""

    def __init__(self, name: str, parallel: int = 1, error: Exception | None = None) -> None:
        self.fingerprint = name
        self.parallel = parallel
        self.error = error
        self.asked = 0
        self.closed = False

    async def __call__(self, request: ChatRequest) -> Reply:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Reply(text=self.fingerprint)

    async def aclose(self) -> None:
        self.closed = True


def pool(*members: tuple[Named, float]) -> ChatPool:
    return ChatPool([Member(chat, weight) for chat, weight in members])


def test_each_gets_its_share_and_the_same_request_the_same_one() -> None:
    one, other, spare = Named("one"), Named("other"), Named("spare")
    requests = [ask(f"request {number}", seed=number % 7) for number in range(2000)]

    async def answers(chats: ChatPool) -> list[str]:
        return [(await chats(request)).text for request in requests]

    first = impatiently(answers(pool((one, 3), (other, 1), (spare, 0))))[0]
    assert 1400 < first.count("one") < 1600
    assert first.count("spare") == 0
    assert impatiently(answers(pool((one, 3), (other, 1), (spare, 0))))[0] == first


def test_only_messages_and_seed_decide() -> None:
    chats = pool((Named("one"), 1), (Named("other"), 1))
    assert len({chats.first(ask(max_tokens=tokens)) for tokens in range(1, 50)}) == 1
    assert {chats.first(ask(seed=seed)) for seed in range(50)} == {0, 1}


def test_the_next_in_the_list_stands_in() -> None:
    a, b, c = Named("a", error=TeacherError("a is down")), Named("b", error=TeacherError("b is down")), Named("c")
    assert impatiently(pool((a, 0), (b, 1), (c, 0))(ask()))[0].text == "c"
    assert (b.asked, a.asked, c.asked) == (1, 1, 1)


def test_when_none_answers_each_is_named() -> None:
    a, b = Named("a", error=TeacherError("a is down")), Named("b", error=TeacherError("b is down"))
    with pytest.raises(TeacherError, match="none of 2 teachers answered: a is down; b is down"):
        impatiently(pool((a, 1), (b, 0))(ask()))
    with pytest.raises(TeacherError, match=r"^a is down"):
        impatiently(pool((a, 1))(ask()))


@pytest.mark.parametrize("error", [BudgetSpent("spent"), AssertionError("a bug")])
def test_nobody_stands_in_for_what_is_no_failure_of_a_teacher(error: Exception) -> None:
    spare = Named("spare")
    with pytest.raises(type(error)):
        impatiently(pool((Named("a", error=error), 1), (spare, 0))(ask()))
    assert spare.asked == 0


def test_who_failed_three_times_in_a_row_rests_for_half_a_minute() -> None:
    ill, spare = Named("ill", error=TeacherError("down")), Named("spare")

    async def play() -> list[int]:
        chats, asked = pool((ill, 1), (spare, 0)), []
        for wait in (0, 0, 0, 0, 29, 2):
            await asyncio.sleep(wait)
            assert (await chats(ask())).text == "spare"
            asked.append(ill.asked)
        ill.error = None
        assert (await chats(ask())).text == "ill"
        return asked

    assert impatiently(play())[0] == [1, 2, 3, 3, 3, 4]


def test_it_is_as_wide_as_all_and_named_by_all() -> None:
    a, b = Named("a", 3), Named("b", 4)
    assert pool((a, 1), (b, 2)).parallel == 7
    prints = [pool((a, 1), (b, 2)), pool((a, 1.0), (b, 2.0)), pool((a, 2), (b, 1)), pool((b, 2), (a, 1)), pool((a, 1))]
    assert len({chats.fingerprint for chats in prints}) == 4
    assert prints[0].fingerprint == prints[1].fingerprint
    impatiently(prints[0].aclose())
    assert (a.closed, b.closed) == (True, True)
    with pytest.raises(ValueError):
        ChatPool([])


def test_a_reply_is_kept_under_the_pool(tmp_path: Path) -> None:
    a, b = Named("a", error=TeacherError("down")), Named("b")
    cached = CachedChat(pool((a, 1), (b, 0)), ReplyCache(tmp_path / "replies.db"))
    assert impatiently(cached(ask()))[0].text == "b"
    a.error = None
    assert impatiently(cached(ask()))[0].text == "b"
    assert (cached.calls, cached.hits, a.asked) == (1, 1, 1)
