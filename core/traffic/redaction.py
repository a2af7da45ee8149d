"""What goes before anything is stored: secrets and personal data in texts, and who the user is."""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import WorkspaceError
from ..quality.personal import mask
from ..samples import is_unicode
from ..serving.exchange import Exchange, Feedback
from ..workspace import explaining_disk_errors
from .settings import TrafficSettings

SALT = "traffic.salt"
DATA = re.compile(r"data:([\w.+-]{1,60}/[\w.+-]{1,60})?[;,]")
LONG = 7  # digits of a number that may be a card, a phone or an id
HASH = 32  # characters of a user's hash


def redacted(exchange: Exchange, settings: TrafficSettings) -> Exchange:
    """`exchange` as it may be stored: texts masked, pictures left out, or no texts at all."""
    if not settings.keep_texts:
        return exchange.model_copy(update={"messages": (), "reply": ""})
    return exchange.model_copy(
        update={
            "messages": tuple(_masked(turn, settings) for turn in exchange.messages),
            "reply": _text(exchange.reply, settings),
        }
    )


def redacted_feedback(feedback: Feedback, settings: TrafficSettings) -> Feedback:
    """`feedback` as it may be stored."""
    texts = {name: getattr(feedback, name) for name in ("correction", "comment")}
    return feedback.model_copy(update={name: text and _text(text, settings) for name, text in texts.items()})


def _masked(value: Any, settings: TrafficSettings) -> Any:
    """A JSON value with every text in it masked, however deep: parts of a message, arguments of a tool."""
    if isinstance(value, str):
        return _text(value, settings)
    if isinstance(value, dict):
        return {_clean(str(name)): _masked(inner, settings) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, settings) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10 ** (LONG - 1):
        masked = _text(str(value), settings)
        return value if masked == str(value) and abs(value) < 2**63 else masked
    return value


def _text(text: str, settings: TrafficSettings) -> str:
    if text.startswith("data:") and (found := DATA.match(text)):  # what a picture shows is not looked at, so not kept
        return f"[{(found[1] or 'data').upper()}, {len(text)} CHARACTERS]"
    return mask(_clean(text), settings.redact) if settings.redact else _clean(text)


def _clean(text: str) -> str:
    """`text` as every database can hold it: no half of an emoji, no NUL."""
    if not is_unicode(text):
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{SYMBOL FOR NULL}") if "\0" in text else text


def hasher(home: Path) -> Callable[[str], str]:
    """A function that hashes who asked, keyed with a secret of `home`: equal for equal users, and not to be guessed.

    HMAC-SHA-256, cut to 32 hexadecimal digits; empty stays empty. The key is a file that is made, for its owner alone,
    where there is none; whoever loses it no longer tells returning users. Raises WorkspaceError where it cannot be
    read or made.
    """
    key = _key(home / SALT)

    @lru_cache(10_000)
    def hashed(user: str) -> str:
        said = user.encode("utf-8", "surrogatepass")
        return hmac.new(key, said, hashlib.sha256).hexdigest()[:HASH] if user else ""

    return hashed


def _key(path: Path) -> bytes:
    with explaining_disk_errors(path.parent):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
                stream.write(secrets.token_hex(32).encode())
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileExistsError):
                os.link(scratch, path)  # whole, and of several processes the first one's
            scratch.unlink()
        key = path.read_bytes().strip()
    if len(key) < HASH:
        raise WorkspaceError(f"{path}: this key is damaged; put back a copy, or remove it: users get other hashes then")
    return key
