"""Attention by block beside the library's own with the whole mask: the same values, the same gradients."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from wheelwork.core.training import attention
from wheelwork.core.training.blocks import Blocks
from wheelwork.core.training.tree import Tree

ROWS = {
    "a shared head, long and short rests": [(90, 70), (90, 20), (90, 33), (90, 1), (30, 40)],
    "nothing shared": [(0, 130), (0, 64), (0, 65), (0, 3)],
    "one token": [(0, 1)],
}


def tree(row: str) -> Tree:
    head = list(range(90))
    return Tree([[*head[:shared], *range(1000 * n, 1000 * n + rest)] for n, (shared, rest) in enumerate(ROWS[row], 1)])


def attended(made: Tree, heads: int, keys: int, pieces: Blocks | None, **options: Any) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)

    def some(count: int) -> torch.Tensor:  # laid out as a model has it, token by token
        return torch.randn(1, len(made), count, 16, generator=random).transpose(1, 2).requires_grad_()

    given = some(heads), some(keys), some(keys)
    module = SimpleNamespace(num_key_value_groups=heads // keys, is_causal=True, training=True)
    out, _ = attention.by_piece(module, *given, made.mask()[None, None], pieces=pieces, **options)
    return [out, *torch.autograd.grad(out.sin().sum(), given)]


@pytest.mark.parametrize("kept", [0, attention.KEPT])
@pytest.mark.parametrize(("heads", "keys"), [(6, 2), (4, 4), (3, 1)])
@pytest.mark.parametrize("row", ROWS)
def test_it_is_what_the_whole_mask_gives(
    row: str, heads: int, keys: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "KEPT", kept)
    made = tree(row)
    for scaling in (None, 0.3):
        found = attended(made, heads, keys, Blocks(made.pieces), scaling=scaling)
        for one, other in zip(found, attended(made, heads, keys, None, scaling=scaling), strict=True):
            assert one.shape == other.shape
            torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-6)


def test_sixteen_bits_are_as_close_as_they_can_be() -> None:
    made = tree("a shared head, long and short rests")
    query, key, value = (torch.randn(1, 3, len(made), 16, generator=torch.Generator().manual_seed(n)) for n in range(3))
    expected = F.scaled_dot_product_attention(query, key, value, made.mask())
    half = [one.bfloat16() for one in (query, key, value)]
    found, _ = attention.by_piece(None, *half, None, pieces=Blocks(made.pieces))
    assert found.dtype == torch.bfloat16
    assert (found.transpose(1, 2).float() - expected).abs().max() < 0.03


def test_with_dropout_it_is_the_library_own() -> None:
    made = tree("nothing shared")
    torch.manual_seed(0)
    dropped = attended(made, 2, 2, Blocks(made.pieces), dropout=0.5)[0]
    torch.manual_seed(0)
    assert torch.equal(dropped, attended(made, 2, 2, None, dropout=0.5)[0])
    assert not torch.equal(dropped, attended(made, 2, 2, Blocks(made.pieces))[0])


def test_long_pieces_are_cut_so_that_little_is_computed_in_vain() -> None:
    made = Tree([list(range(640))])
    blocks = Blocks(made.pieces)
    assert blocks.products <= 640 * 640 * 0.7
