"""A thousand webhooks that are forged, stale, replayed, oversized or no webhooks at all: none taken, none crashes."""

import asyncio
import json
import random
import string
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.serving.hooks.incoming import Answer
from wheelwork.tests.core.serving.hooks.parts import Door, signed, signed_by_github

GOOD = json.dumps({"type": "data.refreshed", "data": {"samples": 30}}).encode()
Attack = tuple[str, dict[str, str], bytes]


def flipped(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text))
    return text[:at] + draw.choice([c for c in string.ascii_letters + string.digits if c != text[at]]) + text[at + 1 :]


def forged(door: Door, draw: random.Random, number: int) -> Attack:
    """One of the ways in which a webhook is not what it says."""
    standard = signed(door.secret["standard"], GOOD, f"new{number}")
    github = signed_by_github(door.secret["github"], GOOD, "push", f"new{number}")
    other = signed("whsec_" + "A" * 40, GOOD, f"new{number}")
    version, mac = standard["webhook-signature"].split(",")
    times = ["", "nan", "inf", "-1", "1e9", "٣", "9" * 40]
    broken = ["v1,ÿ", "v1,", ",", "v1,a,b", "v1," + "x" * 9999]
    now = time.time()
    ways: dict[str, tuple[dict[str, str], bytes]] = {
        "unsigned": ({}, GOOD),
        "another secret": (other, GOOD),
        "another body": (standard, GOOD.replace(b"30", b"31")),
        "another id": (standard | {"webhook-id": f"other{number}"}, GOOD),
        "another time": (standard | {"webhook-timestamp": str(int(time.time()) - draw.randint(1, 299))}, GOOD),
        "stale": (signed(door.secret["standard"], GOOD, "old", now - draw.randint(301, 10**6)), GOOD),
        "from the future": (signed(door.secret["standard"], GOOD, "new", now + draw.randint(310, 10**6)), GOOD),
        "no time": (standard | {"webhook-timestamp": draw.choice(times)}, GOOD),
        "no id": (standard | {"webhook-id": draw.choice(["", "a.b", "x" * 300, "é", " "])}, GOOD),
        "no version": (standard | {"webhook-signature": mac}, GOOD),
        "asymmetric version": (standard | {"webhook-signature": f"v1a,{mac}"}, GOOD),
        "cut": (standard | {"webhook-signature": f"{version},{mac[: draw.randrange(len(mac) - 2)]}"}, GOOD),
        "no base64": (standard | {"webhook-signature": draw.choice(broken)}, GOOD),
        "as GitHub, forged": (github | {"X-Hub-Signature-256": "sha256=" + "0" * 64}, GOOD),
        "as GitHub, SHA-1": ({"X-Hub-Signature": "sha1=" + "0" * 40, "X-GitHub-Event": "push"}, GOOD),
        "as GitHub, empty": (github | {"X-Hub-Signature-256": draw.choice(["", "sha256=", "sha256=ÿ"])}, GOOD),
        "both": (standard | github, GOOD),
        "key of another sender": (signed(door.secret["github"].encode(), GOOD), GOOD),
        "as MLflow, forged": ({"X-MLflow-Signature": f"v1,{mac}", "X-MLflow-Delivery-Id": "1"}, GOOD),
        "oversized": (signed(door.secret["standard"], GOOD + b" " * 5000), GOOD + b" " * 5000),
        "no UTF-8": (standard, b"\xff\xfe" + GOOD),
        "no body": (standard, b""),
    }  # fmt: skip
    name = list(ways)[number % len(ways)]
    return (name, *ways[name])


def attacks(door: Door, count: int) -> Iterator[Attack]:
    draw = random.Random(0)
    for number in range(count):
        name, headers, body = forged(door, draw, number)
        if name in ("cut", "another secret") and draw.random() < 0.5:  # one wrong letter, too
            headers = headers | {"webhook-signature": "v1," + flipped(headers["webhook-signature"][3:] or "x", draw)}
        yield name, headers, body


def test_none_of_a_thousand_is_taken_and_none_crashes(tmp_path: Path) -> None:
    door = Door(tmp_path)

    async def all_of_them() -> list[tuple[str, Answer]]:
        return [(name, await door.hooks.handle("tiny", headers, body)) for name, headers, body in attacks(door, 1000)]

    answers = asyncio.run(all_of_them())
    assert {status for _, (status, _, _) in answers} == {401, 413}
    assert all(set(told["error"]) == {"message", "type", "param", "code"} for _, (_, _, told) in answers)
    assert door.prefect.asked == 0 and door.nudged == []
    assert door.standard(GOOD)[0] == 202  # and one that is right still is


def test_of_a_thousand_replays_none_starts_a_run(tmp_path: Path) -> None:
    door = Door(tmp_path)
    taken = [(signed(door.secret["standard"], GOOD, f"m{n}"), GOOD) for n in range(5)]
    bodies = [json.dumps({"ref": n}).encode() for n in range(5)]
    taken += [(signed_by_github(door.secret["github"], body, "push", f"g{n}"), body) for n, body in enumerate(bodies)]

    async def all_of_them() -> list[int]:
        first = [(await door.hooks.handle("tiny", *one))[0] for one in taken]
        draw = random.Random(1)
        door.hooks = door.opened()
        found = []
        for number in range(1000):
            headers, body = draw.choice(taken)
            if "X-GitHub-Delivery" in headers and draw.random() < 0.5:
                headers = headers | {"X-GitHub-Delivery": f"other{number}"}
            found.append((await door.hooks.handle("tiny", headers, body))[0])
        assert first == [202] * 10
        return found

    assert set(asyncio.run(all_of_them())) == {200}
    assert door.prefect.asked == 10


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Door:
    return Door(tmp_path_factory.mktemp("door"))


names = st.sampled_from(
    ["webhook-id", "webhook-timestamp", "webhook-signature", "x-hub-signature-256", "x-github-event",
     "x-github-delivery", "x-mlflow-signature", "x-mlflow-timestamp", "x-mlflow-delivery-id", "Content-Type"]
)  # fmt: skip


@settings(max_examples=300)
@given(headers=st.dictionaries(names, st.text(max_size=40)), body=st.binary(max_size=200), loop=st.text(max_size=20))
def test_any_headers_and_any_bytes_are_refused(door: Door, headers: dict[str, str], body: bytes, loop: str) -> None:
    assert door.take(headers, body)[0] in (401, 404, 413)
    assert door.take(headers, body, loop=loop)[0] in (401, 404, 413)
    assert door.prefect.asked == 0


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(data=values, kind=st.sampled_from(["data.refreshed", "champion.bad", "other"]) | values)
def test_any_signed_body_is_taken_within_its_bounds_or_refused(door: Door, data: object, kind: object) -> None:
    body = json.dumps({"type": kind, "data": data}).encode()
    before = len(door.prefect.runs)
    status, _, _ = door.take(signed(door.secret["standard"], body, f"h{time.monotonic_ns()}"), body)
    assert status in (202, 400, 422)
    if status == 202:
        _, parameters = list(door.prefect.runs.values())[-1]
        assert set(parameters) <= {"loop", "samples", "from_step", "reason", "to"}
        assert parameters["loop"] == "/loops/tiny" and 0 <= int(parameters.get("samples", 0)) <= 500
    else:
        assert len(door.prefect.runs) == before
