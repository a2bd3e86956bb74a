"""sign(x) in both conventions, and the surrogate gradients that train through it.

Forward is always exactly the sign. Backward is ``grad · slope(x)``; the algorithms differ in the slope.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from bibench_deploy.zoo.registry import SignZero

Slope = Callable[[Tensor], Tensor]


def hard_sign(x: Tensor, sign_zero: SignZero) -> Tensor:
    """sign(x), of x's shape and type.

    Args:
        x: any shape.
        sign_zero: 1 gives +1 at zero (BNN, Eq. 1, and every engine), 0 gives 0 (``torch.sign``).
    """
    if sign_zero == 0:
        return torch.sign(x)
    ones = torch.where(x >= 0, 1.0, -1.0)
    # A cast to the same type would still be a Cast node in the exported graph.
    return ones if ones.dtype == x.dtype else ones.to(x.dtype)


def identity_slope(x: Tensor) -> Tensor:
    """1: the plain straight-through estimator (Bengio et al. 2013)."""
    return torch.ones_like(x)


def clipped_slope(x: Tensor) -> Tensor:
    """1 where |x| ≤ 1, else 0 (BNN, Eq. 4; BiBench, Eq. 12)."""
    return (x.abs() <= 1).to(x.dtype)


def polynomial_slope(x: Tensor) -> Tensor:
    """2 + 2x on [−1, 0), 2 − 2x on [0, 1), else 0 (Bi-Real's ApproxSign; BiBench, Eq. 16)."""
    return (2 - 2 * x.abs()).clamp(min=0)


def fourier_slope(x: Tensor, n: int, omega: float = 0.1) -> Tensor:
    """Derivative of the Fourier series of the square wave, clipped at ±1 (FDA; BiBench, Eq. 31).

    sign(x) ≈ 4/π · Σ_{i=0…n} sin((2i+1)ωx)/(2i+1), hence the slope 4ω/π · Σ cos((2i+1)ωx).

    Args:
        x: any shape.
        n: index of the last term.
        omega: angular frequency ω of the square wave; FDA uses 0.1.
    """
    total = torch.zeros_like(x)
    for i in range(n + 1):
        total = total + torch.cos((2 * i + 1) * omega * x)
    return 4 * omega / math.pi * total * clipped_slope(x)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sign_zero: SignZero, slope: Slope) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return hard_sign(x, sign_zero)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * ctx.slope(x), None, None


def surrogate_sign(x: Tensor, sign_zero: SignZero, slope: Slope) -> Tensor:
    """sign(x) whose gradient is ``grad · slope(x)``."""
    if not torch.is_grad_enabled():
        return hard_sign(
            x, sign_zero
        )  # exporters then see the sign alone, without a custom function around it
    return cast(Tensor, _Sign.apply(x, sign_zero, slope))  # type: ignore[no-untyped-call]
