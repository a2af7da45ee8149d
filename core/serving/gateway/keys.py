"""API keys: a file with their hashes, read again when it changes. A key itself is shown once, when it is made.

A key has 256 random bits, so a plain SHA-256 keeps it: there is nothing to guess that a slow hash would protect.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

from pydantic import Field, ValidationError

from ...errors import ConfigError, ServingError
from ...settings import Setting
from ...text import nearest
from ...workspace import locked, writing

Scope = Literal["chat", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "wk-"
SHOWN = len(PREFIX) + 6  # characters of a key that name it in lists
LOOK_AGAIN = 1.0  # seconds between two looks at the file
log = logging.getLogger(__name__)


class Key(Setting):
    """One key as it is kept. One that was replaced or revoked stays, so that it is not forgotten."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="letters, digits, `.`, _ and -")
    prefix: str = Field(description="the beginning of the key, to tell it from others")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    made: float = Field(description="seconds since 1970")
    ends: float | None = Field(None, description="when it stops, seconds since 1970; none: never")
    rate: float | None = Field(None, gt=0, description="requests a second; none: what the loop allows")
    parallel: int | None = Field(None, ge=1, description="requests at once; none: what the loop allows")

    def works(self, now: float) -> bool:
        return self.ends is None or now < self.ends


class KeyFile(Setting):
    """The file as a whole."""

    keys: tuple[Key, ...] = ()


class Caller(NamedTuple):
    """Who asks, as far as it is known: the name of a key, or empty where none is needed."""

    key: str
    scopes: Sequence[str]
    rate: float | None = None
    parallel: int | None = None


ANYBODY = Caller("", SCOPES)


class Keys(Protocol):
    """What the gateway asks of the keys."""

    @property
    def needed(self) -> bool: ...

    def caller(self, token: str | None) -> Caller:
        """Who holds `token`. Raises ServingError (401) for nobody, and where a key is needed and none is given."""
        ...


class StoredKeys:
    """The keys of a file. Once it holds one, ever, every request needs a key: revoking the last one opens nothing."""

    def __init__(self, path: Path, clock: Callable[[], float], always: bool = False) -> None:
        """`always`: a key is needed even where the file has none. Raises ConfigError for a damaged file."""
        self._path, self._clock, self._always = path, clock, always
        self._looked, self._stamp = clock(), _stamp(path)
        self._by_hash = _by_hash(read_keys(path))

    @property
    def needed(self) -> bool:
        return self._always or bool(self._by_hash)

    def any_works(self) -> bool:
        """Whether there is a key that lets somebody in."""
        return any(key.works(self._clock()) for key in self._by_hash.values())

    def caller(self, token: str | None) -> Caller:
        now = self._clock()
        if not 0 <= now - self._looked < LOOK_AGAIN:
            self._looked = now
            self._look()
        if not self.needed:
            return ANYBODY
        if token is None:
            raise _refused("an API key is needed here; send it as `Authorization: Bearer wk-…`")
        told = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        key = self._by_hash.get(told)
        if key is None or not hmac.compare_digest(key.sha256, told) or not key.works(now):
            raise _refused("this API key is not known here, or it has ended; ask whoever runs the gateway for one")
        return Caller(key.name, key.scopes, key.rate, key.parallel)

    def _look(self) -> None:
        """Read the file again when it changed; what cannot be read leaves the keys as they were, and is logged."""
        if (stamp := _stamp(self._path)) == self._stamp:
            return
        try:
            self._by_hash = _by_hash(read_keys(self._path)) or self._by_hash
            self._stamp = stamp
        except ConfigError as error:
            log.error("%s; the keys read before go on working", error)


def read_keys(path: Path) -> tuple[Key, ...]:
    """All keys of the file, none without one. Raises ConfigError for a damaged file."""
    try:
        return KeyFile.model_validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give yourself the rights") from None
    except ValidationError:
        raise ConfigError(
            f"{path}: this file of keys is damaged; put back a copy, or remove it and make new keys"
        ) from None


def add_key(
    path: Path, name: str, scopes: Sequence[Scope], now: float, rate: float | None = None, parallel: int | None = None
) -> str:
    """Make a key; returns it, the only time. Raises ConfigError for a name that is taken or none."""
    with _held(path):
        keys = read_keys(path)
        if any(key.name == name and key.works(now) for key in keys):
            raise ConfigError(f"there is a key `{name}` already; rotate it, or choose another name")
        token, key = _made(name, scopes, now, rate, parallel)
        _write(path, (*keys, key))
    return token


def rotate_key(path: Path, name: str, now: float, grace: float) -> str:
    """Replace a key; the old one works for `grace` seconds more. Returns the new one, the only time."""
    with _held(path):
        keys = read_keys(path)
        old = _working(keys, name, now)
        token, key = _made(name, old.scopes, now, old.rate, old.parallel)
        ended = [_ended(one, now + grace) if one.name == name else one for one in keys]
        _write(path, (*ended, key))
    return token


def revoke_key(path: Path, name: str, now: float) -> None:
    """End a key, and what of it still works after a rotation. Raises ConfigError where no such key works."""
    with _held(path):
        keys = read_keys(path)
        _working(keys, name, now)
        _write(path, tuple(_ended(one, now) if one.name == name else one for one in keys))


def _made(name: str, scopes: Sequence[Scope], now: float, rate: float | None, parallel: int | None) -> tuple[str, Key]:
    token = PREFIX + secrets.token_urlsafe(32)
    told = hashlib.sha256(token.encode()).hexdigest()
    try:
        key = Key(
            name=name, prefix=token[:SHOWN], sha256=told, scopes=tuple(scopes), made=now, rate=rate, parallel=parallel
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"a key's {problem['loc'][0]} is not as it should be: {problem['msg']}") from None
    return token, key


def _working(keys: Sequence[Key], name: str, now: float) -> Key:
    """The newest key of that name that works."""
    for key in reversed(keys):
        if key.name == name and key.works(now):
            return key
    names = sorted({key.name for key in keys if key.works(now)})
    told = nearest(name, names) if names else "there is none yet; `wheelwork keys add NAME` makes one"
    raise ConfigError(f"there is no key `{name}` that works; {told}")


def _ended(key: Key, at: float) -> Key:
    return key if key.ends is not None and key.ends <= at else key.model_copy(update={"ends": at})


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    with writing(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(KeyFile(keys=keys).model_dump_json(indent=1) + "\n", encoding="utf-8")


def _held(path: Path) -> AbstractContextManager[None]:
    return locked(path.with_suffix(".lock"), "another command is changing the keys; try again", patience=10)


def _by_hash(keys: Sequence[Key]) -> dict[str, Key]:
    return {key.sha256: key for key in keys}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _refused(message: str) -> ServingError:
    return ServingError(401, message, type="authentication_error", code="invalid_api_key")
