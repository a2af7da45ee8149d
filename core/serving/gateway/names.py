"""Which loop and version the name of a model means, and whose question it is without saying who."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from ...errors import ServingError
from ...text import nearest
from ...workspace import writing
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
    """Keyed hashes of users and conversations: the same for the same one, and nobody without the secret tells whose."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret[:64]

    def __call__(self, key: str, kind: str, name: str) -> str:
        """32 hex digits for `name`, as the API key `key` uses it; empty for an empty name."""
        if not name:
            return ""
        told = f"{key}\0{kind}\0{name}".encode()
        return hashlib.blake2b(told, key=self._secret, digest_size=16).hexdigest()


def secret_at(path: Path) -> bytes:
    """The secret of the pseudonyms, made when there is none: without it users would change sides at each start."""
    if not path.exists():
        with writing(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(secrets.token_hex(32), encoding="ascii")
    return path.read_text(encoding="ascii").strip().encode()
