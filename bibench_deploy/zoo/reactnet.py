"""ReActNet: the threshold of the activation's sign is learned per channel (RSign).

Liu et al., ECCV 2020, arXiv:2003.03488; BiBench, Eq. 19–24.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bibench_deploy.zoo.base import Geometry
from bibench_deploy.zoo.bireal import BiReal
from bibench_deploy.zoo.registry import OperatorOptions


class ReActNet(BiReal):
    """y = α · (sign(x − β_c) ⊛ sign(w)), α = mean|w| a channel; gradients as Bi-Real's, at x − β_c.

    Attributes:
        shift: β, one value an input channel, shape (1, C, 1, 1), (1, C, 1) or (C,).
    """

    def __init__(self, geometry: Geometry, options: OperatorOptions) -> None:
        super().__init__(geometry, options)
        self.shift = nn.Parameter(torch.zeros(geometry.per_channel(geometry.in_channels)))

    def activation(self, x: Tensor) -> Tensor:
        return super().activation(x - self.shift)
