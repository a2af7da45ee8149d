"""Embeddings handed on from the funnel, so that a check need not load the encoder to hear the same again."""

import io
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ...models.encoder import Encode
from ..filters import FunnelContext
from .sides import Vectors


def packed(texts: Iterable[str], context: FunnelContext) -> bytes:
    """What `context` remembers of `texts`, as a .npy file: a row for each different text, NaN where there is none."""
    found = [context.remembered(text) for text in dict.fromkeys(texts)]
    width = max((len(row) for row in found if row is not None), default=0)
    unknown = np.full(width, np.nan, dtype=np.float32)
    rows = [unknown if row is None else row for row in found]
    stream = io.BytesIO()
    np.save(stream, np.stack(rows) if rows else np.zeros((0, 0), dtype=np.float32), allow_pickle=False)
    return stream.getvalue()


class Remembered:
    """An encoder that knows the rows of some texts, and is loaded only for others."""

    def __init__(self, texts: Iterable[str], data: bytes, load: Callable[[], Encode]) -> None:
        rows = np.load(io.BytesIO(data), allow_pickle=False)
        pairs = zip(dict.fromkeys(texts), rows, strict=True)
        self._known = {text: row for text, row in pairs if len(row) and not np.isnan(row[0])}
        self._load = load
        self._encode: Encode | None = None

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Unit rows (n, d) for `texts`, of which there is at least one."""
        if fresh := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._encode = self._encode or self._load()
            self._known.update(zip(fresh, self._encode(fresh), strict=True))
        return np.stack([self._known[text] for text in texts])
