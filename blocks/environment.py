"""The environment of everything that wheelwork starts: state under one folder, loopback, no telemetry."""

import json
import os
import signal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from ..core.errors import WorkspaceError
from ..core.workspace import explaining_disk_errors

RUNNING = "up.json"  # written by `wheelwork up`: where its services listen

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # its own default of 7 lets a server that is not there be waited for for minutes; tasks try again by themselves
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # a failed flow is told to the user in one sentence by the command line; the page has the full log
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    # its own default of 20 s is too short for a busy laptop with a cold disk
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}


def prepare(home: Path) -> None:
    """Point Prefect and MLflow at `home`, unless the user points them elsewhere; before either is imported.

    Raises WorkspaceError when `home` cannot be written.
    """
    with explaining_disk_errors(home):
        try:
            home.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # what /proc answers, and a link to nowhere
            raise WorkspaceError(
                f"{home}: no folder can be made here; set WHEELWORK_HOME to a folder of yours"
            ) from None
        probe = home / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    state = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "cache" / "results"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
    }
    for name, value in (QUIET | state).items():
        os.environ.setdefault(name, value)
    if "PREFECT_API_URL" not in os.environ and (address := running_services(home).get("prefect")):
        os.environ["PREFECT_API_URL"] = f"{address}/api"


def stoppable(flow: Any) -> Any:
    """`flow` with SIGTERM as it is taken now, for the main thread. While a flow runs Prefect takes it, and waits to
    tell a server that may have ended by the same signal."""
    handler = signal.getsignal(signal.SIGTERM)
    return flow.with_options(on_running=[lambda *_: signal.signal(signal.SIGTERM, handler)])


def running_services(home: Path) -> dict[str, str]:
    """Addresses of the services that `wheelwork up` runs for `home`; empty when it does not run."""
    try:
        services: dict[str, str] = json.loads((home / RUNNING).read_text(encoding="utf-8"))
        with urlopen(f"{services['prefect']}/api/health", timeout=2):
            return services
    except (OSError, ValueError, KeyError, TypeError):  # no file, nobody there, no JSON, other JSON
        return {}
