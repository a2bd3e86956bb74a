"""Bi-Real: DoReFa's forward, and a surrogate of the sign that is closer to it than a clipped line.

Liu et al., ECCV 2018, arXiv:1808.00278 (ApproxSign); BiBench, Eq. 15–16. The shortcut around every
convolution, the paper's other half, belongs to the architecture and is left out, as in BiBench.
"""

from __future__ import annotations

from torch import Tensor

from bibench_deploy.zoo.base import Operator, channel_mean
from bibench_deploy.zoo.sign import polynomial_slope


class BiReal(Operator):
    """y = α · (sign(x) ⊛ sign(w)), α = mean|w| a channel; slope 2 + 2x on [−1, 0), 2 − 2x on [0, 1)."""

    def weight(self, w: Tensor) -> Tensor:
        return self.sign(w) * channel_mean(w)

    def activation(self, x: Tensor) -> Tensor:
        return self.sign(x, polynomial_slope)
