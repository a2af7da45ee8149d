"""What tests share that is dear to make: one Prefect server, one migrated MLflow database."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from wheelwork.blocks.environment import QUIET

# before Prefect, MLflow or Transformers are imported by any test
for name, value in QUIET.items():
    os.environ.setdefault(name, value)

settings.register_profile("patient", deadline=None)  # other work on the machine is no failure
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole rounds first: of tests that run side by side, the longest should not begin last."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prefect with a temporary database, and a copy of that from before anything ran: its migrations take long."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, get_current_settings, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    results = tmp_path_factory.mktemp("prefect-results")
    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_LOCAL_STORAGE_PATH: results}),
    ):
        url = get_current_settings().server.database.connection_url
        assert url is not None
        copy = tmp_path_factory.mktemp("prefect") / "prefect.db"
        source = url.get_secret_value().removeprefix("sqlite+aiosqlite:///")
        with closing(sqlite3.connect(source)) as made, closing(sqlite3.connect(copy)) as empty:
            made.backup(empty)
        yield copy


@pytest.fixture(scope="session")
def prefect(prefect_database: Path) -> None:
    """Flows and tasks run for real, on that Prefect."""


@pytest.fixture(scope="session")
def server(prefect: None) -> str:
    """The address of that Prefect, for commands in processes of their own whose test is not about its start."""
    from prefect.settings import PREFECT_API_URL

    return str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a run; its migrations take seconds, a copy none."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_uri(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of the test's own, which MLflow uses."""
    uri = f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: sums in one order, whatever else the machine does."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
