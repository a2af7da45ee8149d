"""What is told to others: one small object, the same for every kind of news."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field

from ...settings import Setting
from .settings import Event

MOST_REASONS = 20
LONGEST_REASON = 1_000  # characters


class Notice(Setting):
    """Something that happened to a loop."""

    event: Event
    at: float = Field(description="when, in seconds since 1970")
    loop: str
    round: str = Field("", description="id of the round; empty: none")
    version: str = Field("", description="version in the registry that it is about; empty: none")
    verdict: str = Field("", description="what was decided, in a word")
    reasons: tuple[str, ...] = Field((), description="why, in sentences")
    link: str = Field("", description="a page that tells more")

    def body(self) -> str:
        """The JSON that is signed and sent: `{type, timestamp, data}`."""
        return json.dumps(
            {
                "type": self.event,
                "timestamp": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds"),
                "data": {
                    "loop": self.loop,
                    "round": self.round,
                    "version": self.version,
                    "verdict": self.verdict,
                    "reasons": shortened(self.reasons),
                    "link": self.link,
                },
            },
            ensure_ascii=False,
        )


def shortened(reasons: Sequence[str]) -> list[str]:
    """As many reasons, and as much of each, as receivers take."""
    return [reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + "…" for reason in reasons][
        :MOST_REASONS
    ]
