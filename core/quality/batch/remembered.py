"""Embeddings handed on from the funnel, so that a check need not load the encoder to hear the same again."""

import io
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ...digests import SHORT, quick_digest
from ...models.encoder import Encode
from ..context import FunnelContext
from .sides import Vectors


def packed(texts: Iterable[str], context: FunnelContext) -> bytes:
    """What `context` remembers of `texts`, as a .npz file: `texts` (m,) by their digests, and `rows` (m, d).

    By digests, not by their order: between funnel and check people may have taken texts out, and corrected others.
    """
    found = {text: row for text in dict.fromkeys(texts) if (row := context.remembered(text)) is not None}
    stream = io.BytesIO()
    np.savez(
        stream,
        texts=np.array([_name(text) for text in found], dtype=f"S{SHORT}"),
        rows=np.stack(list(found.values())) if found else np.zeros((0, 0), dtype=np.float32),
    )
    return stream.getvalue()


class Remembered:
    """An encoder that knows the rows of some texts, none without `data`, and is loaded only for others."""

    def __init__(self, data: bytes | None, load: Callable[[], Encode]) -> None:
        self._known: dict[bytes, Vectors] = {}
        if data is not None:
            with np.load(io.BytesIO(data), allow_pickle=False) as known:
                self._known.update(zip(known["texts"].tolist(), known["rows"], strict=True))
        self._load = load
        self._encode: Encode | None = None

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Unit rows (n, d) for `texts`, of which there is at least one."""
        names = [_name(text) for text in texts]
        fresh = {name: text for name, text in zip(names, texts, strict=True) if name not in self._known}
        if fresh:
            self._encode = self._encode or self._load()
            self._known.update(zip(fresh, self._encode(list(fresh.values())), strict=True))
        return np.stack([self._known[name] for name in names])


def _name(text: str) -> bytes:
    return quick_digest(text)[:SHORT].encode()
