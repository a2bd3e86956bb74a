"""ReCU: weights are standardized and their tails clamped, so that "dead" weights there can change sign.

Xu et al., ICCV 2021, arXiv:2103.12369; BiBench, Eq. 25 (rectified clamp) to 29. The closed form of the
quantiles and the schedule of τ are those of the authors' code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bibench_deploy.zoo.base import Geometry, Operator
from bibench_deploy.zoo.registry import OperatorOptions
from bibench_deploy.zoo.sign import identity_slope, polynomial_slope

TAU_START, TAU_END = 0.85, 0.99


class ReCU(Operator):
    """y = α_c · (sign(x) ⊛ sign(clamp(w', Q_{1−τ}, Q_τ))), w' the weights standardized per output channel.

    With weights taken as Laplace distributed, Q_τ = −b·ln(2 − 2τ) and b = mean|w'| over the layer. The clamp
    never moves a sign: it shapes the weights' gradient, which the sign passes through. While training, the
    activation is divided by its standard deviation per sample, which moves only the surrogate's argument.

    Attributes:
        alpha: α, learned, one value an output channel, broadcast over the output.
        tau: τ, from 0.85 to 0.99 over training.
    """

    def __init__(self, geometry: Geometry, options: OperatorOptions) -> None:
        super().__init__(geometry, options)
        # A batch norm follows: any constant trains alike, and 1/√fan_in keeps the sums near 1 until it does.
        fan_in = math.prod(geometry.weight_shape[1:])
        shape = geometry.per_channel(geometry.weight_shape[0])
        self.alpha = nn.Parameter(torch.full(shape, 1 / math.sqrt(fan_in)))
        self.tau = TAU_END

    def set_progress(self, fraction: float) -> None:
        self.tau = TAU_START + (TAU_END - TAU_START) * (math.exp(fraction) - 1) / (math.e - 1)

    def weight(self, w: Tensor) -> Tensor:
        axes = tuple(range(1, w.dim()))
        centred = w - w.mean(dim=axes, keepdim=True)
        # A deviation of 2√2 is a Laplace scale of b = 2, as in the authors' code.
        deviation = torch.sqrt(centred.var(dim=axes, keepdim=True) + 1e-5)
        standard = centred / deviation * (2 * math.sqrt(2))
        bound = standard.detach().abs().mean() * -math.log(2 - 2 * self.tau)
        return self.sign(torch.maximum(torch.minimum(standard, bound), -bound), identity_slope)

    def activation(self, x: Tensor) -> Tensor:
        if self.training:
            axes = tuple(range(1, x.dim())) if self.geometry.rank else (-1,)
            x = x / torch.sqrt(x.var(dim=axes, keepdim=True) + 1e-5)
        return self.sign(x, polynomial_slope)

    def output_scale(self, x: Tensor, y: Tensor) -> Tensor | None:
        return self.alpha
