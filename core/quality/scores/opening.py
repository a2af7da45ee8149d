"""The models and files that the filters of a loop score with: found before the round, named in the cache key."""

from pathlib import Path
from typing import TYPE_CHECKING

from ...digests import digest_file
from ...models.store import ModelStore
from .head import read_head
from .models import BASE, CHAMPION, ENCODER, Found, Models, Showing, silent

if TYPE_CHECKING:
    from ...loops import Loop  # which knows the filters, and they this package
    from ...rounds import Champion

NO_CHAMPION = "were read by the base, as there is no champion yet"


def models_of(loop: "Loop", champion: "Champion | None", showing: Showing = silent) -> Models:
    """The models of `loop` by name; paths start at its folder. Before there is a champion, the base stands for it."""
    store = ModelStore().get

    def find(name: str) -> Found:
        base = loop.model_ref(loop.settings.model)
        if name == BASE:
            return Found(store(base))
        if name == CHAMPION:
            files = store(base)
            return Found(files, champion.folder, champion.digest) if champion else Found(files, remark=NO_CHAMPION)
        return Found(store(loop.model_ref(loop.settings.encoder if name == ENCODER else name)))

    return Models(find, loop.folder, loop.folder, showing)


def scoring_identity(loop: "Loop") -> dict[str, str]:
    """Names what the scores of the loop's filters depend on besides rows and champion; empty where none asks a model.

    Raises ModelError for a model and ConfigError for a preference head that is not there, before any is needed.
    """
    models, funnel = models_of(loop, None), loop.settings.funnel
    named = {name: models.find(name).digest for name in funnel.scored_by}
    return named | {name: _digest(models.folder / name) for name in funnel.files}


def _digest(path: Path) -> str:
    read_head(path)
    return digest_file(path)
