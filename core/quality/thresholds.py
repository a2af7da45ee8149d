"""From which cosine on two texts say the same: told by data, for one encoder.

Encoders differ: what is 0.75 for one is 0.9 for another. Two kinds of data tell. Pairs of which it is known whether
they say the same give the cosine that few of the others reach. Rows that all say something of their own, such as
seeds, give the tail of the cosines of unrelated texts, and with it how near the nearest of N others comes by chance.
"""

from collections.abc import Sequence
from math import floor, inf, nextafter
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ..digests import digest_of
from ..errors import DataError
from ..models.encoder import ENCODING, Vectors
from ..settings import Setting
from ..workspace import write_text

Auto = Literal["auto"]
Cosines = NDArray[np.float64]

FEWEST = 50
"""Rows whose pairs tell a tail: 61 of 1,225 lie in it."""

TAIL = 0.05  # share of the pairs that are its tail
HIGHEST = 0.999  # no two texts need be nearer than this to be one
ROWS = 2_000  # that a tail is told from: two million pairs


class Limit(NamedTuple):
    """A threshold, and what told it; empty where a person wrote it."""

    value: float
    told: str

    @property
    def figures(self) -> dict[str, float]:
        """For the report: the threshold, where nobody wrote it."""
        return {"threshold": self.value} if self.told else {}

    def notes(self, kind: str) -> tuple[str, ...]:
        """For the report: where the threshold comes from."""
        return (f"{kind}: cosine {self.value:.3f}, told by {self.told}.",) if self.told else ()


class Tail(Setting):
    """The largest cosines of pairs of unrelated texts, as a generalised Pareto distribution above `start`."""

    rows: int = Field(ge=2, description="texts whose pairs were looked at")
    start: float = Field(ge=-1, le=1, description="cosine at which the tail begins")
    share: float = Field(gt=0, le=1, description="share of pairs above `start`")
    scale: float = Field(ge=0, description="scale of what exceeds `start`")
    shape: float = Field(le=0, description="shape; at most 0, since a cosine has an upper end")

    @classmethod
    def of(cls, vectors: Vectors) -> Self | None:
        """The tail of the cosines between unit rows (n, d), each a text of its own; None of fewer than FEWEST.

        Fitted by moments (Hosking & Wallis 1987, "Parameter and quantile estimation for the generalized Pareto
        distribution"): shape ½(1 − m²/v) and scale ½m(m²/v + 1) of mean m and variance v of the excess. The shape
        is then raised by (1 − shape)/√rows, about a standard error: a tail that is taken for too short lets through
        what it should not. Simulated, 60 rows then keep the promise of 5 % in a batch of 4,000 (6 % at worst, where
        rows have topics); as fitted it was broken by up to 66 %.
        """
        if (rows := len(vectors)) < FEWEST:
            return None
        cosines = np.asarray(vectors @ vectors.T, dtype=np.float64)[np.triu_indices(rows, 1)]
        beyond = max(1, int(TAIL * len(cosines)))
        ordered = np.sort(np.partition(cosines, len(cosines) - beyond - 1)[-beyond - 1 :])
        excess = ordered[1:] - ordered[0]
        mean, variance = float(excess.mean()), float(excess.var())
        ratio = mean**2 / variance if variance > 0 else 1.0
        shape, scale = (1 - ratio) / 2, mean * (ratio + 1) / 2
        shape = min(0.0, shape + (1 - shape) / rows**0.5)
        start = float(ordered[0].clip(-1, 1))
        return cls(rows=rows, start=start, share=beyond / len(cosines), scale=scale, shape=shape)

    def cosine(self, compared: int, false_positives: float) -> float:
        """The cosine that a text of its own meaning reaches with none of `compared` others, but for `false_positives`.

        The chance that one of N others is as near is at most N times that of one (Boole's inequality).
        """
        odds = min(1.0, false_positives / max(1, compared) / self.share)
        grown = -np.log(odds) if self.shape == 0 else (odds**-self.shape - 1) / self.shape
        return float(min(self.start + self.scale * grown, HIGHEST))

    def limit(self, compared: int, false_positives: float, source: str) -> Limit:
        """The threshold, and that it was told by `source`."""
        against = f"{false_positives:.1%} of rows among {compared:,} others"
        return Limit(self.cosine(compared, false_positives), f"{source}, for at most {against}")


class Calibration(Setting):
    """What is known of the cosines of one encoder."""

    encoder: str = Field(description="its name")
    model: str = Field(description="digest of its files")
    source: str = Field(description="the file that told")
    threshold: float | None = Field(None, gt=-1, le=1, description="of pairs: the cosine from which on they are alike")
    false_positives: float | None = Field(None, gt=0, lt=1, description="share of the other pairs that may reach it")
    recall: float | None = Field(None, ge=0, le=1, description="share of the pairs that say the same and reach it")
    pairs: tuple[int, int] | None = Field(None, description="pairs that say the same, and that do not")
    tail: Tail | None = Field(None, description="of rows: the tail of their cosines")

    def limit(self, compared: int, false_positives: float) -> Limit:
        """The threshold where each row is compared with `compared` others."""
        if self.tail is not None:
            return self.tail.limit(compared, false_positives, f"{self.tail.rows} rows of {self.source}")
        assert self.threshold is not None and self.pairs is not None  # one of the two is always there
        return Limit(self.threshold, f"{sum(self.pairs)} pairs of {self.source}")

    @property
    def digest(self) -> str:
        """Names what it says."""
        return digest_of(self.model_dump(mode="json"))


class Separation(NamedTuple):
    """A threshold between pairs, and the share that reaches it of those that say the same."""

    threshold: float
    recall: float


def separate(same: Sequence[float] | Cosines, other: Sequence[float] | Cosines, false_positives: float) -> Separation:
    """The smallest cosine that a further pair of the kind of `other` reaches with at most this probability.

    By rank among the m others, whatever their distribution (Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a
    Random World": of m + 1 exchangeable values each is the k-th largest or larger with probability k/(m + 1)).
    Raises DataError where m is too small to tell.
    """
    ordered, rank = np.sort(np.asarray(other, dtype=np.float64))[::-1], floor(false_positives * (len(other) + 1))
    if rank < 1:
        needed = int(np.ceil(1 / false_positives)) - 1
        raise DataError(
            f"{len(other)} pairs that do not say the same cannot tell a share of {false_positives:g}; "
            f"give at least {needed}, or allow a larger share"
        )
    if not len(same):
        raise DataError("no pair says the same, so that nobody can tell what is lost; add some")
    threshold = nextafter(float(ordered[rank - 1]), inf)
    return Separation(threshold, float((np.asarray(same) >= threshold).mean()))


def path_of(home: Path, model: str) -> Path:
    """Where the calibration of an encoder is kept, by the digest of its files."""
    return home / "calibrations" / f"{digest_of([model, ENCODING])[:16]}.json"


def read_calibration(home: Path, model: str) -> Calibration | None:
    """What is known of an encoder; None where nobody has calibrated it. Raises DataError for a damaged file."""
    path = path_of(home, model)
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError):
        raise DataError(f"{path}: this is no calibration; remove it, then run `wheelwork calibrate` again") from None


def write_calibration(home: Path, calibration: Calibration) -> Path:
    """Keep it in the place of what was known before; returns the file."""
    path = path_of(home, calibration.model)
    write_text(path, calibration.model_dump_json(indent=2) + "\n")
    return path
