"""Replies that are kept: none is lost by a kill, none is asked for twice, and many are asked for in order."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.chat.cache import CachedChat, ReplyCache, ask_all, replies_to
from wheelwork.core.chat.messages import Chat, ChatRequest, Choice, Reply
from wheelwork.core.errors import BudgetSpent, TeacherError, WorkspaceError
from wheelwork.core.samples import Message
from wheelwork.tests.fakes import ScriptedChat, impatiently


def ask(text: str = "hi", seed: int = 0) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), seed=seed)


async def texts(chat: Chat, requests: Sequence[ChatRequest]) -> list[str]:
    return [reply.text async for reply in ask_all(chat, requests)]


# the cache


def test_a_reply_is_there_after_reopening(tmp_path: Path) -> None:
    reply = Reply(text="光猫 \u2028 'x' \0", finish="length", prompt_tokens=3, completion_tokens=2)
    cache = ReplyCache(tmp_path / "deep" / "replies.db")
    cache.put("k", reply)
    assert cache.get("other") is None
    cache.close()
    again = ReplyCache(tmp_path / "deep" / "replies.db")
    assert again.get("k") == reply
    assert len(again) == 1


def test_the_last_reply_put_under_a_key_counts(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.db")
    cache.put("k", Reply(text="a"))
    cache.put("k", Reply(text="b"))
    assert (cache.get("k"), len(cache)) == (Reply(text="b"), 1)


def test_a_kill_loses_no_reply(tmp_path: Path) -> None:
    path, puts = tmp_path / "replies.db", 50
    endless = """
        import itertools, sys
        from pathlib import Path
        from wheelwork.core.chat.cache import ReplyCache
        from wheelwork.core.chat.messages import Reply
        cache = ReplyCache(Path(sys.argv[1]))
        for number in itertools.count():
            cache.put(f"key {number}", Reply(text=f"reply {number}"))
            print(number, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(endless), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            done = [int(child.stdout.readline()) for _ in range(puts)]
        finally:
            child.kill()  # in the middle of a later put
        done += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    assert child.returncode == -signal.SIGKILL
    cache = ReplyCache(path)
    assert [cache.get(f"key {number}") for number in done] == [Reply(text=f"reply {number}") for number in done]
    assert len(done) <= len(cache) <= len(done) + 1


def test_a_second_process_may_write_at_the_same_time(tmp_path: Path) -> None:
    one, other = (ReplyCache(tmp_path / "replies.db") for _ in range(2))
    one.put("a", Reply(text="1"))
    other.put("b", Reply(text="2"))
    assert (one.get("b"), other.get("a")) == (Reply(text="2"), Reply(text="1"))


def test_a_file_that_is_no_cache_is_told(tmp_path: Path) -> None:
    (tmp_path / "replies.db").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(WorkspaceError, match=r"replies\.db: the reply cache cannot be"):
        ReplyCache(tmp_path / "replies.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(WorkspaceError, match=r"folder\.db: the reply cache cannot be"):
        ReplyCache(tmp_path / "folder.db")


# the cached chat


def test_what_was_asked_once_is_not_asked_again(tmp_path: Path) -> None:
    chat = ScriptedChat(["one two", "three"])
    cached = CachedChat(chat, ReplyCache(tmp_path / "replies.db"))
    assert impatiently(texts(cached, [ask("a"), ask("b")]))[0] == ["one two", "three"]
    assert (cached.calls, cached.hits, cached.completion_tokens) == (2, 0, 3)
    later = CachedChat(chat, ReplyCache(tmp_path / "replies.db"))
    assert impatiently(texts(later, [ask("b"), ask("a")]))[0] == ["three", "one two"]
    assert (later.calls, later.hits, later.completion_tokens) == (0, 2, 0)
    assert len(chat.asked) == 2


def test_two_equal_requests_at_once_are_one_call(tmp_path: Path) -> None:
    chat = ScriptedChat(["first", "second"], parallel=4)
    cached = CachedChat(chat, ReplyCache(tmp_path / "replies.db"))
    assert impatiently(texts(cached, [ask("a"), ask("a"), ask("b"), ask("a")]))[0] == [
        "first",
        "first",
        "second",
        "first",
    ]
    assert (cached.calls, cached.hits) == (2, 2)


def test_another_model_or_another_seed_is_another_call(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.db")
    for fingerprint, seed, said in [("one", 0, "a"), ("two", 0, "b"), ("one", 1, "c")]:
        cached = CachedChat(ScriptedChat([said], fingerprint=fingerprint), cache)
        assert impatiently(cached(ask(seed=seed)))[0].text == said
    assert len(cache) == 3


def test_an_error_is_not_kept(tmp_path: Path) -> None:
    cached = CachedChat(ScriptedChat([TeacherError("down"), "up"]), ReplyCache(tmp_path / "replies.db"))
    with pytest.raises(TeacherError, match="down"):
        impatiently(cached(ask()))
    assert impatiently(cached(ask()))[0].text == "up"
    assert (cached.calls, cached.hits) == (1, 0)


def test_a_cached_chat_is_as_wide_and_as_named_as_what_it_wraps(tmp_path: Path) -> None:
    chat = ScriptedChat(parallel=7, fingerprint="f")
    cached = CachedChat(chat, ReplyCache(tmp_path / "replies.db"))
    assert (cached.parallel, cached.fingerprint) == (7, "f")
    impatiently(cached.aclose())
    assert chat.closed


# many requests


class Waiting:
    """Answers a request with its text after as many seconds as its seed says; a negative seed is an error."""

    fingerprint = "waiting"

    def __init__(self, parallel: int) -> None:
        self.parallel = parallel
        self.begun: list[str] = []
        self.cancelled: list[str] = []

    async def __call__(self, request: ChatRequest) -> Reply:
        text = request.messages[0].content
        self.begun.append(text)
        try:
            await asyncio.sleep(abs(request.seed))
        except asyncio.CancelledError:
            self.cancelled.append(text)
            raise
        if request.seed < 0:
            raise TeacherError(f"{text} failed")
        return Reply(text=text)

    async def aclose(self) -> None: ...


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 100), max_size=12), st.integers(0, 5))
def test_replies_come_in_the_order_of_the_requests(seconds: list[int], parallel: int) -> None:
    names = [f"request {number}" for number in range(len(seconds))]
    requests = [ask(*pair) for pair in zip(names, seconds, strict=True)]
    assert impatiently(texts(Waiting(parallel), requests))[0] == names


