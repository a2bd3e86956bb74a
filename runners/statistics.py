"""What latencies say: the median with its interval. Pure.

An interval is only as wide as the variation that was repeated, so what is repeated must be what varies (Kalibera
and Jones, *Rigorous benchmarking in reasonable time*, ISMM 2013). Runs that follow each other share the machine's
state and are no independent samples; turns (blocks of runs, between which other artefacts have theirs; each a
process of its own on devices and with the native engine) come closer, and where they resemble their neighbours they
count for fewer. Hence every interval here is computed twice, over the runs and over the medians of the turns, and
the wider one is told.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import median

Turns = Sequence[Sequence[float]]

#: Coverage of the intervals that are told; the usual 95 %.
CONFIDENCE = 0.95
#: The level of an interval that a measurement waits for. It is looked at after each turn, and the first that is
#: narrow enough ends the measurement, so that those are kept that are narrow by chance. Ten looks, each at 98.9 %,
#: are right with 95 % (Pocock, Biometrika 64, 1977; of intervals: Jennison and Turnbull, Journal of the Royal
#: Statistical Society B 51, 1989).
LOOK_CONFIDENCE = 0.99
#: With fewer values no pair of order statistics encloses a median at that level: 1 − 2·0.5⁷ = 98.4 %.
FEWEST_FOR_INTERVAL = 8
#: The share of runs that tell how quick a machine can be: not the least alone, which a counter may have got wrong.
QUICKEST = 0.05


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of the values."""

    low: float
    high: float

    def within(self, fraction: float, centre: float) -> bool:
        """Whether it lies inside centre·(1 ± fraction)."""
        return self.low >= centre * (1 - fraction) and self.high <= centre * (1 + fraction)

    def half_width(self, centre: float) -> float:
        """The larger of the distances to the centre, as a fraction of it."""
        return max(self.high - centre, centre - self.low) / centre

    def widened(self, factor: float, centre: float) -> Interval:
        """Its ends so many times as far from a centre between them, by ratio: of quantities that are positive."""
        return Interval(
            centre * (self.low / centre) ** factor,
            centre * (self.high / centre) ** factor,
        )

    def with_value(self, value: float) -> Interval:
        """The least interval that has this value, too."""
        return Interval(min(self.low, value), max(self.high, value))

    def overlaps(self, other: Interval) -> bool:
        """Whether the two have a value in common."""
        return self.low <= other.high and other.low <= self.high


def percentile(samples: Sequence[float], fraction: float) -> float:
    """Linear interpolation between the closest ranks (numpy's default), in the unit of the samples.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("a percentile of no samples")
    ordered = sorted(samples)
    rank = fraction * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def order_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """An interval of the median from order statistics, exact for any continuous distribution.

    The number of values below the median is binomial(n, 1/2), so the k-th smallest and the k-th largest enclose it
    with probability 1 − 2·P(B < k) (Conover, *Practical nonparametric statistics*, section 3.2).

    Returns:
        None where there are too few values for the confidence.
    """
    k = _enclosing_rank(len(values), confidence)
    if k < 1:
        return None
    ordered = sorted(values)
    return Interval(ordered[k - 1], ordered[len(values) - k])


@lru_cache(maxsize=4096)
def _enclosing_rank(count: int, confidence: float) -> int:
    """The largest k with P(B <= k − 1) <= (1 − confidence) / 2; 0 where there is none.

    Kept, since a history asks for the same few counts a million times.
    """
    from scipy.special import (
        bdtr,
    )  # the distribution alone: scipy.stats takes longer to load than most reports

    return bisect_right(range(count), (1 - confidence) / 2, key=lambda k: bdtr(k, count, 0.5))


def median_interval(turns: Turns, confidence: float = LOOK_CONFIDENCE) -> Interval | None:
    """The 95 % interval of a measurement that ends when it is narrow: the wider of those over all runs and over the
    medians of the turns.

    The latter is widened by ``inflation``.

    Args:
        confidence: of either, at one look.

    Returns:
        None where there are too few turns (or runs, where all were taken in one turn).
    """
    runs = order_interval([run for turn in turns for run in turn], confidence)
    if len(turns) == 1 or runs is None:
        return runs
    medians = turn_medians(turns)
    blocks = order_interval(medians, confidence)
    if blocks is None:
        return None
    wide = blocks.widened(inflation(medians), float(median(medians)))
    return Interval(min(runs.low, wide.low), max(runs.high, wide.high))


#: A correlation that is estimated from ten values can come out as 1, and no factor would be enough; what is beyond
#: is a trend, which ``drift`` tells.
MOST_CORRELATION = 0.9
#: … and from fewer values hardly anything is estimated.
FEWEST_FOR_CORRELATION = 6


def inflation(values: Sequence[float]) -> float:
    """By how much an interval over values in the order of time is too narrow if each resembles the one before.

    n values whose neighbours correlate by r are worth n·(1 − r)/(1 + r) independent ones (first-order
    autoregression; Wilks, *Statistical Methods in the Atmospheric Sciences*, section 5.2.4). The estimate of r from
    few values is too low by (1 + 3r)/n (Kendall, Biometrika 41, 1954), which is put right.

    Returns:
        1 or more.
    """
    count, mean = len(values), sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    if count < FEWEST_FOR_CORRELATION or squares == 0:
        return 1.0
    products = sum((a - mean) * (b - mean) for a, b in pairwise(values))
    correlation = (count * products / squares + 1) / (count - 3)
    correlation = min(MOST_CORRELATION, max(0.0, correlation))
    return math.sqrt((1 + correlation) / (1 - correlation))


def turn_medians(turns: Turns) -> list[float]:
    """One value a turn."""
    return [float(median(turn)) for turn in turns if turn]


def split(samples: Sequence[int], lengths: Sequence[int]) -> list[Sequence[int]]:
    """Samples in the order of measuring as turns of these lengths; one turn where nothing is known of turns.

    Raises:
        ValueError: the lengths are not those of the samples.
    """
    if not lengths:
        return [samples]
    if sum(lengths) != len(samples):
        raise ValueError(f"{len(samples)} samples are not the {sum(lengths)} of the turns")
    turns, start = [], 0
    for length in lengths:
        turns.append(samples[start : start + length])
        start += length
    return turns
