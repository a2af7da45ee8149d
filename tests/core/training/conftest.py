"""The tiny model, and one thread: sums in one order, whatever else the machine does."""

from collections.abc import Iterator

import pytest
import torch
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.tiny import tiny_llama_gguf


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    place = tmp_path_factory.mktemp("training")
    return ModelStore(place / "store").get(str(tiny_llama_gguf(place / "tiny.gguf")))
