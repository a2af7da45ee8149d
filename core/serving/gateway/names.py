"""Which loop and version the name of a model means, and whose question it is without saying who."""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence

from ...errors import ServingError
from ...text import nearest
from ..exchange import BASE

VERSION = re.compile(r"v([0-9]{1,18})", re.ASCII)


def meant(model: str, loops: Sequence[str]) -> tuple[str, str | None]:
    """Loop and version that `model` names; None: whichever the loop's routing says.

    `router` is the loop, `router@v7` its version 7, `router@base` its base; `base` where one loop is served.
    Raises ServingError (404) for any other name.
    """
    loop, at, version = model.partition("@")
    if loop in loops and not at:
        return loop, None
    if loop in loops and version == BASE:
        return loop, BASE
    if loop in loops and (found := VERSION.fullmatch(version)):
        return loop, found[1]
    if model == BASE and len(loops) == 1:
        return loops[0], BASE
    raise unknown(model, loops)


def unknown(model: str, loops: Sequence[str]) -> ServingError:
    shown = model if len(model) <= 80 else model[:80] + "…"
    return ServingError(
        404, f"the model `{shown}` is not served here; {nearest(model[:200], loops)}", code="model_not_found",
        param="model",
    )  # fmt: skip


def name_of(loop: str, version: str) -> str:
    """What a reply calls who answered: `router@v7`, `router@base`."""
    return f"{loop}@{version}" if version == BASE else f"{loop}@v{version}"


class Pseudonyms:
    """Keyed hashes of users and conversations, as each API key uses their names: two keys never mean the same one."""

    def __init__(self, hashed: Callable[[str], str]) -> None:
        """`hashed` is keyed with a secret: nobody without it tells whose hash it is, or makes one."""
        self._hashed = hashed

    def __call__(self, key: str, kind: str, name: str) -> str:
        """The hash of `name`; empty for an empty name."""
        return self._hashed(f"{key}\0{kind}\0{name}") if name else ""


def hasher(secret: bytes) -> Callable[[str], str]:
    """Hashes of 32 hex digits under `secret`."""
    return lambda text: hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:32]
