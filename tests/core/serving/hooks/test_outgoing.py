"""Notices go out signed, to addresses that were checked, again after a failure, and survive a kill."""

import asyncio
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError
from wheelwork.core.errors import ConfigError
from wheelwork.core.serving.hooks.addresses import checked
from wheelwork.core.serving.hooks.notices import Notice
from wheelwork.core.serving.hooks.outbox import Outbox
from wheelwork.core.serving.hooks.outgoing import Courier, Delivered, wait_after
from wheelwork.core.serving.hooks.settings import Receiver

SECRET = "whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
NOTICE = Notice(
    event="round.verdict", at=1_700_000_000.0, loop="tiny", round="0001-abc", version="3", verdict="promoted",
    reasons=("holdout: better",), link="http://127.0.0.1:5000/#/runs/1",
)  # fmt: skip


class Sink(http.server.ThreadingHTTPServer):
    """A receiver that answers with `statuses`, the last of them for ever, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.statuses = [200]
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.wait = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/news?a=1"


class Taking(http.server.BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.wait)
        self.server.got.append((self.path, dict(self.headers.items()), body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Location", self.server.url.replace("news", "elsewhere"))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def receiver(url: str, **more: Any) -> Receiver:
    return Receiver.model_validate({"url": url, "secret_env": "NEWS", "allow_private": True} | more)


class Post:
    """An outbox and a courier whose clock is moved by hand."""

    def __init__(self, home: Path, **given: Any) -> None:
        self.now = NOTICE.at
        self.outbox = Outbox(home)
        environment = {"NEWS": SECRET}
        self.courier = Courier(
            self.outbox, **{"environment": environment, "clock": lambda: self.now, "draw": lambda: 0.5} | given
        )

    def deliver(self) -> Delivered:
        return asyncio.run(self.courier.deliver())


def test_a_notice_arrives_signed_as_the_library_verifies_it(tmp_path: Path, sink: Sink) -> None:
    post = Post(tmp_path, clock=time.time)
    assert post.outbox.put(NOTICE, [receiver(sink.url)], "round 1") == 1
    assert post.deliver() == Delivered(sent=1)
    path, headers, body = sink.got[0]
    assert path == "/news?a=1" and headers["Host"] == f"127.0.0.1:{sink.server_port}"
    assert Webhook(SECRET).verify(body, headers) == {
        "type": "round.verdict",
        "timestamp": "2023-11-14T22:13:20.000+00:00",
        "data": {
            "loop": "tiny", "round": "0001-abc", "version": "3", "verdict": "promoted", "reasons": ["holdout: better"],
            "link": "http://127.0.0.1:5000/#/runs/1",
        },
    }  # fmt: skip
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "B" * 32).verify(body, headers)
    assert post.deliver() == Delivered() and post.outbox.counts() == {"sent": 1}


def test_only_those_are_told_who_want_it_and_each_once(tmp_path: Path, sink: Sink) -> None:
    post = Post(tmp_path)
    both = [receiver(sink.url), receiver(sink.url + "&b=2", events=["drift.detected"])]
    assert [post.outbox.put(NOTICE, both, "round 1") for _ in range(2)] == [1, 1]
    post.deliver()
    post.outbox.put(NOTICE, both, "round 1")  # a task that is tried again after its notice went out
    post.deliver()
    assert len(sink.got) == 1


def test_what_fails_is_tried_again_later_under_the_same_id(tmp_path: Path, sink: Sink) -> None:
    post = Post(tmp_path)
    sink.statuses = [500, 302, 200]
    post.outbox.put(NOTICE, [receiver(sink.url)], "round 1")
    assert post.deliver() == Delivered(failed=1, next_due=post.now + 5)
    assert post.deliver() == Delivered()  # not yet
    post.now += 5
    assert post.deliver() == Delivered(failed=1, next_due=post.now + 15)  # a redirect is not followed
    post.now += 15
    assert post.deliver() == Delivered(sent=1)
    assert len({headers["webhook-id"] for _, headers, _ in sink.got}) == 1
    assert [headers["webhook-timestamp"] for _, headers, _ in sink.got] == ["1700000000", "1700000005", "1700000020"]
    assert {path for path, _, _ in sink.got} == {"/news?a=1"}


def test_it_is_given_up_after_the_attempts_or_at_once_when_it_is_gone(tmp_path: Path, sink: Sink) -> None:
    post = Post(tmp_path)
    sink.statuses = [500]
    post.outbox.put(NOTICE, [receiver(sink.url, attempts=2)], "round 1")
    assert post.deliver().failed == 1
    post.now += 60
    assert post.deliver() == Delivered(given_up=1)
    sink.statuses = [410]
    post.outbox.put(NOTICE, [receiver(sink.url)], "round 2")
    assert post.deliver() == Delivered(given_up=1) and post.outbox.counts() == {"given up": 2}


def test_insisting_waits_between_attempts_and_leaves_the_rest(tmp_path: Path, sink: Sink) -> None:
    post, slept = Post(tmp_path), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        post.now += seconds

    sink.statuses = [500, 500, 500, 500, 200]
    post.outbox.put(NOTICE, [receiver(sink.url)], "round 1")
    left = asyncio.run(post.courier.insist(30, sleep))
    assert (left.sent, left.failed, slept) == (0, 1, [5.0, 15.0])
    assert post.outbox.counts() == {"waiting": 1}
    post.now += 3600
    assert asyncio.run(post.courier.insist(300, sleep)).sent == 1


def test_a_courier_that_stays_sends_what_comes_and_outlives_a_damaged_outbox(tmp_path: Path, sink: Sink) -> None:
    post = Post(tmp_path)

    async def stays() -> None:
        (tmp_path / "notices.db").mkdir()
        staying = asyncio.create_task(post.courier.forever(0.01))
        await asyncio.sleep(0.1)
        (tmp_path / "notices.db").rmdir()
        post.outbox.put(NOTICE, [receiver(sink.url)], "round 1")
        for _ in range(500):
            if sink.got:
                break
            await asyncio.sleep(0.01)
        assert not staying.done()
        staying.cancel()

    asyncio.run(stays())
    assert len(sink.got) == 1


def test_a_slow_receiver_and_one_that_is_not_there_fail_in_time(tmp_path: Path, sink: Sink) -> None:
    post = Post(tmp_path)
    sink.wait = 1.0
    post.outbox.put(NOTICE, [receiver(sink.url, timeout=0.1), receiver("http://127.0.0.1:9/")], "round 1")
    started = time.monotonic()
    assert post.deliver().failed == 2 and time.monotonic() - started < 0.9


def test_no_secret_sends_nothing_and_says_why(tmp_path: Path, sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    post = Post(tmp_path, environment={"NEWS": "whsec_short"})
    post.outbox.put(NOTICE, [receiver(sink.url, attempts=1)], "round 1")
    assert post.deliver().given_up == 1 and sink.got == []
    assert "the variable NEWS holds no secret" in caplog.text and "whsec_short" not in caplog.text


def test_waits_grow_threefold_and_are_spread() -> None:
    assert [wait_after(n, 0.5) for n in range(4)] == [5, 15, 45, 135]
    assert (wait_after(0, 0.0), wait_after(30, 0.5)) == (2.5, 6 * 3600)


# where it may go


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "begins with https://"),
        ("https:///path", "begins with https://"),
        ("http://example.com/", "http is for this machine"),
        ("https://user:word@example.com/", "no user or password"),
        ("https://example.com/#x", "no fragment"),
        ("https://exa mple.com/", "no blank"),
        ("https://example.com:99999/", "no URL"),
    ],
)
def test_urls_that_are_refused_at_load_time(url: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Receiver(url=url, secret_env="NEWS")


def target(url: str, addresses: Sequence[str], allow_private: bool = False) -> Any:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return asyncio.run(checked(url, allow_private, resolve))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1",
     "64:ff9b::a00:1", "2002:7f00:1::", "0.0.0.0", "255.255.255.255", "192.0.2.1"],
)  # fmt: skip
def test_addresses_that_are_not_on_the_open_internet_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="nothing is sent there"):
        target("https://example.com/", [address])
    with pytest.raises(ConfigError, match="nothing is sent there"):
        target("https://example.com/", ["93.184.216.34", address])  # one bad address spoils the name


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "::ffff:169.254.169.254", "224.0.0.1"]
)
def test_some_addresses_are_refused_whatever_is_allowed(address: str) -> None:
    with pytest.raises(ConfigError, match="nothing is sent there"):
        target("https://example.com/", [address], allow_private=True)


def test_the_checked_address_is_what_is_connected_to(tmp_path: Path, sink: Sink) -> None:
    asked = list[str]()

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)  # a second question would get another answer
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    post = Post(tmp_path, resolve=resolve)
    post.outbox.put(NOTICE, [receiver(f"http://news.example:{sink.server_port}/")], "round 1")
    assert post.deliver().sent == 1 and asked == ["news.example"]
    assert sink.got[0][1]["Host"] == f"news.example:{sink.server_port}"


def test_http_beyond_this_machine_is_refused_though_private_is_allowed() -> None:
    with pytest.raises(ConfigError, match="use https"):
        target("http://intranet.example/", ["10.0.0.1"], allow_private=True)
    assert target("https://intranet.example/x?y", ["10.0.0.1"], allow_private=True).path == "/x?y"


# kills

SENDING = """
import asyncio, os, signal, sys
from pathlib import Path
from wheelwork.core.serving.hooks.outbox import Outbox
from wheelwork.core.serving.hooks.outgoing import Courier

class Killed(Outbox):
    def sent(self, notice):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(Courier(Killed(Path(sys.argv[1]))).deliver())
"""


def test_a_kill_between_sending_and_writing_down_sends_it_again_under_the_same_id(tmp_path: Path, sink: Sink) -> None:
    post = Post(tmp_path)
    post.outbox.put(NOTICE, [receiver(sink.url)], "round 1")
    done = subprocess.run(
        [sys.executable, "-c", SENDING, str(tmp_path)], env={**os.environ, "NEWS": SECRET}, timeout=120
    )
    assert done.returncode == -signal.SIGKILL and len(sink.got) == 1
    post.now = time.time()
    assert post.deliver() == Delivered()  # it may be under way still
    post.now += 121
    assert post.deliver() == Delivered(sent=1)
    assert len({headers["webhook-id"] for _, headers, _ in sink.got}) == 1
    assert json.loads(sink.got[1][2]) == json.loads(sink.got[0][2])
