"""A preference head: which of two answers to a prompt people would choose, learnt over frozen embeddings.

Bradley & Terry (1952): P(chosen over rejected) = σ(u(chosen) − u(rejected)), here with u = w · φ. φ of an answer a to a
prompt p, both rows of unit length, is a beside p ∘ a, so that what fits the prompt can count, not only what is said in
general; p alone would cancel out of every difference.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ...digests import digest_of
from ...errors import ConfigError, DataError
from ...models.encoder import Encode
from ...rows import Row, naming, not_empty, read_rows
from ...samples import is_unicode
from ...settings import Setting
from ...text import in_words, normalised
from ...workspace import write_text

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

FOLDS = 5
FEWEST = 20  # pairs; below it neither weights nor their accuracy say anything
COLUMNS = ("prompt", "chosen", "rejected")


class Pair(NamedTuple):
    """Two answers to a prompt, of which the first was preferred."""

    prompt: str
    chosen: str
    rejected: str


class Held(Setting):
    """How often the head is right about pairs that it did not see, and the 95% interval of that share."""

    accuracy: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Head(Setting):
    """The weights of a head, and how they came about."""

    kind: str = Field("wheelwork.preference", pattern=r"^wheelwork\.preference$")
    encoder: str = Field(min_length=1, description="fingerprint of the encoder that it was fitted over")
    pairs: int = Field(ge=1, description="pairs that it was fitted on")
    prompts: int = Field(ge=1, description="different prompts among them")
    l2: float = Field(gt=0, allow_inf_nan=False, description="strength of the penalty on w")
    held_out: Held = Field(description="by cross-validation in folds that share no prompt")
    offset: float = Field(allow_inf_nan=False, description="mean of w · φ over all answers of the pairs: a score of 0")
    weights: tuple[float, ...] = Field(min_length=2, description="w, first of a, then of p ∘ a")

    @model_validator(mode="after")
    def _finite(self) -> "Head":
        if not np.isfinite(self.weights).all() or len(self.weights) % 2:
            raise ValueError("`weights` must be finite numbers, as many of a as of p ∘ a")
        return self

    def __call__(self, prompts: Rows, answers: Rows) -> Array:
        """The utility of each answer (n,), in nats of odds: 0 is an average answer of the pairs.

        `prompts`, `answers` (n, d), rows of unit length of the head's encoder.
        """
        utility: Array = features(prompts, answers) @ np.array(self.weights) - self.offset
        return utility


def features(prompts: Rows, answers: Rows) -> Array:
    """φ of answers to prompts (n, 2d)."""
    return np.concatenate([answers, prompts * answers], axis=1).astype(np.float64)


def fit_preference(pairs: Sequence[Pair], encode: Encode, *, l2: float = 1.0) -> Head:
    """Weights that minimise Σ log(1 + exp(−w · (φ(chosen) − φ(rejected)))) + l2/2 · |w|², and how good they are.

    The accuracy is that of cross-validation with five folds; the pairs of one prompt share a fold. Its interval is
    Wilson's (1927), or where it is wider and prompts repeat, that of a bootstrap over prompts. The same pairs give the
    same weights, in whatever order. Raises DataError below 20 pairs or 5 prompts, and where nothing tells the two sides
    apart.
    """
    ordered = sorted({*pairs})
    groups = [normalised(pair.prompt) for pair in ordered]
    if len(ordered) < FEWEST or len(set(groups)) < FOLDS:
        raise DataError(
            f"{len(ordered)} different pairs of {len(set(groups))} prompts are too few to fit on; bring at least "
            f"{FEWEST} of {FOLDS}, better some hundreds"
        )
    prompts, chosen, rejected = (
        encode([pair[at] for pair in ordered]).astype(np.float64) for at in range(len(COLUMNS))
    )
    better, worse = features(prompts, chosen), features(prompts, rejected)
    differences = better - worse
    if not np.abs(differences).max() > 1e-9:
        raise DataError("to the encoder every chosen answer is the same as the rejected one; give another --encoder")
    weights = bradley_terry(differences, l2)
    return Head(
        encoder=encode.fingerprint,
        pairs=len(ordered),
        prompts=len(set(groups)),
        l2=l2,
        held_out=_held_out(differences, groups, l2),
        offset=float((np.concatenate([better, worse]) @ weights).mean()),
        weights=tuple(map(float, weights)),
    )


def bradley_terry(differences: Array, l2: float) -> Array:
    """The weights (f,) of differences (n, f), each better minus worse; the problem is convex and has one answer."""
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(weights: Array) -> tuple[float, Array]:
        margins = differences @ weights
        gradient = -differences.T @ expit(-margins) + l2 * weights
        return float(np.logaddexp(0, -margins).sum() + l2 / 2 * weights @ weights), gradient

    start = np.zeros(differences.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "gtol": 1e-8})
    weights: Array = found.x
    return weights


def _held_out(differences: Array, groups: Sequence[str], l2: float) -> Held:
    from ...evaluation.statistics import cluster_bootstrap_interval, wilson_interval

    right = np.zeros(len(differences))
    folds = _folds(groups)
    for fold in range(FOLDS):
        away = folds == fold
        margins = differences[away] @ bradley_terry(differences[~away], l2)
        right[away] = np.where(margins > 0, 1.0, np.where(margins < 0, 0.0, 0.5))
    low, high = wilson_interval(int(right.sum()), len(right))
    if len(set(groups)) < len(groups):
        drawn = cluster_bootstrap_interval(right, groups, seed=0)
        low, high = min(low, drawn[0]), max(high, drawn[1])
    return Held(accuracy=float(right.mean()), low=low, high=high)


def _folds(groups: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each row: groups go round in the order of a hash, so that every fold has about as many."""
    order = sorted(set(groups), key=lambda group: digest_of(group))
    fold_of = {group: at % FOLDS for at, group in enumerate(order)}
    return np.array([fold_of[group] for group in groups])


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of a file with the columns `prompt`, `chosen` and `rejected`.

    Raises DataError naming file and line for a text that is missing or empty, and for two answers that are one.
    """
    for line, row in not_empty(path, read_rows(path)):
        with naming(path, line):
            pair = Pair(*(_text(row, name) for name in COLUMNS))
            if normalised(pair.chosen) == normalised(pair.rejected):
                raise DataError("`chosen` and `rejected` say the same; remove the row")
        yield pair


def write_head(path: Path, head: Head) -> None:
    """Write a head as JSON, whole or not at all."""
    write_text(path, json.dumps(head.model_dump(mode="json"), indent=None, ensure_ascii=False) + "\n")


def read_head(path: Path) -> Head:
    """The head in `path`. Raises ConfigError for a file that is missing or holds none."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        return Head.model_validate(values)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such preference head; `wheelwork review preference PAIRS --out {path}` fits one"
        ) from None
    except (OSError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise ConfigError(
            f"{path}: this is no preference head ({reason}); `wheelwork review preference PAIRS --out FILE` fits one"
        ) from None


def _text(row: Row, name: str) -> str:
    named: Iterable[str] = (key for key in row if key.strip().casefold() == name)
    value = row.get(next(iter(named), name))
    if not isinstance(value, str):
        raise DataError(f"`{name}` must be text, found {in_words(value)}; a row has `prompt`, `chosen` and `rejected`")
    if not value.strip() or not is_unicode(value):
        raise DataError(f"`{name}` is empty or no whole text; mend it or remove the row")
    return value
