"""A loop in an MLflow of the test's own, and an adapter to register."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from wheelwork.blocks.tracking import Tracking


@pytest.fixture
def tracking(mlflow_uri: str, tmp_path: Path) -> Tracking:
    return Tracking("tiny", tmp_path / "home")


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=mlflow_uri)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder
