"""XNOR: a channel factor of the weights, and a factor K of the input that is computed at run time.

Rastegari et al., ECCV 2016, arXiv:1603.05279, Eq. 6 (α) and Eq. 11 (K); BiBench, Eq. 14.

K has two forms in use. *Per location*, as in the paper's §3.2: the mean of |x| over channels, then a box
filter of the kernel's size. *Per sample*, as in BiBench's code: the mean of |x| over all but the batch.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bibench_deploy.errors import UnsupportedModelError
from bibench_deploy.zoo.base import Geometry, Operator, channel_mean
from bibench_deploy.zoo.registry import OperatorOptions


class Xnor(Operator):
    """y = K · α · (sign(x) ⊛ sign(w)), α = mean|w| a channel; K and α carry no gradient.

    Raises:
        UnsupportedModelError: K per location with groups or dilation, for which the paper gives no K.
    """

    def __init__(self, geometry: Geometry, options: OperatorOptions) -> None:
        super().__init__(geometry, options)
        undefined = geometry.groups != 1 or any(step != 1 for step in geometry.dilation)
        if options.xnor_k == "location" and undefined:
            raise UnsupportedModelError(
                "XNOR's K per location is defined without groups and dilation only",
                where=f"layer with weights {geometry.weight_shape}",
                remedy="use K per sample",
            )

    def weight(self, w: Tensor) -> Tensor:
        return self.sign(w) * channel_mean(w)

    def input_scale(self, x: Tensor) -> Tensor | None:
        if self.options.xnor_k == "location":
            return None
        if self.geometry.rank == 0:
            return x.detach().abs().mean(dim=-1, keepdim=True)
        return x.detach().abs().mean(dim=tuple(range(1, x.dim())), keepdim=True)

    def output_scale(self, x: Tensor, y: Tensor) -> Tensor | None:
        if self.options.xnor_k == "sample":
            return None
        geometry = self.geometry
        if geometry.rank == 0:
            return x.detach().abs().mean(dim=-1, keepdim=True)
        mean = x.detach().abs().mean(dim=1, keepdim=True)
        kernel, pads = geometry.weight_shape[2:], geometry.padding
        # Beyond the border x is 0, whatever stands there for sign(x): zeros count in the box.
        if any(
            2 * pad > size for pad, size in zip(pads, kernel, strict=True)
        ):  # more than torch's pooling takes
            mean = F.pad(mean, [side for pad in reversed(pads) for side in (pad, pad)])
            pads = (0,) * geometry.rank
        pool = F.avg_pool1d if geometry.rank == 1 else F.avg_pool2d
        return pool(mean, kernel, geometry.stride, pads)
