"""What to ask for: so many samples of each category and control, a call at a time, the same for the same seed."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil
from typing import Annotated, NamedTuple

from pydantic import Field

from ..chat.budget import Budget
from ..settings import Setting
from ..text import words
from .augment.settings import Augmentation
from .documents import Passage
from .example import Example
from .following import followed
from .quota import spread, top_up

GROUP = 8  # samples in a row that share their examples, so that an engine reads them once
AXES = ("difficulty", "style", "length", "language")
WAVES = 12  # of asking again, at most
POOL = 64  # seeds of one category that examples are chosen among


class Controls(Setting):
    """What samples are to be like; the plan spreads them evenly over all combinations."""

    difficulty: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
        (), description="grades 1 (plain) to 5 (indirect); empty: not asked for"
    )
    style: tuple[str, ...] = Field((), description="such as terse, chatty, annoyed, misspelt")
    length: tuple[str, ...] = Field((), description="such as `about 10 words`, `two or three sentences`")
    languages: tuple[str, ...] = Field((), description="codes such as en, zh; empty: the loop's language")

    def combinations(self) -> list[tuple[tuple[str, str], ...]]:
        """Every combination of the controls that are used, as pairs of name and value; one empty one without any."""
        asked = (self.difficulty, self.style, self.length, self.languages)
        axes: dict[str, Sequence[object]] = dict(zip(AXES, asked, strict=True))
        used = {name: tuple(map(str, values)) for name, values in axes.items() if values}
        return [tuple(zip(used, chosen, strict=True)) for chosen in product(*used.values())]


class Generation(Setting):
    """How many samples to ask for, and how."""

    samples: int = Field(216, ge=0, le=10_000_000, description="how many to ask the teacher for in a round, at most")
    keep: int | None = Field(
        None,
        ge=1,
        description="stop when the funnel kept this many, and ask again for what it dropped; unset: ask once",
    )
    quotas: dict[str, float] = Field({}, description="category → weight of its share; 1 for those not named")
    shots: int = Field(5, ge=0, le=32, description="real examples shown with each request")
    opening_words: int = Field(
        2, ge=0, le=6, description="words of a real message that every second request must begin with; 0: none"
    )
    templates: dict[str, float] = Field(
        {}, description="template → weight; unset: `continue` for the embedded teacher, `write` for others"
    )
    controls: Controls = Field(Controls(), description="difficulty, style, length and language to spread samples over")
    tone: str = Field("", description="how the writer sounds, such as `polite but firm`")
    forbidden: tuple[str, ...] = Field((), description="words that the teacher is told not to use")
    temperature: float = Field(0.8, ge=0, le=2, description="spread of the teacher's wording")
    top_p: float = Field(0.95, gt=0, le=1, description="share of the probability that is sampled from")
    max_tokens: int = Field(48, ge=4, le=32_768, description="longest reply in tokens")
    retries: int = Field(2, ge=0, le=10, description="further calls where a reply holds no readable sample")
    budget: Budget = Field(Budget(), description="what the teacher may cost in a step of a round")
    augment: Augmentation | None = Field(None, description="vary seeds and kept samples too; unset: do not")
    follow: float = Field(
        0.0, ge=0, le=1, description="share of the samples that goes to what the last round was found to lack; 0: none"
    )

    @property
    def wishes(self) -> list[str]:
        """Settings that a teacher is told as rules, as far as they ask for something."""
        controls = [f"controls.{name}" for name in Controls.model_fields if getattr(self.controls, name)]
        return [*controls, *(name for name in ("tone", "forbidden") if getattr(self, name))]


class Cell(NamedTuple):
    """What a quota is for: one category under one combination of controls."""

    category: str
    controls: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """One line that names the cell: `billing · difficulty 3 · style terse`."""
        return " · ".join([self.category, *(f"{name} {value}" for name, value in self.controls)])


@dataclass(frozen=True, slots=True)
class Order:
    """One call to be made: so many samples of one cell, the examples to show, the words to begin with, the seed."""

    cell: Cell
    choices: int
    shots: tuple[Example, ...]
    opening: str
    seed: int
    template: str
    passage: Passage | None = None


def cell_of(controls: Mapping[str, str]) -> str:
    """The name of the cell that a sample was made for, by its controls."""
    chosen = tuple((axis, controls[axis]) for axis in AXES if axis in controls)
    return Cell(controls.get("category", ""), chosen).name


def cells(categories: Sequence[str], settings: Generation) -> dict[str, Cell]:
    """Every cell of the grid by its name, category by category."""
    combinations = settings.controls.combinations()
    return {cell.name: cell for cell in (Cell(category, chosen) for category in categories for chosen in combinations)}


def quotas(total: int, categories: Sequence[str], settings: Generation) -> dict[str, int]:
    """`total` samples over the cells: by the weights of the categories, and evenly within each."""
    weights = {category: settings.quotas.get(category, 1.0) for category in categories}
    shares, combinations = spread(total, weights), settings.controls.combinations()
    parts: dict[str, int] = {}
    for number, category in enumerate(categories):
        # the remainder begins at another combination in each category, or the first ones would have it all
        turned = [combinations[(i + number) % len(combinations)] for i in range(len(combinations))]
        part = spread(shares[category], {Cell(category, chosen).name: 1.0 for chosen in turned})
        parts |= {Cell(category, chosen).name: part[Cell(category, chosen).name] for chosen in combinations}
    return parts


def next_wave(
    kept: Mapping[str, int],
    asked: int,
    waves: int,
    categories: Sequence[str],
    settings: Generation,
    lacking: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """What to ask for next, by cell: all of `samples` at once, or with `keep` what the quotas still lack.

    `kept` are the funnel's survivors by cell and `asked` the rows of the `waves` before. What is lacking is asked for
    by the share that was kept so far, at least a tenth. Empty when the quotas are met, `samples` are spent, nothing
    came of the waves before, or there were too many of them. Cells that an earlier round was found to be `lacking` get
    the share `follow` of the quotas, by their weights.
    """
    left = settings.samples - asked
    wanted = quotas(settings.keep or settings.samples, categories, settings)
    wanted, survivors = followed(wanted, lacking or {}, settings.follow), sum(kept.values())
    if settings.keep is None:
        return wanted if waves == 0 else {}
    if left <= 0 or waves >= WAVES or (waves and not survivors):
        return {}
    share = max(0.1, survivors / asked) if asked else 1.0
    missing = top_up(kept, wanted, settings.keep)
    more = {name: ceil(count / share) for name, count in missing.items() if count}
    return more if sum(more.values()) <= left else spread(left, more)


def plan(
    wanted: Mapping[str, int],
    categories: Sequence[str],
    seeds: Sequence[Example],
    settings: Generation,
    *,
    templates: Mapping[str, float],
    choices: int,
    seed: int,
    passages: Mapping[str, Sequence[Passage]] | None = None,
    openings: bool = False,
) -> Iterator[Order]:
    """The calls that bring `wanted` samples by cell name, cell by cell; `choices` samples come from one call.

    A group of calls shares its examples. With `openings`, every second call begins as a seed of its category does,
    which keeps to the point; the others begin freely, which varies. The passages of a category take turns.
    """
    rng = random.Random(seed)
    chooser, grid = Shots(seeds), cells(categories, settings)
    names, weights = list(templates), list(templates.values())
    for name, count in wanted.items():
        cell, left, turn, shots = grid[name], count, 0, tuple[Example, ...]()
        about = list((passages or {}).get(cell.category, ()))
        rng.shuffle(about)
        begins = chooser.openings(cell.category, settings.opening_words) if openings and settings.opening_words else []
        while left > 0:
            if turn % max(1, GROUP // choices) == 0:
                shots = chooser.choose(cell.category, settings.shots, rng)
            yield Order(
                cell=cell,
                choices=min(choices, left),
                shots=shots,
                opening=rng.choice(begins) if begins and turn % 2 == 0 else "",
                seed=rng.randrange(2**31),
                template=names[0] if len(names) == 1 else rng.choices(names, weights)[0],
                passage=about[turn % len(about)] if about else None,
            )
            left, turn = left - choices, turn + 1


class Shots:
    """Chooses examples: of the category where it has any, and unlike each other."""

    def __init__(self, seeds: Sequence[Example]) -> None:
        self._all = list(seeds)
        self._by_category: dict[str, list[Example]] = {}
        for example in seeds:
            self._by_category.setdefault(example.category, []).append(example)
        self._ranked = cache(self._rank)

    def choose(self, category: str, count: int, rng: random.Random) -> tuple[Example, ...]:
        """`count` examples: one at random, and of those least like it and each other a random choice."""
        if not (pool := self._pool(category)) or not count:
            return ()
        start = rng.randrange(len(pool))
        ranked = self._ranked(category, start)[: count + 2]  # two more than needed, so that it varies
        return tuple(pool[index] for index in rng.sample(ranked, min(count, len(ranked))))

    def openings(self, category: str, count: int) -> list[str]:
        """How the category's own seeds begin: their first `count` words, each once."""
        own = self._by_category.get(category, ())
        return sorted({opening(example.text, count) for example in own})

    def _pool(self, category: str) -> list[Example]:
        return (self._by_category.get(category) or self._all)[:POOL]

    def _rank(self, category: str, start: int) -> list[int]:
        """Indices into the pool from `start` on, next always the one that shares fewest words with those before."""
        bags = [set(words(example.text)) for example in self._pool(category)]
        ranked = [start]
        closest = [_overlap(bag, bags[start]) for bag in bags]
        while len(ranked) < len(bags):
            nearest = min((index for index in range(len(bags)) if index not in ranked), key=lambda i: (closest[i], i))
            ranked.append(nearest)
            closest = [max(old, _overlap(bag, bags[nearest])) for old, bag in zip(closest, bags, strict=True)]
        return ranked


def opening(text: str, count: int) -> str:
    """The first `count` words of a text."""
    return " ".join(text.split()[:count])


def _overlap(one: set[str], other: set[str]) -> float:
    """Jaccard similarity of two bags of words, in [0, 1]."""
    return len(one & other) / max(1, len(one | other))
