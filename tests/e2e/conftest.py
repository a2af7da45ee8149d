"""What whole rounds share that is dear to make: the empty databases of Prefect and of MLflow."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from wheelwork.tests.e2e.command import Command


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """A folder with both databases as a first round makes them; a round from nothing is in test_embedded_round."""
    folder = tmp_path_factory.mktemp("databases")
    shutil.copy(migrated, folder / "mlflow.db")
    address = {"PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}"}
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
        env=Command(folder).environment | address | {"PREFECT_HOME": str(folder / "prefect")},
        capture_output=True,
        check=True,
    )
    shutil.rmtree(folder / "prefect", ignore_errors=True)
    return folder
