"""DoReFa with 1-bit weights and activations, as BiBench evaluates it.

Zhou et al. 2016, arXiv:1606.06160; BiBench, Eq. 15. DoReFa's paper takes one mean of |w| a layer and
activations in {0, 1}; BiBench, and hence this project, one a channel and activations in {−1, +1}.
"""

from __future__ import annotations

from torch import Tensor

from bibench_deploy.zoo.base import Operator, channel_mean
from bibench_deploy.zoo.sign import identity_slope


class DoReFa(Operator):
    """y = α · (sign(x) ⊛ sign(w)), α = mean|w| a channel; the weights' gradient passes unclipped."""

    def weight(self, w: Tensor) -> Tensor:
        return self.sign(w, identity_slope) * channel_mean(w)