def test_a_slow_call_does_not_hold_up_the_others() -> None:
    requests = [ask("slow", 10), *(ask(f"{number}", 1) for number in range(9))]
    assert impatiently(texts(Waiting(2), requests))[1] == pytest.approx(10, abs=0.2)


def test_the_first_error_ends_the_rest() -> None:
    chat = Waiting(parallel=3)
    requests = [ask("good", 1), ask("bad", -2), ask("endless", 10**6), ask("late", 10**6), ask("never", 1)]
    got: list[str] = []

    async def all_of() -> None:
        async for reply in ask_all(chat, requests):
            got.append(reply.text)

    with pytest.raises(TeacherError, match="bad failed"):
        impatiently(all_of())
    assert got == ["good"]
    assert chat.begun == ["good", "bad", "endless", "late"]
    assert sorted(chat.cancelled) == ["endless", "late"]


def test_an_error_is_told_at_once_and_not_in_its_turn() -> None:
    chat = Waiting(parallel=2)
    with pytest.raises(TeacherError, match="bad failed"):
        impatiently(texts(chat, [ask("endless", 10**6), ask("bad", -2), ask("never", 1)]))
    assert chat.begun == ["endless", "bad"]


def test_a_call_that_is_cancelled_from_within_does_not_leave_its_reader_waiting() -> None:
    class Cancelled(Waiting):
        async def __call__(self, request: ChatRequest) -> Reply:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        impatiently(asyncio.wait_for(texts(Cancelled(2), [ask("a"), ask("b")]), timeout=10**6))


def test_who_stops_listening_stops_the_calls() -> None:
    chat = Waiting(parallel=2)

    async def first_of() -> str:
        replies = ask_all(chat, [ask("a", 1), ask("b", 10**6), ask("c", 10**6)])
        async for reply in replies:
            await replies.aclose()
            return reply.text
        raise AssertionError

    assert impatiently(first_of()) == ("a", pytest.approx(1, abs=0.2))
    assert chat.begun == ["a", "b", "c"]
    assert sorted(chat.cancelled) == ["b", "c"]


