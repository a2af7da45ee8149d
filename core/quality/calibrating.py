"""Calibrating an encoder from a file: pairs of texts that say the same or do not, or rows that are all different."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ..models.encoder import Encode, Vectors
from ..rows import read_rows
from ..text import in_words, normalised
from .files.source import read_all
from .thresholds import FEWEST, ROWS, Calibration, Tail, separate

ONE = ("text", "a", "text1", "sentence1", "parent")
OTHER = ("other", "b", "text2", "sentence2", "child")
SAME = ("same", "label", "duplicate", "is_duplicate")
YES, NO = ("1", "true", "yes", "same"), ("0", "false", "no", "other")


class Pair(NamedTuple):
    """Two texts, and whether they say the same."""

    one: str
    other: str
    same: bool


def calibrate(path: Path, encode: Encode, *, encoder: str, model: str, false_positives: float) -> Calibration:
    """What the file tells of the cosines of `encode`.

    A file with two columns of texts and one that says whether they are the same is one of pairs; of any other rows it
    is taken that each says something of its own. `model` is the digest of the encoder's files. Raises DataError for a
    row that cannot be read, and for a file that is too small to tell.
    """
    pairs = read_pairs(path)
    if pairs is None:
        return _by_rows(path, encode, encoder, model)
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.one, pair.other)))
    rows = dict(zip(texts, encode(texts), strict=True))
    cosines = np.array([float(rows[pair.one] @ rows[pair.other]) for pair in pairs])
    same = np.array([pair.same for pair in pairs])
    try:
        found = separate(cosines[same], cosines[~same], false_positives)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if found.threshold > 1:
        raise DataError(
            f"{path}: of the pairs that do not say the same more than {false_positives:g} have a cosine of 1, so that "
            "no threshold tells them; look at them, or allow a larger share"
        )
    return Calibration(
        encoder=encoder,
        model=model,
        source=path.name,
        threshold=found.threshold,
        false_positives=false_positives,
        recall=found.recall,
        pairs=(int(same.sum()), int((~same).sum())),
    )


def read_pairs(path: Path) -> list[Pair] | None:
    """The pairs of a file; None where its first row is none. Raises DataError naming file and line."""
    pairs: list[Pair] = []
    columns: tuple[str, str, str] | None = None
    for line, row in read_rows(path):
        if columns is None and (columns := _columns(row)) is None:
            return None
        one, other, same = (row.get(column) for column in columns)
        for column, text in zip(columns, (one, other), strict=False):
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"{path}:{line}: `{column}` must be a text, found {in_words(text)}; mend it")
        said = str(same).strip().casefold()
        if said not in (*YES, *NO):
            raise DataError(f"{path}:{line}: `{columns[2]}` must be 1 or 0, found {in_words(same)}; mend it")
        pairs.append(Pair(str(one), str(other), said in YES))
    return pairs or None


def _columns(row: Mapping[str, Any]) -> tuple[str, str, str] | None:
    named = {name.strip().casefold(): name for name in reversed(list(row))}
    one, other, same = (next((named[name] for name in names if name in named), None) for names in (ONE, OTHER, SAME))
    return None if one is None or other is None or same is None else (one, other, same)


def _by_rows(path: Path, encode: Encode, encoder: str, model: str) -> Calibration:
    texts = list({normalised(sample.prompt): sample.prompt for sample in read_all(path)}.values())
    if len(texts) > ROWS:
        texts = random.Random(0).sample(texts, ROWS)  # the same rows whenever it is asked
    vectors: Vectors = encode(texts)
    if (tail := Tail.of(vectors)) is None:
        raise DataError(f"{path}: {len(texts)} different texts are too few to tell; give at least {FEWEST}")
    return Calibration(encoder=encoder, model=model, source=path.name, tail=tail)
