"""XNOR++: one learned factor over channels, height and width, in place of α and K.

Bulat and Tzimiropoulos, BMVC 2019, arXiv:1909.13863 (its case 4, the outer product of three
vectors); BiBench, Eq. 17–18.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from bibench_deploy.zoo.base import Geometry, Operator
from bibench_deploy.zoo.registry import OperatorOptions


class XnorPlusPlus(Operator):
    """y = (sign(x) ⊛ sign(w)) · (γ_C ⊗ γ_H ⊗ γ_W); a linear layer has γ_C alone.

    The factors need the output's size: given in the geometry, or taken from the first input.

    Attributes:
        channel: γ_C, shape (1, C, 1, 1), (1, C, 1) or (C,).
        spatial: γ_H of shape (1, 1, H, 1) and γ_W of shape (1, 1, 1, W); (1, 1, L) in one dimension.
    """

    def __init__(self, geometry: Geometry, options: OperatorOptions) -> None:
        super().__init__(geometry, options)
        self.channel = nn.Parameter(torch.ones(geometry.per_channel(geometry.weight_shape[0])))
        self.spatial = nn.ParameterList([UninitializedParameter() for _ in range(geometry.rank)])
        if geometry.output_size is not None:
            self._materialize(geometry.output_size)

    def output_scale(self, x: Tensor, y: Tensor) -> Tensor | None:
        if any(isinstance(factor, UninitializedParameter) for factor in self.spatial):
            self._materialize(tuple(y.shape[2:]))
        scale: Tensor = self.channel
        for factor in self.spatial:
            scale = scale * factor
        return scale

    def _materialize(self, size: tuple[int, ...]) -> None:
        for axis, factor in enumerate(self.spatial):
            assert isinstance(factor, UninitializedParameter)
            shape = [1] * (2 + len(size))
            shape[2 + axis] = size[axis]
            factor.materialize(tuple(shape))
            with torch.no_grad():
                factor.fill_(1.0)
