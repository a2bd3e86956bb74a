"""FDA: the sign's gradient is that of its Fourier series, and a branch learns what the series leaves out.

Xu et al., NeurIPS 2021, arXiv:2103.00841; BiBench, Eq. 30–32. The branch η is two small fully connected maps
and 0.1·sin(·). Its weight falls to 0 with a cosine by the last epoch: the deployed operator has none of it.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bibench_deploy.zoo.base import Geometry, Operator, channel_mean
from bibench_deploy.zoo.registry import OperatorOptions
from bibench_deploy.zoo.sign import fourier_slope

FIRST_TERMS, LAST_TERMS = 9, 18
NOISE_WEIGHT = 0.1  # of the branch, before training's first epoch
REDUCTION = 64  # of the branch's hidden layer


class NoiseAdaptation(nn.Module):
    """η(u) = W₂·relu(W₁·u) + 0.1·sin(u) along one axis of u.

    Args:
        features: size of the axis.
        axis: which axis of the input W₁ and W₂ act on.
    """

    def __init__(self, features: int, axis: int) -> None:
        super().__init__()
        hidden = max(1, features // REDUCTION)
        self.axis = axis
        self.fc1 = nn.Linear(features, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, features, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """η(u), of u's shape."""
        last = u.movedim(self.axis, -1)
        correction: Tensor = self.fc2(F.relu(self.fc1(last)))
        return correction.movedim(-1, self.axis) + 0.1 * torch.sin(u)


class Fda(Operator):
    """y = α · ((sign(x) + ε·η(x)) ⊛ (sign(w) + ε·η(w))), α = mean|w| a channel, ε → 0 over training.

    Attributes:
        terms: index n of the series' last term, from 9 to 18 over training.
        noise_weight: ε; 0 in a new operator, as after training.
    """

    def __init__(self, geometry: Geometry, options: OperatorOptions) -> None:
        super().__init__(geometry, options)
        self.terms = LAST_TERMS
        self.noise_weight = 0.0
        self.weight_noise: NoiseAdaptation | None = None
        self.activation_noise: NoiseAdaptation | None = None
        if options.fda_noise:
            self.weight_noise = NoiseAdaptation(math.prod(geometry.weight_shape[1:]), axis=1)
            self.activation_noise = NoiseAdaptation(geometry.in_channels, axis=1 if geometry.rank else -1)

    def set_progress(self, fraction: float) -> None:
        self.noise_weight = NOISE_WEIGHT / 2 * (1 + math.cos(math.pi * fraction)) if fraction < 1 else 0.0
        self.terms = FIRST_TERMS + int(fraction * (LAST_TERMS - FIRST_TERMS))

    def deploy(self) -> None:
        self.weight_noise = None
        self.activation_noise = None

    def weight(self, w: Tensor) -> Tensor:
        binary = self.sign(w, functools.partial(fourier_slope, n=self.terms))
        if self.weight_noise is not None and self.noise_weight:
            binary = binary + self.noise_weight * self.weight_noise(w.flatten(1)).view_as(w)
        return binary * channel_mean(w)

    def activation(self, x: Tensor) -> Tensor:
        binary = self.sign(x, functools.partial(fourier_slope, n=self.terms))
        if self.activation_noise is not None and self.noise_weight:
            binary = binary + self.noise_weight * self.activation_noise(x)
        return binary
