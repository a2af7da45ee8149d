"""The tiny model, and one thread: sums in one order, whatever else the machine does."""

import pytest
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.tiny import tiny_llama_gguf


@pytest.fixture(autouse=True, scope="module")
def alone(one_thread: None) -> None:
    """Every test here computes on one thread."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    place = tmp_path_factory.mktemp("training")
    return ModelStore(place / "store").get(str(tiny_llama_gguf(place / "tiny.gguf")))
