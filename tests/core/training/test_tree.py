"""A tree of texts in one row: nothing twice that is worth sparing, and every way to be found again."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.training import blocks
from wheelwork.core.training.tree import Tree, shared_tokens

TEXT = st.lists(st.integers(0, 2), min_size=1, max_size=14)
TEXTS = st.lists(TEXT, min_size=1, max_size=7)


@given(TEXT, TEXT)
def test_shared_tokens_are_all_that_both_begin_with(one: list[int], other: list[int]) -> None:
    shared = shared_tokens(one, other)
    assert one[:shared] == other[:shared]
    assert shared in (len(one), len(other)) or one[shared] != other[shared]


@given(TEXTS)
def test_every_text_stands_on_its_way(texts: list[list[int]]) -> None:
    tree = Tree(texts)
    for text, way in zip(texts, tree.ways, strict=True):
        assert [tree.ids[place] for place in way] == text
        assert [tree.positions[place] for place in way] == [*range(len(text))]


@given(TEXTS)
def test_each_beginning_is_there_once(texts: list[list[int]]) -> None:
    assert len(Tree(texts)) == len({tuple(text[:end]) for text in texts for end in range(1, len(text) + 1)})


@given(TEXTS)
def test_a_token_sees_what_stands_before_it_in_its_text_and_nothing_else(texts: list[list[int]]) -> None:
    tree = Tree(texts)
    mask = tree.mask()
    for way in tree.ways:
        for number, place in enumerate(way):
            assert mask[place].nonzero().flatten().tolist() == sorted(way[: number + 1])


@given(TEXTS, st.integers(1, 5), st.integers(1, 3))
def test_blocks_hold_what_each_token_sees(texts: list[list[int]], longest: int, heads: int) -> None:
    tree = Tree(texts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "LONGEST", longest)
        made = blocks.Blocks(tree.pieces)
    sees = torch.zeros(len(tree), len(tree), dtype=torch.int)
    for group in made.groups:
        assert group.own.shape[1] <= longest and group.hidden.shape == (*group.own.shape, group.seen.shape[1])
        assert bool(((group.hidden == 0) | (group.hidden == -torch.inf)).all())
        for own, seen, hidden in zip(group.own, group.seen, group.hidden, strict=True):
            for place, added in zip(own, hidden, strict=True):
                if place >= 0:
                    sees[place, seen[added == 0]] += 1
    assert torch.equal(sees, tree.mask().int())
    laid = made.laid(heads, 1, torch.device("cpu"))
    (part,) = laid.parts
    assert torch.equal(part.own[laid.order], torch.arange(len(tree) * heads))
    assert len(part.own) - len(part.filled) == len(tree) * heads
    by_group = part.asked(part.own[:, None], width=1), part.sees(part.seen[:, None], width=1)
    for group, (own,), (seen,) in zip(made.groups, *by_group, strict=True):
        for head in range(heads):
            of_head = slice(head * len(group.own), (head + 1) * len(group.own))
            there = group.own >= 0
            assert torch.equal(own[of_head, :, 0][there], group.own[there] * heads + head)
            assert torch.equal(seen[of_head, :, 0], group.seen * heads + head)


def test_what_only_some_share_is_read_once_too() -> None:
    tree = Tree([[1, 5, 6], [1, 2, 3], [1, 2, 4]])
    assert (tree.ids, tree.positions) == ([1, 2, 3, 4, 5, 6], [0, 1, 2, 2, 1, 2])
    assert tree.ways == [[0, 4, 5], [0, 1, 2], [0, 1, 3]]
    assert tree.mask()[3].tolist() == [True, True, False, True, False, False]
    assert tree.pieces == [((0, 3), ()), ((3, 4), ((0, 2),)), ((4, 6), ((0, 1),))]
