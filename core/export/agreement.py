"""Whether what was exported answers as the original does: the same questions, greedily, and how far replies agree."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from ..chat.messages import ChatRequest
from ..loops import Loop
from .asking import Advance, Answerer, replies_of

SEED_TOKENS = 64  # of an answer to a seed's prompt; an item's answer is as long as its suite says
Tokenize = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class Agreement:
    """How far the replies of two models to the same questions agree; shares in [0, 1]."""

    original: str
    exported: str
    asked: int
    exact: float
    """Share of the questions that both answer with the same text."""
    tokens: float
    """Mean share of a reply's tokens before the first that differs, of the longer reply."""
    characters: float
    """Mean similarity of the texts (Ratcliff & Obershelp), which forgives one other word in the middle."""
    first_difference: tuple[str, str, str] | None
    """Question and both replies of the first that differ."""

    def below(self, bar: float) -> bool:
        return self.exact < bar


def questions(loop: Loop, count: int) -> list[ChatRequest]:
    """`count` prompts of the loop, at most: items of its suites in turn, then its seeds, in their order."""
    suites = [
        [
            ChatRequest(messages=loop.render(suite, item), max_tokens=suite.settings.max_tokens)
            for item in suite.items[:count]
        ]
        for suite in loop.suites.values()
    ]
    mixed = [one for row in zip_longest(*suites) for one in row if one is not None][:count]
    seeds = loop.material.seed_samples()[: count - len(mixed)]
    return mixed + [ChatRequest(messages=seed.messages[:-1], max_tokens=SEED_TOKENS) for seed in seeds]


def compare(
    original: Answerer,
    exported: Answerer,
    asked: Sequence[ChatRequest],
    tokenize: Tokenize,
    cache: Path,
    advance: Advance = lambda done: None,
) -> Agreement:
    """Ask both; `advance` hears how many answers of both together are there.

    Raises ModelError when one of them cannot be loaded.
    """
    ours = replies_of(original, asked, cache, advance)
    theirs = replies_of(exported, asked, cache, lambda done: advance(len(asked) + done))
    # half a character at the end is left out by llama.cpp, and a sign of its own to transformers
    texts = [[reply.text.rstrip("\ufffd") for reply in replies] for replies in (ours, theirs)]
    return agreement(original.name, exported.name, asked, texts[0], texts[1], tokenize)


def agreement(
    original: str,
    exported: str,
    asked: Sequence[ChatRequest],
    ours: Sequence[str],
    theirs: Sequence[str],
    tokenize: Tokenize,
) -> Agreement:
    """How far `theirs` agree with `ours`, reply by reply. At least one question must have been asked."""
    pairs = list(zip(ours, theirs, strict=True))
    apart = ((request.messages[-1].content, *pair) for request, pair in zip(asked, pairs, strict=True))
    return Agreement(
        original,
        exported,
        len(pairs),
        exact=sum(one == other for one, other in pairs) / len(pairs),
        tokens=sum(begun_alike(tokenize(one), tokenize(other)) for one, other in pairs) / len(pairs),
        characters=sum(_alike(one, other) for one, other in pairs) / len(pairs),
        first_difference=next((row for row in apart if row[1] != row[2]), None),
    )


def begun_alike(one: Sequence[int], other: Sequence[int]) -> float:
    """Share of the longer of two lists that they begin with in common; 1 for two empty ones."""
    longest = max(len(one), len(other))
    same = next((at for at, (a, b) in enumerate(zip_longest(one, other)) if a != b), longest)
    return same / longest if longest else 1.0


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
