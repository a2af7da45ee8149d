"""Sentence embeddings: texts in, unit vectors out, the same row for the same text whatever its company."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..digests import digest_of
from .pretrained import loading, pad_right
from .store import ModelFiles

ENCODING = 1
"""Raise it when the same text would get another row; it is a part of the fingerprint."""

TOKENS = 256
BATCH = 64

Vectors = npt.NDArray[np.float32]


class Encode(Protocol):
    """What the quality filters ask of an encoder: rows of unit length, and a name for its cache."""

    @property
    def fingerprint(self) -> str: ...

    def __call__(self, texts: Sequence[str]) -> Vectors: ...


class TokenVectors(NamedTuple):
    """A text token by token: rows of unit length (tokens, d), without special tokens; `cut` where some are left out."""

    rows: Vectors
    cut: bool


class Encoder:
    """A transformer encoder with mean pooling, as sentence-transformers builds it (Reimers & Gurevych 2019)."""

    def __init__(self, model: Any, tokenizer: Any, digest: str, threads: int | None = None) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._threads = threads
        self._tokens = min(TOKENS, int(getattr(model.config, "max_position_embeddings", TOKENS)))
        self.dimensions = int(model.config.hidden_size)
        self.fingerprint = digest_of({"model": digest, "encoding": ENCODING, "tokens": self._tokens})

    @classmethod
    def load(cls, files: ModelFiles, threads: int | None = None) -> "Encoder":
        """The encoder in `files.folder`, float32 on the CPU; `threads` is how many it may use (default: torch's).

        Raises ModelError for a folder that holds no encoder.
        """
        import torch
        from transformers import AutoModel, AutoTokenizer

        with loading(files.name, "an encoder"):
            model = AutoModel.from_pretrained(files.folder, dtype=torch.float32, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(files.folder, local_files_only=True)
        pad_right(tokenizer)
        return cls(model.eval(), tokenizer, files.digest, threads)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Rows of unit length for `texts`, float32 (n, d), in their order; a text beyond 256 tokens is cut.

        A text without a single token gets zeros.
        """
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        if not texts:
            return rows
        ids = self._tokenizer(list(texts), truncation=True, max_length=self._tokens, verbose=False)["input_ids"]
        # texts of like length share a batch, so that little of it is padding
        order = sorted((i for i in range(len(ids)) if ids[i]), key=lambda i: (len(ids[i]), i))
        with _threads(self._threads):
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                rows[batch] = self._encode([ids[i] for i in batch])
        return rows

    @property
    def layers(self) -> int:
        """How many layers there are; layer 0 is what goes into the first."""
        return int(self._model.config.num_hidden_layers)

    @property
    def most_tokens(self) -> int:
        """Tokens of a text that are read, special ones with them."""
        return self._tokens

    def by_token(self, texts: Sequence[str], layer: int | None = None) -> list[TokenVectors]:
        """Each of `texts` token by token, as one of the layers has it, by default the last.

        A text without a single token has no rows.
        """
        found = [TokenVectors(np.zeros((0, self.dimensions), dtype=np.float32), False) for _ in texts]
        if not texts:
            return found
        whole = self._tokenizer(list(texts), verbose=False)["input_ids"]
        read = self._tokenizer(
            list(texts), truncation=True, max_length=self._tokens, return_special_tokens_mask=True, verbose=False
        )
        ids, special = read["input_ids"], read["special_tokens_mask"]
        order = sorted((i for i in range(len(ids)) if not all(special[i])), key=lambda i: (len(ids[i]), i))
        with _threads(self._threads):
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                for i, states in zip(batch, self._states([ids[i] for i in batch], layer), strict=True):
                    own = states[: len(ids[i])][np.array(special[i]) == 0]
                    found[i] = TokenVectors(own, len(whole[i]) > len(ids[i]))
        return found

    def _states(self, ids: list[list[int]], layer: int | None) -> Vectors:
        """Rows of unit length (texts, tokens, d) of one layer."""
        import torch

        padded = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        with torch.inference_mode():
            said = self._model(**padded, output_hidden_states=layer is not None)
            hidden = said.last_hidden_state if layer is None else said.hidden_states[layer]
            states: Vectors = torch.nn.functional.normalize(hidden, dim=-1).numpy()
        return states

    def _encode(self, ids: list[list[int]]) -> Vectors:
        import torch

        padded = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._model(**padded).last_hidden_state
            mask = padded["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
            unit = torch.nn.functional.normalize(pooled, dim=1)
        vectors: Vectors = unit.numpy()
        return vectors


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
