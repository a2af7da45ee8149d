"""A loop on a tiny random model, with an adapter that changes its answers."""

from pathlib import Path

import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.export.card import Source
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.e2e.command import tiny_loop
from wheelwork.tests.tiny import tiny_adapter


@pytest.fixture(autouse=True, scope="module")
def alone(one_thread: None) -> None:
    """Every test here computes on one thread."""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="session")
def loop(place: Path) -> Loop:
    engine = {"kind": "llamacpp", "context": 512, "threads": 1, "attention": "f32"}
    return load_loop(tiny_loop(place / "loop", engine=engine))


@pytest.fixture(scope="session")
def tiny(place: Path, loop: Loop) -> ModelFiles:
    return ModelStore(place / "store").get(str(loop.folder / "tiny.gguf"))


@pytest.fixture(scope="session")
def adapter(place: Path, tiny: ModelFiles) -> Adapter:
    return Adapter.at(tiny_adapter(place / "adapter", tiny.folder, seed=1))


@pytest.fixture(scope="session")
def source(loop: Loop, tiny: ModelFiles, adapter: Adapter) -> Source:
    return Source(loop, "tiny", tiny, adapter, "3", "promoted", report=None)
