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


@given(TEXTS, st.integers(1, 5))
def test_blocks_hold_what_each_token_sees_and_give_all_of_it_back(texts: list[list[int]], longest: int) -> None:
    tree = Tree(texts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "LONGEST", longest)
        made = blocks.Blocks(tree.pieces)
    sees, back = torch.zeros(2, len(tree) + 1, len(tree), dtype=torch.int)
    for group in made.groups:
        own, seen = group.own.view(len(group.hidden), -1), group.seen.view(len(group.hidden), -1)
        assert own.shape[1] <= longest and group.hidden.shape == (*own.shape, seen.shape[1])
        for one, others, hidden in zip(own, seen, group.hidden, strict=True):
            for place, added in zip(one, hidden, strict=True):
                assert bool(((added == 0) | (added == -torch.inf)).all())
                sees[place, others[added == 0]] += 1
        for (begin, end), at, which in group.back:
            assert torch.equal(
                seen[which, at : at + end - begin], torch.arange(begin, end).expand(len(seen[which]), -1)
            )
            back[own[which].flatten(), begin:end] += 1
    assert torch.equal(sees[:-1].bool(), tree.mask()) and sees[:-1].max() == 1
    assert bool((back[:-1] >= sees[:-1]).all()) and back[:-1].max() == 1
    assert torch.cat([group.own for group in made.groups])[made.order].tolist() == list(range(len(tree)))


def test_what_only_some_share_is_read_once_too() -> None:
    tree = Tree([[1, 5, 6], [1, 2, 3], [1, 2, 4]])
    assert (tree.ids, tree.positions) == ([1, 2, 3, 4, 5, 6], [0, 1, 2, 2, 1, 2])
    assert tree.ways == [[0, 4, 5], [0, 1, 2], [0, 1, 3]]
    assert tree.mask()[3].tolist() == [True, True, False, True, False, False]
    assert tree.pieces == [((0, 3), ()), ((3, 4), ((0, 2),)), ((4, 6), ((0, 1),))]
