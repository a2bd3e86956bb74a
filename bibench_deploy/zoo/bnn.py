"""BNN: both operands are signs, nothing is rescaled.

Courbariaux, Hubara et al. 2016, arXiv:1602.02830, Eq. 1 (sign) and Eq. 4 (gradient); BiBench, Eq. 12–13.
"""

from __future__ import annotations

from bibench_deploy.zoo.base import Operator


class Bnn(Operator):
    """y = sign(x) ⊛ sign(w), gradient of either sign: 1 where |·| ≤ 1."""
