"""A loop that takes webhooks, senders that sign as the real ones do, and a Prefect that remembers its keys."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook
from wheelwork.core.serving.hooks.incoming import Answer, Hooked, Hooks
from wheelwork.core.serving.hooks.secrets import Secrets, Sender
from wheelwork.core.serving.hooks.seen import Seen
from wheelwork.core.serving.hooks.settings import HookSettings, Scalar
from wheelwork.core.settings import parse

RULES: dict[str, Any] = {
    "senders": ["standard", "github"],
    "most_bytes": 4096,
    "events": {
        "data.refreshed": {
            "deployment": "improve/on-demand",
            "parameters": {
                "samples": {"field": "data.samples", "type": "integer", "least": 0, "most": 500},
                "from_step": {"field": "data.from", "type": "text", "choices": ["filter", "train"]},
            },
        },
        "champion.bad": {
            "deployment": "rollback/rollback",
            "parameters": {"reason": {"field": "data.reason", "type": "text", "longest": 40, "required": True}},
            "fixed": {"to": "base"},
        },
        "push": {"deployment": "improve/on-demand", "fixed": {"samples": 10}},
    },
}


class Prefect:
    """Starts runs, one for each idempotency key, as Prefect does; fails while it is `down`."""

    def __init__(self) -> None:
        self.runs: dict[str, tuple[str, dict[str, Scalar]]] = {}
        self.asked = 0
        self.down: Exception | None = None
        self.slow = 0.0

    async def start(self, deployment: str, parameters: Mapping[str, Scalar], key: str) -> str:
        self.asked += 1
        await asyncio.sleep(self.slow)
        if self.down is not None:
            raise self.down
        self.runs.setdefault(key, (deployment, dict(parameters)))
        return f"http://127.0.0.1:4200/runs/flow-run/{list(self.runs).index(key)}"


class Door:
    """The webhooks of the loop `tiny`, with a secret for every sender."""

    def __init__(self, home: Path, rules: Mapping[str, Any] = RULES, patience: float = 5.0) -> None:
        self.home = home
        self.prefect = Prefect()
        self.nudged: list[str] = []
        self.secrets = Secrets(home, {})
        senders: tuple[Sender, ...] = ("standard", "github", "mlflow")
        self.secret = {sender: self.secrets.make("tiny", sender) for sender in senders}
        self.settings = parse(HookSettings, dict(rules), "loop.yaml")
        self.hooks = self.opened(patience)

    def opened(self, patience: float = 5.0) -> Hooks:
        """The same webhooks as after a restart."""
        loops = {"tiny": Hooked(self.settings, "/loops/tiny")}
        seen = Seen(self.home)
        return Hooks(loops, self.secrets, seen, self.prefect.start, self.nudged.append, patience=patience)

    def take(self, headers: Mapping[str, str], body: bytes, loop: str = "tiny") -> Answer:
        return asyncio.run(self.hooks.handle(loop, headers, body))

    def standard(self, body: Any, id: str = "msg_1", at: float | None = None, secret: str = "") -> Answer:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.take(signed(secret or self.secret["standard"], text, id, at), text)

    def github(self, body: Any, event: str = "push", id: str = "guid-1") -> Answer:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.take(signed_by_github(self.secret["github"], text, event, id), text)


def signed(secret: str | bytes, body: bytes, id: str = "msg_1", at: float | None = None) -> dict[str, str]:
    """The headers of the library's own signer."""
    when = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, when, body.decode()),
    }


def signed_by_github(secret: str, body: bytes, event: str = "push", id: str = "guid-1") -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={mac}", "X-GitHub-Event": event, "X-GitHub-Delivery": id}
