"""A tree of texts in one row: nothing twice that is worth sparing, and every way to be found again."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.training.tree import Chunks, Tree, shared_tokens

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


@given(TEXTS)
def test_chunks_hold_what_each_piece_sees_in_its_order(texts: list[list[int]]) -> None:
    tree = Tree(texts)
    chunks = Chunks(tree.pieces)
    assert sum(chunks.own) == sum(chunks.sizes) == len(tree)
    held = torch.arange(len(tree)).split(chunks.sizes)
    for piece, way, added in zip(tree.pieces, chunks.ways, chunks.added(2, torch.float32), strict=True):
        seen = torch.cat([held[chunk] for chunk in way])
        allowed = tree.mask()[slice(*piece.own)][:, seen]
        assert allowed.sum() == tree.mask()[slice(*piece.own)].sum()
        assert torch.equal(added == 0, allowed.repeat(2, 1)) and bool(
            (added[~allowed.repeat(2, 1)] == -torch.inf).all()
        )


def test_what_only_some_share_is_read_once_too() -> None:
    tree = Tree([[1, 5, 6], [1, 2, 3], [1, 2, 4]])
    assert (tree.ids, tree.positions) == ([1, 2, 3, 4, 5, 6], [0, 1, 2, 2, 1, 2])
    assert tree.ways == [[0, 4, 5], [0, 1, 2], [0, 1, 3]]
    assert tree.mask()[3].tolist() == [True, True, False, True, False, False]
    assert tree.pieces == [((0, 3), ()), ((3, 4), ((0, 2),)), ((4, 6), ((0, 1),))]
