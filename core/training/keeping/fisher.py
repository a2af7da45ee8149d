"""Which weights the champion's answers hang on: the diagonal of the Fisher information of every adapted layer.

F_ij is the expected squared gradient of log p(y | x) by the weight W_ij = W⁰_ij + ΔW_ij, over x and over the answers y
that the *model* would give, not those of the data, whose gradient vanishes where they are learnt and tells nothing then
(van de Ven 2025, "On the computation of the Fisher information in continual learning"). For a token with probabilities
p the Fisher information of the logits is diag(p) − p pᵀ = L Lᵀ with L = diag(√p) − p √pᵀ. So for a random vector z of
signs, L z sent backwards instead of a loss's gradient gives a weight's gradient whose square is F_ij on average
(curvature propagation, Martens, Sutskever & Swersky 2012), with a spread of at most √2 F_ij, where drawing an answer
that is all but certain would give nothing nearly always and much now and then.

Of each layer only the sums of F over its rows and over its columns are kept: u_i v_j / Σ F is the matrix of rank 1 that
is nearest to F in I-divergence, with the same sums (Shazeer & Stern 2018, section 3, who keep squared gradients so).
For one token it is exact, as a gradient is δ_i x_j. It takes out + in numbers instead of out × in (for a model of 135M
weights 0.4 MB instead of 425), and the penalty needs no matrix of the size of a layer (penalty.py).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ...errors import ModelError
from ...workspace import writing
from ..packing import Encoded, alone, completion_logits, on_device
from .champion import ChampionUpdate, Layers, as_champion, layers_of

Row = dict[str, torch.Tensor]


class Importance(NamedTuple):
    """F of one layer as rows_i · columns_j: `rows` (out,), `columns` (in,)."""

    rows: torch.Tensor
    columns: torch.Tensor


Fisher = Mapping[str, Importance]
"""By the name of the layer in the PEFT model; the mean over all weights of all layers is 1."""


class _Sums:
    """Row and column sums of the squared gradients of one layer, in 64 bits."""

    def __init__(self) -> None:
        self.rows: torch.Tensor | float = 0.0
        self.columns: torch.Tensor | float = 0.0

    def add(self, read: torch.Tensor, sent: torch.Tensor) -> None:
        """What the layer read (…, in), and the gradient (…, out) of what it gave."""
        squared = (sent.flatten(0, -2).T.float() @ read.flatten(0, -2).float()).square_()  # one layer at a time
        self.rows = self.rows + squared.sum(1, dtype=torch.float64)
        self.columns = self.columns + squared.sum(0, dtype=torch.float64)


def estimate(
    network: Any,
    champion: ChampionUpdate,
    rows: Sequence[Encoded],
    seed: int,
    on_row: Callable[[int], None] = lambda row: None,
) -> Fisher:
    """The Fisher information at the champion, over `rows`, each of which counts once, however long its answer is.

    Raises ModelError when the champion's answers give no number, or none of its weights matters.
    """
    sums = {name: _Sums() for name in layers_of(network)}
    generator = torch.Generator().manual_seed(seed)
    with as_champion(network, champion), _listening(layers_of(network), sums):
        for at, one in enumerate(rows, 1):
            logits = completion_logits(network, on_device(alone(one), network))
            logits.backward(_cotangent(logits.detach(), generator))  # type: ignore[no-untyped-call]
            on_row(at)
    return _normalised(sums)


def _cotangent(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """L z of each token (T, vocabulary), scaled so that the row's squared gradient is the mean over its tokens."""
    p = logits.float().softmax(-1)
    signs = torch.randint(0, 2, p.shape, generator=generator).to(p) * 2 - 1
    root = p.sqrt()
    sent: torch.Tensor = root * signs - p * (root * signs).sum(-1, keepdim=True)
    return (sent / math.sqrt(len(logits))).to(logits.dtype)


@contextmanager
def _listening(layers: Layers, sums: Mapping[str, _Sums]) -> Iterator[None]:
    """While it lasts, what each layer reads and the gradient that comes back to it are added up."""

    def listening(name: str) -> Any:
        def forward(_: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            read = inputs[0].detach()
            if not output.requires_grad:  # every weight is frozen, so gradients begin at the first layers' outputs
                output.requires_grad_()
            output.register_hook(lambda sent: sums[name].add(read, sent))  # type: ignore[no-untyped-call]
            return output

        return forward

    hooks = [layer.register_forward_hook(listening(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _normalised(sums: Mapping[str, _Sums]) -> Fisher:
    found = {name: (torch.as_tensor(one.rows), torch.as_tensor(one.columns)) for name, one in sums.items()}
    whole = sum(float(rows.sum()) for rows, _ in found.values())
    weights = sum(rows.numel() * columns.numel() for rows, columns in found.values())
    if not 0 < whole < float("inf"):  # NaN is neither
        raise ModelError("the champion's answers give no gradient to tell its weights' importance by; leave `ewc` out")
    return {
        name: Importance(
            (rows * weights / whole).float(),
            (columns / columns.sum().clamp_min(torch.finfo(torch.float64).tiny)).float(),
        )
        for name, (rows, columns) in found.items()
    }


def kept(path: Path, make: Callable[[], Fisher]) -> Fisher:
    """The Fisher information in `path`, or what `make` finds, kept there for a training that was killed."""
    try:
        saved = load_file(path)
    except (OSError, SafetensorError):
        fisher = make()
        flat = {f"{name}/{side}": one for name, pair in fisher.items() for side, one in pair._asdict().items()}
        with writing(path) as temporary:
            save_file({key: one.cpu().contiguous() for key, one in flat.items()}, temporary)
        return fisher
    names = dict.fromkeys(key.rpartition("/")[0] for key in saved)
    return {name: Importance(saved[f"{name}/rows"], saved[f"{name}/columns"]) for name in names}
