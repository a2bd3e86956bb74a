"""Steps in the history of a latency: where its level changed for good. Pure.

The levels are those of a piecewise constant signal u over the logarithms x of the nights' medians (so that steps
are ratios) that minimises the Potts functional with a bounded L1 loss::

    Σ min(|x_j − u_j| / σ, K)  +  γ · number of steps

The absolute loss is asv's (its L1 Potts, asv/step_detect.py). The bound makes single odd nights harmless, as the
bounded losses of Fearnhead and Rigaill do ("Changepoint detection in the presence of outliers", JASA 114, 2019): a
night adds K at most, however far it is off. So with K = γ/3 a step needs more than three nights of the new level at
the end of a history, and an excursion more than six. Since a segment's best level is one of its values, the minimum
is exact by dynamic programming over nights × values (Storath, Weinmann and Unser, "Jump-penalized least absolute
values estimation of scalar or circle-valued signals", Information and Inference 6, 2017, section 3).

ruptures has no such loss; asv's search is in C++ and its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: γ = PENALTY · ln(number of nights), as the Bayesian information criterion grows (Schwarz, 1978). Measured with
#: this factor: of 300 histories of normal noise, 0 to 3 show a step, for 7 to 365 nights and LEAST = 1.
PENALTY: Final = 2.0
#: K as a part of γ: see above.
BOUND: Final = 1 / 3
#: Steps of less than 2 % are no news; the gate's factor is 1.05.
LEAST: Final = 1.02
#: What nights differ by at least, relatively, however alike those of a short history are.
LEAST_NOISE: Final = 0.002
#: Standard deviation of a normal distribution over its median absolute deviation.
_MAD_TO_DEVIATION: Final = 1.4826


@dataclass(frozen=True)
class Segment:
    """Nights of one level, up to the next segment.

    Attributes:
        start: index of its first value.
        level: their median, in the unit of the values.
    """

    start: int
    level: float


def steps(values: Sequence[float], least: float = LEAST) -> list[Segment]:
    """The levels of a history, in their order; one segment where nothing changed, none where there are no values.

    Args:
        values: positive; one a night, in the order of the nights.
        least: the smallest ratio of two levels, or of its inverse, that is a step.

    Raises:
        ValueError: a value that is not positive or not finite.
    """
    import numpy as np

    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("a history of other than positive values")
    if not values:
        return []
    x = np.log(np.asarray(values, float))
    starts = _starts(x / _noise(x), PENALTY * math.log(max(len(values), 2)))
    while True:
        found = _segments(values, starts)
        ratios = [
            max(after.level / before.level, before.level / after.level) for before, after in pairwise(found)
        ]
        if not ratios or min(ratios) >= least:
            return found
        del starts[ratios.index(min(ratios)) + 1]


def _segments(values: Sequence[float], starts: Sequence[int]) -> list[Segment]:
    ends = [*starts[1:], len(values)]
    return [Segment(start, float(median(values[start:end]))) for start, end in zip(starts, ends, strict=True)]


def _noise(x: NDArray[np.float64]) -> float:
    """Standard deviation of a night, from the differences of neighbours: steps hardly touch their median."""
    import numpy as np

    if len(x) < 2:
        return LEAST_NOISE
    differences = np.abs(np.diff(x))
    return max(LEAST_NOISE, _MAD_TO_DEVIATION * float(np.median(differences)) / math.sqrt(2))


def _starts(x: NDArray[np.float64], penalty: float) -> list[int]:
    """Where the segments of the best signal begin.

    Args:
        x: in standard deviations of a night.
        penalty: γ.
    """
    import numpy as np

    levels = np.unique(x)
    bound = BOUND * penalty
    # cost[v]: the least so far when the last night is at level v; begun[v]: where the segment of it began.
    cost = np.minimum(np.abs(x[0] - levels), bound)
    begun = np.zeros(len(levels), int)
    # before[j]: where the segment began that a segment beginning at night j would follow, the cheapest so far.
    before = [0]
    for night in range(1, len(x)):
        cheapest = int(np.argmin(cost))
        before.append(int(begun[cheapest]))
        anew = cost[cheapest] + penalty
        begun = np.where(cost > anew, night, begun)
        cost = np.minimum(cost, anew) + np.minimum(np.abs(x[night] - levels), bound)
    starts = [int(begun[int(np.argmin(cost))])]
    while starts[-1] > 0:
        starts.append(before[starts[-1]])
    return starts[::-1]
