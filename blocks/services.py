"""Everything that `wheelwork up` starts: Prefect, MLflow, a worker, the deployments, the gateway; and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console

from ..core.errors import BusyError, DependencyError
from ..core.workspace import write_text
from .deploying import PATIENCE, POOL, deploy
from .environment import RUNNING

HOST = "127.0.0.1"
GRACE = 10.0  # seconds between asking a service to end and ending it


@dataclass
class Service:
    """One child process in a group of its own, so that Ctrl-C reaches it through us and in order."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, name: str, command: Sequence[str], logs: Path, environment: dict[str, str]) -> "Service":
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{name}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
        return cls(name, process, log)

    def check(self) -> None:
        """Raises DependencyError, with the last line of the log, when the service has ended."""
        if (code := self.process.poll()) is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
            raise DependencyError(f"{self.name} ended with code {code}: {lines[-1][:200]} (all of it: {self.log})")

    def stop(self) -> None:
        """Ask the whole group to end; after the grace period end it."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sent)
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return


def run_all(home: Path, loop: str, prefect_port: int, mlflow_port: int, gateway_port: int, console: Console) -> None:
    """Start all services, say where they are, and stay until Ctrl-C or until one of them ends.

    Raises BusyError when a port is taken or `up` runs already, DependencyError when a service does not come up.
    """
    for name, port in (("Prefect", prefect_port), ("MLflow", mlflow_port), ("gateway", gateway_port)):
        _check_free(name, port)
    api = f"http://{HOST}:{prefect_port}/api"
    environment = {**os.environ, "PREFECT_API_URL": api, "PREFECT_UI_API_URL": api, "WHEELWORK_HOME": str(home)}
    environment["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"  # here the console is a log file
    ports = {"prefect": prefect_port, "mlflow": mlflow_port, "gateway": gateway_port}
    addresses = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    logs, started = home / "logs", list[Service]()

    def start(name: str, *command: str) -> Service:
        service = Service.start(name, [sys.executable, "-m", *command], logs, environment)
        started.append(service)
        return service

    try:
        with console.status("starting Prefect, MLflow, a worker and the gateway"):
            prefect = start("prefect", "prefect", "server", "start", "--host", HOST, "--port", str(prefect_port))
            mlflow = start(
                "mlflow", "mlflow", "server", "--host", HOST, "--port", str(mlflow_port), "--workers", "1",
                "--backend-store-uri", environment["MLFLOW_TRACKING_URI"],
                "--default-artifact-root", (home / "artifacts" / "mlflow").as_uri(),
            )  # fmt: skip
            _wait(prefect, f"{api}/health")
            deploy(home, loop, environment)
            worker = start("worker", "prefect", "worker", "start", "--pool", POOL, "--type", "process")
            _wait(mlflow, f"{addresses['mlflow']}/health")
            worker.check()
            gateway = start("gateway", "wheelwork", "serve", loop, "--port", str(gateway_port))
            _wait(gateway, f"{addresses['gateway']}/healthz")
        write_text(home / RUNNING, json.dumps(addresses))
        console.print(f"Prefect   {addresses['prefect']}   rounds, schedules, logs; press Run on `improve/on-demand`")
        console.print("          `rollback/rollback` puts the champion before back into production")
        console.print(f"MLflow    {addresses['mlflow']}   every round's figures, adapters and their aliases")
        console.print(f"gateway   {addresses['gateway']}/v1   the loop's champion, as OpenAI serves models")
        console.print(f"worker    runs `improve` of {loop}; state and logs in {home}")
        console.print("Ctrl-C ends all of it.", style="dim")
        while True:
            for service in started:
                service.check()
            time.sleep(1)
    finally:
        (home / RUNNING).unlink(missing_ok=True)
        for service in reversed(started):
            service.stop()


def _wait(service: Service, url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        service.check()
        try:
            with urlopen(url, timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise DependencyError(f"{service.name} did not come up within {PATIENCE:.0f} s; see {service.log}")


def _check_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            option = f"--{name.lower()}-port"
            raise BusyError(
                f"port {port} for {name} is taken, perhaps by another `wheelwork up`; give another with {option}"
            ) from None
