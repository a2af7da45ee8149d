"""The gateway when things happen: champions that change under load, kills under load, webhooks that nobody signed."""

import asyncio
import json
import random
import secrets
import signal
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import orjson

from .results import Figure
from .serving_load import Reply, closed_loop, connected, open_loop, percentile, post, question
from .serving_processes import Place

SYSTEM = "gateway"
LOOP = "bench"
LOST = 0.1  # seconds before a kill that exchanges may be lost of


async def swapped(place: Place, share: float) -> list[Figure]:
    """Fifty promotions under 100 requests a second: no reply fails, none is of two versions."""
    swaps, port = max(5, int(50 * share)), place.gateway()
    seen: list[tuple[float, str]] = []  # when, which version
    moved: list[tuple[float, str]] = []
    wrong = {"failed": 0, "mixed": 0}

    def look(reply: Reply) -> None:
        told = orjson.loads(reply.body) if reply.status == 200 else None
        if told is None:
            wrong["failed"] += 1
            return
        named, said = told["model"].rpartition("@v")[2], told["choices"][0]["message"]["content"].rpartition("-v")[2]
        wrong["mixed"] += named != said
        seen.append((reply.at, named))

    async def promote() -> None:
        for number in range(swaps):
            await asyncio.sleep(2.5)
            version = str(2 + number)
            moved.append((time.perf_counter(), version))
            place.champion(version)

    load = asyncio.create_task(open_loop(port, 100, 2.5 * (swaps + 1), partial(_ask, port)))
    await promote()
    for reply in await load:
        look(reply)
    waits = [
        min((at for at, named in seen if named == version), default=float("inf")) - when for when, version in moved
    ]
    case = f"{swaps} promotions under 100 requests a second"
    return [
        Figure(case, SYSTEM, "answers", len(seen), "requests"),
        Figure(case, SYSTEM, "failed", wrong["failed"], "requests"),
        Figure(case, SYSTEM, "of two versions", wrong["mixed"], "requests"),
        Figure(case, SYSTEM, "first answer of the new version, median", percentile(waits, 0.5), "s"),
        Figure(case, SYSTEM, "first answer of the new version, longest", max(waits), "s"),
    ]


async def killed(place: Place, share: float) -> list[Figure]:
    """SIGKILL under load: what was answered is in the database, but for the last tenth of a second."""
    kills, draw = max(2, int(10 * share)), random.Random(5)
    lost, late, starts, answered = 0, 0, [], 0
    oldest = 0.0
    for _ in range(kills):
        began = time.perf_counter()
        port = place.gateway()
        starts.append(time.perf_counter() - began)
        heard: list[Reply] = []
        load = asyncio.create_task(closed_loop(port, 8, lambda _: True, partial(_ask, port), heard.append))
        await asyncio.sleep(draw.uniform(1.0, 3.0))
        at = time.perf_counter()
        place.stop_gateway(signal.SIGKILL)
        await load
        again = place.gateway()  # writes what lies in the spool
        await open_loop(again, 20, 1, partial(_ask, again))
        place.stop_gateway()
        kept = place.stored()
        good = [reply for reply in heard if reply.status == 200]
        missing = [reply for reply in good if orjson.loads(reply.body)["id"] not in kept]
        ages = [at - reply.at for reply in missing]
        answered, lost = answered + len(good), lost + len(missing)
        late += sum(age > LOST for age in ages)
        oldest = max([oldest, *ages])
    case = f"{kills} kills under load"
    return [
        Figure(case, SYSTEM, "answered", answered, "requests"),
        Figure(case, SYSTEM, "answered and not in the database", lost, "requests"),
        Figure(case, SYSTEM, f"of these, answered more than {LOST:g} s before", late, "requests"),
        Figure(case, SYSTEM, "oldest that was lost, before the kill", oldest, "s"),
        Figure(case, SYSTEM, "start, longest", max(starts), "s"),
    ]


async def hooked(place: Place, share: float) -> list[Figure]:
    """A thousand webhooks that are forged, stale, replayed or too large."""
    from standardwebhooks import Webhook
    from wheelwork.core.serving.hooks.secrets import Secrets

    secret = Secrets(place.home).make(LOOP, "standard")
    port, many, draw = place.gateway("--hooks"), int(1000 * share), random.Random(9)
    body, now = json.dumps({"type": "round"}), datetime.now(UTC)

    def sent(key: str, id: str, at: datetime, text: str = body) -> bytes:
        signed = Webhook(key).sign(id, at, text)
        told = (("webhook-id", id), ("webhook-timestamp", str(int(at.timestamp()))), ("webhook-signature", signed))
        return post(port, f"/hooks/{LOOP}", text.encode(), told)

    good = sent(secret, "good", now)
    other = "whsec_" + secrets.token_hex(22) + "=="
    makers = {
        "forged": lambda number: sent("whsec_" + "QUJD" * 11, f"m{number}", now),
        "stale": lambda number: sent(secret, f"s{number}", now - timedelta(minutes=draw.uniform(6, 600))),
        "replayed": lambda number: good,
        "too large": lambda number: sent(
            secret, f"b{number}", now, json.dumps({"type": "round", "x": "y" * 2_000_000})
        ),
        "unsigned": lambda number: post(port, f"/hooks/{LOOP}", body.encode(), (("webhook-id", other),)),
    }
    statuses: dict[str, list[int]] = {name: [] for name in makers}
    first = await (await connected(port)).ask(good)
    for number in range(many):
        name = list(makers)[number % len(makers)]
        connection = await connected(port)
        status, _ = await connection.ask(makers[name](number))
        connection.close()
        statuses[name].append(status)
    case = f"{many} webhooks that should start nothing"
    figures = [Figure(case, SYSTEM, "a good one before, status", first[0], "HTTP")]
    for name, told in statuses.items():
        figures.append(
            Figure(case, SYSTEM, f"{name}: server errors", sum(status >= 500 for status in told), "requests")
        )
    started = Path(place.home / "started").read_text().splitlines()
    alive = await (await connected(port)).ask(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return [
        *figures,
        Figure(case, SYSTEM, "runs started beside the good one", len(started) - 1, "runs"),
        Figure(case, SYSTEM, "alive afterwards, status", alive[0], "HTTP"),
    ]


def _ask(port: int, number: int) -> bytes:
    return question(port, f"question {number}")
