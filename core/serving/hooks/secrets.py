"""The secrets that callers sign with: `hooks.json` in the state folder, or a variable of the environment.

Several may hold at once, so that a sender can be given a new one before the old one is forgotten. They never stand in
`loop.yaml`, which people share.
"""

import base64
import binascii
import json
import os
import secrets as random
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationError, field_validator

from ...errors import ConfigError
from ...settings import Setting
from ...workspace import explaining_disk_errors, locked, writing

Sender = Literal["standard", "github", "mlflow"]
SENDERS: tuple[Sender, ...] = get_args(Sender)
FILE = "hooks.json"
PREFIX = "whsec_"
KEPT = 2  # secrets of a sender that hold at once: the new one and the one before
FEWEST_BYTES = 16  # of a Standard Webhooks secret; the standard asks for 24 to 64
BUSY = "the webhook secrets are being changed by another process; try again"
Known = dict[str, dict[Sender, tuple[str, ...]]]


class LoopSecrets(Setting):
    """The secrets of one loop by sender, the newest first."""

    standard: tuple[str, ...] = Field((), description="`whsec_` and base64")
    github: tuple[str, ...] = Field((), description="any text, as it stands in GitHub's settings")
    mlflow: tuple[str, ...] = Field((), description="any text, as it was given to MLflow")

    @field_validator("standard")
    @classmethod
    def _keys(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        for secret in secrets:
            key_of(secret)
        return secrets

    @field_validator("github", "mlflow")
    @classmethod
    def _long_enough(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        if any(len(secret.encode()) < FEWEST_BYTES for secret in secrets):
            raise ValueError(f"a secret has at least {FEWEST_BYTES} bytes")
        return secrets

    def of(self, sender: Sender) -> tuple[str, ...]:
        return {"standard": self.standard, "github": self.github, "mlflow": self.mlflow}[sender]


def key_of(secret: str) -> bytes:
    """The key within a `whsec_…`. Raises ValueError for what is none, without telling it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX) + "==", validate=False)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or len(key) < FEWEST_BYTES:
        raise ValueError(f"a secret of Standard Webhooks is `{PREFIX}` and the base64 of {FEWEST_BYTES} bytes or more")
    return key


def variable_of(loop: str) -> str:
    """The variable that may hold a loop's secrets: `WHEELWORK_HOOKS_HOME_BROADBAND`."""
    return f"WHEELWORK_HOOKS_{loop.upper().replace('-', '_')}"


class Secrets:
    """The secrets of all loops, read again when the file has changed, so that a rotation needs no restart."""

    def __init__(self, home: Path, environment: Mapping[str, str] = os.environ) -> None:
        self.path = home / FILE
        self._lock = home / "locks" / "hooks.lock"
        self._environment = environment
        self._read: tuple[tuple[int, int, int], dict[str, LoopSecrets]] | None = None

    def of(self, loop: str) -> LoopSecrets:
        """What holds for `loop`; the variable's before the file's.

        The variable holds `whsec_…`, `github:…` and `mlflow:…`, with blanks between them. Raises ConfigError for a
        file or a variable that cannot be read, or a file that others may read.
        """
        known = self._of_file().get(loop, LoopSecrets())
        told = self._of_variable(loop)
        return LoopSecrets(
            standard=(*told.standard, *known.standard),
            github=(*told.github, *known.github),
            mlflow=(*told.mlflow, *known.mlflow),
        )

    def make(self, loop: str, sender: Sender, *, alone: bool = False) -> str:
        """A new secret, which holds from now on; the one before holds too, unless the new one is to stand `alone`."""
        secret = random.token_hex(32)
        if sender == "standard":
            secret = PREFIX + base64.b64encode(random.token_bytes(32)).decode()
        with locked(self._lock, BUSY, 10):
            known = self._of_file()
            before = known.get(loop, LoopSecrets())
            kept = () if alone else before.of(sender)[: KEPT - 1]
            self._write(known | {loop: before.model_copy(update={sender: (secret, *kept)})})
        return secret

    def forget(self, loop: str, sender: Sender) -> int:
        """Take away all secrets of a sender but the newest; how many went."""
        with locked(self._lock, BUSY, 10):
            known = self._of_file()
            before = known.get(loop, LoopSecrets())
            old = before.of(sender)[1:]
            if old:
                self._write(known | {loop: before.model_copy(update={sender: before.of(sender)[:1]})})
        return len(old)

    def _of_file(self) -> dict[str, LoopSecrets]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return {}
        if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigError(f"{self.path}: others may read these secrets; run `chmod 600 {self.path}`")
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._read is None or self._read[0] != mark:
            self._read = (mark, self._parsed())
        return self._read[1]

    def _parsed(self) -> dict[str, LoopSecrets]:
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(loop): LoopSecrets.model_validate(one) for loop, one in dict(told).items()}
        except (OSError, ValueError, TypeError) as error:
            # a ValidationError shows what it found, and that is a secret
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else type(error).__name__
            raise ConfigError(
                f"{self.path}: cannot be read as webhook secrets ({why}); mend it, or remove it and make new ones with "
                "`wheelwork hooks secret LOOP`"
            ) from None

    def _of_variable(self, loop: str) -> LoopSecrets:
        found: dict[str, list[str]] = {sender: [] for sender in SENDERS}
        for word in self._environment.get(variable_of(loop), "").split():
            sender, colon, secret = word.partition(":")
            if word.startswith(PREFIX):
                found["standard"].append(word)
            elif colon and sender in ("github", "mlflow"):
                found[sender].append(secret)
            else:
                raise ConfigError(
                    f"{variable_of(loop)}: each secret is `{PREFIX}…`, `github:…` or `mlflow:…`, with blanks between"
                )
        try:
            return LoopSecrets.model_validate(found)
        except ValidationError as error:
            raise ConfigError(f"{variable_of(loop)}: {error.errors()[0]['msg']}") from None

    def _write(self, known: Mapping[str, LoopSecrets]) -> None:
        told = {loop: one.model_dump(mode="json") for loop, one in sorted(known.items())}
        with writing(self.path) as temporary, explaining_disk_errors(self.path.parent):
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(json.dumps(told, indent=2) + "\n")
