"""How far an update is from the champion's, where it matters, without the weights' whole matrices.

With F_ij = u_i v_j (fisher.py) and ΔW − ΔW* = P Q, where P = [b, b − b*] and Q = [a − a*; a*],

    Σ_ij F_ij (ΔW − ΔW*)_ij² = ‖diag(√u) P Q diag(√v)‖² = tr(Pᵀ diag(u) P · Q diag(v) Qᵀ)

takes (out + in) · (2 rank)² products and holds two small matrices. It is that of the weights, so it does not change
with how b · a is factored; and written so, rather than as [b, −b*] and [a; a*], it is exactly 0 at the champion and
keeps its digits near it, where a training that begins there stays.
"""

from typing import Any

import torch
import torch.nn.functional as F

from .champion import ChampionUpdate, Update, layers_of, update_of
from .fisher import Fisher, Importance


def distance(network: Any, champion: ChampionUpdate, fisher: Fisher) -> torch.Tensor:
    """Σ_ij F_ij (ΔW_ij − ΔW*_ij)² over all layers, a scalar; where the champion has no update, ΔW* is 0."""
    parts = []
    for name, layer in layers_of(network).items():
        now = update_of(layer, network.active_adapter)
        parts.append(layer_distance(now, champion.get(name), fisher[name]))
    return torch.stack([part.to(parts[0].device) for part in parts]).sum()


def layer_distance(now: Update, then: Update | None, importance: Importance) -> torch.Tensor:
    """Σ_ij F_ij (b a − b* a*)_ij² of one layer, a scalar in 32 bits."""
    a, b = now.a.float(), now.b.float()
    left, right = b, a
    if then is not None:
        rank = max(len(a), len(then.a))
        a, old_a = _rows(a, rank), _rows(then.a, rank)
        b, old_b = _columns(b, rank), _columns(then.b, rank)
        left, right = torch.cat([b, b - old_b], 1), torch.cat([a - old_a, old_a])
    rows, columns = importance.rows.to(b.device), importance.columns.to(a.device)
    return ((left.T @ (left * rows[:, None])) * (right * columns @ right.T)).sum()


def _rows(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    return F.pad(matrix, (0, 0, 0, rank - matrix.shape[0]))


def _columns(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    return F.pad(matrix, (0, rank - matrix.shape[1]))
