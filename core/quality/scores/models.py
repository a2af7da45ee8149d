"""The models that filters score with: found by name, loaded when they are first asked for, then kept.

Three names stand for models of a loop: `base`, `champion` and `encoder`. Any other is one of the model store: a
catalogue name, a folder, a .gguf file or a Hugging Face id.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...digests import digest_of
from ...errors import ConfigError
from ...models.store import ModelFiles

BASE, CHAMPION, ENCODER = "base", "champion", "encoder"

Showing = Callable[[str, int], AbstractContextManager[Callable[[float], object]]]
"""Shows how many of a number of rows are read; the first argument names by whom."""

T = TypeVar("T")


@contextmanager
def silent(what: str, total: int) -> Iterator[Callable[[float], object]]:
    """Where nobody looks on."""
    yield lambda done: None


@dataclass(frozen=True)
class Found:
    """A model on this machine, with a LoRA adapter where it has one; `remark` is what people should know of it."""

    files: ModelFiles
    adapter: Path | None = None
    adapter_digest: str = ""
    remark: str = ""

    @property
    def digest(self) -> str:
        """What identifies it: weights, tokenizer, adapter."""
        return digest_of([self.files.digest, self.adapter_digest]) if self.adapter else self.files.digest


class Models:
    """Loads a model once for all filters that ask for it.

    `find` raises ConfigError or ModelError for a name that it has no model for. `folder` is where the paths of files
    start that filters read, `images` where those of pictures in rows start. `showing` is told how far a dear one is.
    """

    def __init__(
        self, find: Callable[[str], Found], folder: Path = Path(), images: Path = Path(), showing: Showing = silent
    ) -> None:
        self.find = find
        self.folder = folder
        self.images = images
        self.showing = showing
        self._loaded: dict[tuple[str, Any], Any] = {}

    def __call__(self, name: str, load: Callable[[Found], T]) -> T:
        """What `load` makes of the model `name`. Raises as `find` and `load` do."""
        key = (name, load)
        if key not in self._loaded:
            self._loaded[key] = load(self.find(name))
        loaded: T = self._loaded[key]
        return loaded


def found_alone(get: Callable[[str], ModelFiles], encoder: str) -> Callable[[str], Found]:
    """How models are found where there is no loop: `get` by name, and `encoder` is the one that was chosen."""

    def find(name: str) -> Found:
        if name in (BASE, CHAMPION):
            raise ConfigError(
                f"`model: {name}` is a model of a loop, and there is none here; name a model, such as "
                "`model: smollm2-135m-instruct`, or a folder"
            )
        return Found(get(encoder if name == ENCODER else name))

    return find
