"""Work pool, deployments and triggers on a Prefect server, from the packaged `prefect.yaml`."""

import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from ..core.errors import DependencyError

POOL = "wheelwork"
PATIENCE = 90.0  # seconds that a service may take to come up; slow disks migrate two databases


def deploy(home: Path, loop: str, environment: Mapping[str, str]) -> list[str]:
    """Make or renew the work pool and every deployment, for `loop`; their names as `flow/deployment` are called.

    `environment` names the server. Raises DependencyError where Prefect's own command fails.
    """
    text = resources.files("wheelwork").joinpath("prefect.yaml").read_text(encoding="utf-8")
    definition = yaml.safe_load(text)
    for deployment in definition["deployments"]:
        deployment["parameters"]["loop"] = loop
    folder = home / "prefect" / "deployments"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(definition, sort_keys=False), encoding="utf-8")
    _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite", environment=environment, folder=folder)
    _prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(file), environment=environment, folder=folder)
    return [f"{one['entrypoint'].rsplit('.', 1)[1]}/{one['name']}" for one in definition["deployments"]]


def wait_for(api: str, patience: float = PATIENCE) -> None:
    """Return when the server at `api` answers. Raises DependencyError when it does not within `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with urlopen(f"{api}/health", timeout=2):
                return
        except (URLError, OSError, ValueError):
            if time.monotonic() > deadline:
                raise DependencyError(
                    f"Prefect at {api} does not answer; start it, or name another in PREFECT_API_URL"
                ) from None
            time.sleep(0.5)


def _prefect(*arguments: str, environment: Mapping[str, str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments], env=environment, cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise DependencyError(f"`prefect {' '.join(arguments[:3])}` failed: {lines[-1][:300]}")
