"""Exchanges and feedback to test with."""

from pathlib import Path
from typing import Any

from wheelwork.core.serving.exchange import Exchange, Feedback
from wheelwork.core.traffic.archive import Archive

NOW = 1_800_000_000.0
DAY = 86_400.0


def asked(number: int, text: str = "the modem is red", reply: str = "line", **rest: Any) -> Exchange:
    """An answered question of the loop `tiny`, `number` seconds after NOW."""
    told: dict[str, Any] = {
        "at": NOW + number,
        "loop": "tiny",
        "version": "7",
        "role": "champion",
        "user": f"u{number}",
        "messages": ({"role": "user", "content": text},),
        "reply": reply,
        "latency": 0.1,
    }
    return Exchange(id=f"chatcmpl-{number}", **(told | rest))


def said(number: int, **what: Any) -> Feedback:
    """What the user said of `asked(number)`, a minute later."""
    return Feedback(exchange=f"chatcmpl-{number}", **({"at": NOW + number + 60} | what))


def an_archive(home: Path) -> Archive:
    return Archive.of(home)


def stored(home: Path, *rows: Exchange | Feedback) -> Archive:
    """A database of these rows."""
    archive = an_archive(home)
    exchanges = [row for row in rows if isinstance(row, Exchange)]
    archive.add(exchanges, [row for row in rows if isinstance(row, Feedback)])
    return archive
