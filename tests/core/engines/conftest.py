"""Tiny models with random adapters, shared by the tests of the engines."""

from pathlib import Path

import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.tiny import tiny_adapter, tiny_llama_gguf


@pytest.fixture(autouse=True, scope="module")
def alone(one_thread: None) -> None:
    """Every test here computes on one thread."""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models, adapters and converted adapters of the whole session lie."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def tiny(place: Path) -> ModelFiles:
    """The tiny Llama: 4 heads over 2 key-value heads."""
    return ModelStore(place / "store").get(str(tiny_llama_gguf(place / "tiny.gguf")))


@pytest.fixture(scope="session")
def other(place: Path) -> ModelFiles:
    """Another tiny Llama of the same shape."""
    return ModelStore(place / "store").get(str(tiny_llama_gguf(place / "other.gguf", seed=1)))


@pytest.fixture(scope="session")
def adapters(place: Path, tiny: ModelFiles) -> dict[str, Adapter]:
    """Two random adapters of `tiny`, by names as a registry gives them."""
    return {
        name: Adapter.at(tiny_adapter(place / f"adapter-{seed}", tiny.folder, seed=seed))
        for seed, name in enumerate(("home.v1", "home.v2"))
    }
