"""Whether a delivery is what its sender sent, and lately: signatures first, and nothing is read before they hold.

Standard Webhooks (https://www.standardwebhooks.com) sign id, time and body; MLflow does too, under names of its own
and with the secret's text as the key. GitHub signs the body alone: its event and its delivery id can be changed by
whoever saw a delivery, so that a body is the same delivery whatever they say.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from standardwebhooks import Webhook, WebhookVerificationError

from ...errors import ServingError
from .secrets import LoopSecrets, Sender, key_of

SIGNED_BY: dict[str, Sender] = {
    "webhook-signature": "standard",
    "x-hub-signature-256": "github",
    "x-mlflow-signature": "mlflow",
}
LONGEST_HEADER = 4_096  # characters of a signature header: a dozen signatures of a rotation
# what is signed is `id.time.body`, so that an id with a full stop could move the border between id and time
_ID = re.compile(r"[!-\-/-~]{1,256}")
_TIME = re.compile(r"[0-9]{1,12}")
_EVENT = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")


class Delivery(NamedTuple):
    """A delivery whose signature holds. `event` may be one that nobody allowed."""

    sender: Sender
    id: str
    event: str
    body: dict[str, Any]
    digest: str  # SHA-256 of the body as it came

    @property
    def name(self) -> str:
        """What makes it the same delivery when it comes again."""
        return self.digest if self.sender == "github" else self.id


def sender_of(headers: Mapping[str, str]) -> Sender:
    """Who signed, by the header that holds the signature. `headers` have lower-case names.

    Raises ServingError (401) where none does, or several.
    """
    found = [sender for name, sender in SIGNED_BY.items() if name in headers]
    if len(found) != 1:
        raise _refused("this request has to be signed, once: as Standard Webhooks, as GitHub, or as MLflow does")
    return found[0]


def verified(sender: Sender, secrets: LoopSecrets, headers: Mapping[str, str], body: bytes) -> Delivery:
    """The delivery in a request whose `headers` have lower-case names.

    Raises ServingError: 401 where no secret made the signature or its time is more than five minutes from now, 400 for
    a body that is no JSON object.
    """
    if sender == "github":
        _check_github(secrets.github, headers, body)
        id, event = headers.get("x-github-delivery", ""), headers.get("x-github-event", "")
    else:
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        ours = names if sender == "standard" else ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")
        told = {name: headers.get(our, "") for name, our in zip(names, ours, strict=True)}
        keys = [secret.encode() for secret in secrets.mlflow] if sender == "mlflow" else map(key_of, secrets.standard)
        _check_standard(list(keys), told, body)
        id, event = told["webhook-id"], ""
    if not _ID.fullmatch(id):
        raise _refused("the delivery's id is missing, too long or not in printable ASCII")
    read = parsed(body)
    return Delivery(sender, id, _event(sender, event, read), read, hashlib.sha256(body).hexdigest())


def parsed(body: bytes) -> dict[str, Any]:
    """`body` as a JSON object. Raises ServingError (400) for anything else, such as NaN or a key that stands twice."""
    try:
        read = json.loads(body.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_no_number)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise ServingError(
            400, "the body is no JSON object in UTF-8; at GitHub choose the content type application/json",
            code="invalid_json",
        )  # fmt: skip
    return read


def _check_standard(keys: Sequence[bytes], told: Mapping[str, str], body: bytes) -> None:
    short = all(len(value) <= LONGEST_HEADER for value in told.values())
    if short and _ID.fullmatch(told["webhook-id"]) and _TIME.fullmatch(told["webhook-timestamp"]):
        for key in keys:
            try:
                Webhook(key).verify(body, dict(told), json_parse=False)
                return
            except (WebhookVerificationError, ValueError, TypeError):  # the latter two: what is no base64, no UTF-8
                continue
    raise _refused("the signature does not hold, or its time is more than five minutes from now")


def _check_github(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> None:
    given = headers["x-hub-signature-256"].encode("utf-8", "replace")
    holds = False
    for secret in secrets:  # all of them, so that the time tells nothing of which
        made = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        holds |= hmac.compare_digest(made.encode(), given)
    if not holds:
        raise _refused("the signature does not hold")


def _event(sender: Sender, header: str, body: Mapping[str, Any]) -> str:
    """`push`, `workflow_run.completed`, the `type` of a standard one, MLflow's `model_version_alias.created`."""
    if sender == "standard":
        parts = [body.get("type")]
    elif sender == "github":
        parts = [header, body["action"]] if "action" in body else [header]
    else:
        parts = [body.get("entity"), body.get("action")]
    named = ".".join(part for part in parts if isinstance(part, str))
    if not _EVENT.fullmatch(named):
        raise ServingError(422, "the delivery names no event", code="no_event")
    return named


def _refused(message: str) -> ServingError:
    return ServingError(401, message, type="authentication_error", code="invalid_signature")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