def test_requests_are_drawn_as_they_are_needed_and_no_more_than_a_window_is_held() -> None:
    drawn = 0

    def endless() -> Iterator[ChatRequest]:
        nonlocal drawn
        while True:
            drawn += 1
            yield ask(f"{drawn}", 10**5 if drawn == 201 else 1)  # one call that is very slow

    async def play() -> list[int]:
        ahead = []
        async with aclosing(ask_all(Waiting(parallel=30), endless())) as replies:
            async for reply in replies:
                ahead.append(drawn - int(reply.text))
                if reply.text == "300":
                    return ahead
        raise AssertionError

    ahead = impatiently(play())[0]
    assert max(ahead) <= 4 * 30
    assert ahead[200] == 4 * 30 - 1  # while it was awaited, the others ran ahead as far as they may


def test_an_error_of_who_makes_the_requests_is_told() -> None:
    def broken() -> Iterator[ChatRequest]:
        yield ask("a")
        raise ValueError("no more orders")

    with pytest.raises(ValueError, match="no more orders"):
        impatiently(replies_to(Waiting(2), broken()))


def test_a_spent_budget_lets_calls_under_way_end_and_gives_out_what_there_is() -> None:
    class Spent(Waiting):
        async def __call__(self, request: ChatRequest) -> Reply:
            if len(self.begun) == 5:
                raise BudgetSpent("the budget is spent")
            return await super().__call__(request)

    chat, got = Spent(parallel=3), list[str]()

    async def all_of() -> None:
        async for reply in ask_all(chat, (ask(f"{number}", number) for number in range(10**9))):
            got.append(reply.text)

    with pytest.raises(BudgetSpent, match="the budget is spent"):
        impatiently(all_of())
    assert got == ["0", "1", "2", "3", "4"]
    assert chat.cancelled == []


# many replies kept at once


def test_replies_that_come_together_are_kept_together(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.db")

    async def play() -> None:
        await asyncio.gather(*(cache.keep(f"key {number}", Reply(text=f"{number}")) for number in range(100)))
        other = ReplyCache(tmp_path / "replies.db")
        assert [other.get(f"key {number}") for number in range(100)] == [Reply(text=f"{n}") for n in range(100)]

    asyncio.run(play())
    assert len(cache) == 100


def test_a_reply_whose_reader_is_cancelled_is_kept(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.db")

    async def play() -> None:
        keeping = [asyncio.ensure_future(cache.keep(key, Reply(text=key))) for key in "ab"]
        await asyncio.sleep(0)
        keeping[0].cancel()
        await asyncio.gather(*keeping, return_exceptions=True)

    asyncio.run(play())
    assert (cache.get("a"), cache.get("b")) == (Reply(text="a"), Reply(text="b"))


def test_a_reply_that_cannot_be_kept_is_told_to_all_who_wait(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.db")
    blocking = sqlite3.connect(tmp_path / "replies.db", isolation_level=None)
    blocking.execute("BEGIN IMMEDIATE")
    cache._db.execute("PRAGMA busy_timeout=10")

    async def play() -> list[object]:
        return await asyncio.gather(*(cache.keep(key, Reply(text=key)) for key in "abc"), return_exceptions=True)

    assert [type(outcome) for outcome in asyncio.run(play())] == [WorkspaceError] * 3
    blocking.execute("ROLLBACK")
    asyncio.run(play())
    assert len(cache) == 3


def test_all_choices_of_a_reply_are_kept(tmp_path: Path) -> None:
    reply = Reply(text="a", more=(Choice(text="b", finish="length"), Choice(text="c")))
    cache = ReplyCache(tmp_path / "replies.db")
    cache.put("k", reply)
    assert cache.get("k") == reply


def test_a_file_from_before_is_read_and_written(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "replies.db", isolation_level=None)
    old.execute("CREATE TABLE replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
    old.execute('INSERT INTO replies VALUES (?, \'{"text":"a","finish":"stop","prompt_tokens":1}\')', ("k",))
    old.close()
    cache = ReplyCache(tmp_path / "replies.db")
    assert cache.get("k") == Reply(text="a", prompt_tokens=1)
    cache.put("l", Reply(text="b"))
    assert len(cache) == 2
