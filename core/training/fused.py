"""Parts of a network in fewer passes over memory, worth the same to rounding.

On a CPU a third of a step goes not to products of matrices but to reading and writing what lies between them, element
by element. What PEFT and transformers write as several operations is one here, with its gradient written out.
Products with weights that stay as they are go to oneDNN on a CPU with AVX-512, where it makes those of a few hundred
tokens in some four fifths of the time of MKL, torch's own choice (docs/log.md).
"""

from collections.abc import Callable
from functools import cache
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear
from torch.distributed.tensor import DTensor

from .zero import is_parted

Context = Any  # of torch.autograd.Function


class _Frozen(torch.autograd.Function):
    """x Wᵀ + bias, where W and the bias stay as they are."""

    @staticmethod
    def forward(ctx: Context, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return _product()(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        out = gradient.reshape(-1, gradient.shape[-1])
        return _product()(out, weight.T, None).view(*gradient.shape[:-1], -1), None, None


class _LowRank(torch.autograd.Function):
    """x Wᵀ + bias + scale · (x Aᵀ) Bᵀ, where W and the bias stay as they are: the update is added by the product."""

    @staticmethod
    def forward(
        ctx: Context,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ a.T
        out = _product()(rows, weight, bias).addmm_(low, b.T, alpha=scale)
        ctx.save_for_backward(rows, low, weight, a, b)
        ctx.scale = scale
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, low, weight, a, b = ctx.saved_tensors
        out = gradient.reshape(-1, gradient.shape[-1])
        down = (out @ b).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = _product()(out, weight.T, None).addmm_(down, a).view(*gradient.shape[:-1], -1)
        return of_x, None, None, down.T @ rows, (out.T @ low).mul_(ctx.scale), None


class _Norm(torch.autograd.Function):
    """x / √(mean x² + ε) · w over the last dimension, where w stays as it is (Zhang & Sennrich 2019)."""

    @staticmethod
    def forward(ctx: Context, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        inverse = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        out: torch.Tensor = (x * inverse).mul_(weight)
        return out

    @staticmethod
    def backward(ctx: Context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        inner = gradient * weight
        along = torch.linalg.vecdot(inner, x).unsqueeze(-1).mul_(inverse.pow(3)).div_(x.shape[-1])
        return inner.mul_(inverse).addcmul_(x, along, value=-1), None, None


def fuse(network: Any) -> int:
    """Let the parts of a PEFT network that are known here compute in fewer passes; returns how many.

    A part whose result differs from what it was by more than rounding is left as it is, and so is all of a network
    that is not in float32 on a CPU: on a GPU other kernels do this.
    """
    fused = 0
    for module in network.modules():
        forward = _known(module)
        if forward is None or not _agrees(module, forward):
            continue
        module.forward = MethodType(forward, module)
        fused += 1
    return fused


def _known(module: Any) -> Any:
    if type(module) is Linear and _plain(module):
        return _adapted
    if _is_frozen_linear(module):
        return _frozen
    weight = getattr(module, "weight", None)
    if type(module).__name__.endswith("RMSNorm") and weight is not None and _is_frozen(weight):
        return _normed
    return None


def _plain(module: Any) -> bool:
    """Whether a layer has one update and nothing else: no dropout, no variant of LoRA, weights as they are."""
    return (
        len(module.lora_A) == 1
        and not module.lora_variant
        and all(type(one) is torch.nn.Identity for one in module.lora_dropout.values())
        and _is_frozen_linear(module.base_layer)
    )


def _is_frozen_linear(module: Any) -> bool:
    return type(module) is torch.nn.Linear and all(_is_frozen(one) for one in module.parameters())


def _is_frozen(weight: torch.Tensor) -> bool:
    # one that is spread over processes is whole only while its layer is computed
    if isinstance(weight, DTensor) or is_parted(weight):
        return False
    return not weight.requires_grad and weight.dtype == torch.float32 and weight.device.type == "cpu"


def _adapted(self: Any, x: torch.Tensor) -> torch.Tensor:
    if self.disable_adapters or self.merged or not self.active_adapters:
        return type(self).forward(self, x)  # type: ignore[no-any-return]
    (name,) = self.lora_A
    base, a, b = self.base_layer, self.lora_A[name].weight, self.lora_B[name].weight
    return _LowRank.apply(x, base.weight, base.bias, a, b, self.scaling[name])  # type: ignore[no-any-return,no-untyped-call]


def _frozen(self: Any, x: torch.Tensor) -> torch.Tensor:
    return _Frozen.apply(x, self.weight, self.bias)  # type: ignore[no-any-return,no-untyped-call]


def _normed(self: Any, x: torch.Tensor) -> torch.Tensor:
    epsilon = self.variance_epsilon if hasattr(self, "variance_epsilon") else self.eps
    return _Norm.apply(x, self.weight, epsilon)  # type: ignore[no-any-return,no-untyped-call]


def _agrees(module: Any, forward: Any) -> bool:
    """Whether `forward` gives what `module` does for random input, and its gradient."""
    width = module.in_features if isinstance(module, Linear) else module.weight.shape[-1]
    given = torch.randn(2, 3, width, generator=torch.Generator().manual_seed(0))
    try:
        expected, found = (_with_gradient(one, given) for one in (module, MethodType(forward, module)))
    except Exception:  # what a norm of that name takes or holds is its own affair
        return False
    return all(_close(one, other) for one, other in zip(found, expected, strict=True))


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return found.shape == expected.shape and bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


def _with_gradient(compute: Any, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = given.clone().requires_grad_()
    out = compute(x)
    (gradient,) = torch.autograd.grad(out.sin().sum(), x)
    return out.detach(), gradient


@cache
def _product() -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]:
    """What makes x Wᵀ + bias of x (n, in), W (out, in) and perhaps a bias (out,), in full float32."""
    x, weight = torch.eye(3), torch.arange(6.0).view(2, 3)
    try:
        found = torch.equal(_onednn(x, weight, None), weight.T)
    except (AttributeError, RuntimeError):  # a torch without it
        found = False
    return _onednn if found and torch.backends.cpu.get_cpu_capability() == "AVX512" else F.linear


def _onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]
