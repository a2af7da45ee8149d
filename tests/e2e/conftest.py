"""What whole rounds share that is dear to make: the empty databases of Prefect and of MLflow."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory, migrated: Path, prefect_database: Path) -> Path:
    """A folder with both databases as a first round makes them; a round from nothing is in test_embedded_round."""
    folder = tmp_path_factory.mktemp("databases")
    for database in (migrated, prefect_database):
        shutil.copy(database, folder / database.name)
    return folder
