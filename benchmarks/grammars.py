"""Small grammars that make sentences nobody wrote: English for good rows, five other languages for wrong ones.

A grammar has words by part of speech, clauses of these parts, and words that join clauses. Its sentences mean little,
but each word and its place are those of the language, so that a model that tells languages knows them. The words that
are listed first are drawn most, the n-th with a weight of 1 / (n + 20); two English sentences of 25 words share hardly
a word triple.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, product
from pathlib import Path
from typing import NamedTuple

import yaml

DRAWN_AT_ONCE = 1024


class Grammar(NamedTuple):
    """`clauses` are parts of speech, which are the keys of `words`; a sentence is clauses with a `J` between each two.

    A sentence has `length` words, or as many as `clauses_a_sentence` clauses have.
    """

    words: dict[str, str]
    clauses: Sequence[str]
    clauses_a_sentence: int = 3
    length: int | None = None
    between: str = " "

    def sentences(self, draw: random.Random) -> Callable[[], str]:
        """What makes one sentence after another."""
        stock = {part: _endless(words.split(), draw) for part, words in self.words.items()}
        forms = [[stock[part] for part in form] for form in self._forms()]
        between = self.between
        return lambda: between.join([take() for take in draw.choice(forms)])

    def _forms(self) -> list[list[str]]:
        found = [" J ".join(clauses).split() for clauses in product(self.clauses, repeat=self.clauses_a_sentence)]
        return [form for form in found if self.length in (None, len(form))]


def _endless(words: Sequence[str], draw: random.Random) -> Callable[[], str]:
    """What gives the next of endlessly many words; drawn many at a time, which is ten times as fast."""
    weights = list(accumulate(1 / (rank + 20) for rank in range(len(words))))

    def lots() -> Iterator[list[str]]:
        while True:
            yield draw.choices(words, cum_weights=weights, k=DRAWN_AT_ONCE)

    return chain.from_iterable(lots()).__next__


def _read() -> dict[str, Grammar]:
    """Every grammar of the file beside this one, by its language."""
    told = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {language: Grammar(**grammar) for language, grammar in told.items()}


ENGLISH, *OTHERS = _read().values()
