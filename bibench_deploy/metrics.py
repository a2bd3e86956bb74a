"""The hardware inference metric of BiBench (Qin et al., ICML 2023), Eq. 9.

For one binarized model on a set of devices, architectures and thread counts::

    speedup     = E(T_fp / T_bi)                            T: latency
    compression = E(S_fp / S_bi)                            S: storage
    overall     = sqrt((speedup² + compression²) / 2)       the quadratic mean of the two

E is the arithmetic mean of the ratios, not the ratio of the means. How the paper averages its Tables 17–20
into the printed 5.45 and 4.89 is not stated there; only the last line follows from its own numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class HardwareMetric:
    """Speedup, compression and their quadratic mean; ratios without unit, above 1 is better.

    Attributes:
        pairs: how many (full precision, binarized) pairs the means are over.
    """

    speedup: float
    compression: float
    overall: float
    pairs: int


def ratio(full_precision: float, binarized: float) -> float:
    """One T_fp/T_bi or S_fp/S_bi; both in the same unit.

    Raises:
        ValueError: not both are positive and finite.
    """
    for value in (full_precision, binarized):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"a latency or size is a positive number, not {value}")
    return full_precision / binarized


def quadratic_mean(values: Iterable[float]) -> float:
    """sqrt(mean of the squares), the paper's overall metric of a track.

    Raises:
        ValueError: there are none.
    """
    squares = [value * value for value in values]
    if not squares:
        raise ValueError("the mean of no values")
    return math.sqrt(sum(squares) / len(squares))


def hardware_metric(pairs: Iterable[tuple[float, float]]) -> HardwareMetric:
    """Eq. 9 over (speedup, compression) pairs, one for each device, architecture and thread count.

    Raises:
        ValueError: there are none.
    """
    listed = list(pairs)
    if not listed:
        raise ValueError("the mean of no values")
    speedup = sum(pair[0] for pair in listed) / len(listed)
    compression = sum(pair[1] for pair in listed) / len(listed)
    return HardwareMetric(speedup, compression, quadratic_mean((speedup, compression)), len(listed))
