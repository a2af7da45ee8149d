"""A moment as people write it: ISO 8601, or as seen from now."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

from ..errors import ConfigError

AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)(?:\s+ago)?")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONG = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "day": "d", "week": "w"}
CLOCK = re.compile(r"(?:(today|yesterday)\s*)?(?:at\s+)?(\d{1,2}):(\d{2})")


def moment_of(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """The moment that `text` names, in UTC: `2026-11-26 14:00`, `2h ago`, `yesterday 14:00`, `14:00`, `now`.

    Without a time zone it is in `zone`, by default that of this machine. Raises ConfigError for what is no time, and
    for one to come.
    """
    here = now.astimezone(zone)
    said = " ".join(text.lower().split())
    found = _seen_from_now(said, here)
    if found is None:
        try:
            found = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ConfigError(
                f"--at {text}: is no time; write it like 2026-11-26T14:00, 2h ago, 3 days ago, yesterday 14:00 or 14:00"
            ) from None
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone) if zone else found.astimezone()
    if found > now:
        raise ConfigError(f"--at {text}: is still to come ({found:%Y-%m-%d %H:%M %Z}); the history ends now")
    return found.astimezone(UTC)


def _seen_from_now(said: str, here: datetime) -> datetime | None:
    if said == "now":
        return here
    if said in ("today", "yesterday"):
        said += " 00:00"
    if (ago := AGO.fullmatch(said)) is not None:
        unit = ago[2] if ago[2] in UNITS else LONG.get(ago[2].removesuffix("s"))
        if unit is None:
            return None
        try:
            return here - timedelta(seconds=float(ago[1]) * UNITS[unit])
        except OverflowError:
            return None
    if (clock := CLOCK.fullmatch(said)) is not None and int(clock[2]) < 24 and int(clock[3]) < 60:
        day = here - timedelta(days=clock[1] == "yesterday")
        return day.replace(hour=int(clock[2]), minute=int(clock[3]), second=0, microsecond=0)
    return None
