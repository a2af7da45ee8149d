"""Attention by block beside the library's own with the whole mask: the same values, the same gradients."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from wheelwork.core.training import attention, blocks
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


def attended(
    made: Tree, heads: int, keys: int, laid: Blocks | None, held: int = 16, dtype: Any = torch.float32, **options: Any
) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)

    def some(count: int, width: int) -> torch.Tensor:  # laid out as a model has it, token by token
        made_up = torch.randn(1, len(made), count, width, generator=random).transpose(1, 2)
        return made_up.to(dtype).requires_grad_()

    given = some(heads, 16), some(keys, 16), some(keys, held)
    module = SimpleNamespace(num_key_value_groups=heads // keys, is_causal=True, training=True)
    out, _ = attention.by_piece(module, *given, made.mask()[None, None], blocks=laid, **options)
    return [out, *torch.autograd.grad(out.sin().sum(), given)]


@pytest.mark.parametrize("at_once", [1, 30_000, blocks.AT_ONCE])  # each group for itself, a few parts, one
@pytest.mark.parametrize(("heads", "keys"), [(6, 2), (4, 4), (3, 1)])
@pytest.mark.parametrize("row", ROWS)
def test_it_is_what_the_whole_mask_gives(
    row: str, heads: int, keys: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "AT_ONCE", at_once)
    made = tree(row)
    for scaling in (None, 0.3):
        found = attended(made, heads, keys, Blocks(made.pieces), scaling=scaling)
        for one, other in zip(found, attended(made, heads, keys, None, scaling=scaling), strict=True):
            assert one.shape == other.shape
            torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-6)


def test_values_may_be_wider_than_keys() -> None:
    made = tree("a shared head, long and short rests")
    found = attended(made, 6, 2, Blocks(made.pieces), held=24)
    for one, other in zip(found, attended(made, 6, 2, None, held=24), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-6)


def test_sixteen_bits_are_as_close_as_the_library_own() -> None:
    made = tree("a shared head, long and short rests")
    exact = attended(made, 6, 2, None)
    ours, theirs = (attended(made, 6, 2, laid, dtype=torch.bfloat16) for laid in (Blocks(made.pieces), None))
    for one, other, expected in zip(ours, theirs, exact, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one - expected).norm() <= 1.5 * (other - expected).norm()


def test_with_dropout_it_is_the_library_own() -> None:
    made = tree("nothing shared")
    torch.manual_seed(0)
    dropped = attended(made, 2, 2, Blocks(made.pieces), dropout=0.5)[0]
    torch.manual_seed(0)
    assert torch.equal(dropped, attended(made, 2, 2, None, dropout=0.5)[0])
    assert not torch.equal(dropped, attended(made, 2, 2, Blocks(made.pieces))[0])


def test_of_a_long_piece_little_is_computed_in_vain_and_little_is_held_at_a_time() -> None:
    made = Blocks(Tree([list(range(2000))]).pieces)
    assert sum(group.hidden.numel() for group in made.groups) <= 0.6 * 2000**2
    laid = made.laid(3, 3, torch.device("cpu"))
    assert (
        max(9 * sum(one.numel() for one in part.hidden) for part in laid.parts)
        <= 9 * blocks.MOST * blocks.LONGEST * 2000
    )
    assert len(laid.parts) > 4
