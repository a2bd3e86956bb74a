"""What latencies say: the median with its interval, and whether a measurement is one. Pure.

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
from itertools import combinations, pairwise
from statistics import median

Turns = Sequence[Sequence[float]]

#: Coverage of the intervals; the usual 95 %.
CONFIDENCE = 0.95
#: With fewer values no pair of order statistics encloses a median with 95 %: 1 − 2·0.5⁵ = 94 %.
FEWEST_FOR_INTERVAL = 6


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


def median_interval(turns: Turns, confidence: float = CONFIDENCE) -> Interval | None:
    """The wider of the intervals over all runs and over the medians of the turns.

    The latter is widened by ``inflation``.

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
    if count < FEWEST_FOR_INTERVAL or squares == 0:
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


# --- whether it is one measurement -------------------------------------------------------------------

#: Modes count as two where each holds a tenth of the runs …
MODE_SHARE = 0.10
#: … they are 5 % of the median apart, less than which hardly matters for a comparison …
MODE_DISTANCE = 0.05
#: … and the density between them falls to half of the lower one's (a valley, not the sampling noise of a density).
VALLEY = 0.5
#: Enough points to see modes 5 % apart, and few enough for a density in a millisecond.
DENSITY_POINTS = 128
MOST_DENSITY_SAMPLES = 2000


def bimodal(samples: Sequence[float]) -> tuple[float, float] | None:
    """The two modes of the runs' density, in the samples' unit; None where there is one.

    A Gaussian kernel density with Silverman's bandwidth, which is wide for two modes: what it shows is there.
    """
    import numpy as np
    from scipy.stats import gaussian_kde

    if len(samples) < 2 * FEWEST_FOR_INTERVAL:
        return None
    values = np.sort(np.asarray(samples, float))
    centre = float(np.median(values))
    if len(values) > MOST_DENSITY_SAMPLES:
        values = np.quantile(values, np.linspace(0, 1, MOST_DENSITY_SAMPLES))
    low, high = (float(np.quantile(values, q)) for q in (0.01, 0.99))
    if high - low < MODE_DISTANCE * centre:
        return None
    values = np.clip(values, low, high)
    grid = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), DENSITY_POINTS)
    density = gaussian_kde(values, "silverman")(grid)
    # scipy.signal's find_peaks would take a quarter of a second to load, for this line.
    framed = np.concatenate(([0], density, [0]))
    peaks = np.flatnonzero((density > framed[:-2]) & (density >= framed[2:]))
    for first, second in sorted(combinations(peaks, 2), key=lambda pair: -min(density[list(pair)])):
        valley = first + int(np.argmin(density[first : second + 1]))
        share = float(np.mean(values <= grid[valley]))
        if (
            density[valley] <= VALLEY * min(density[first], density[second])
            and MODE_SHARE <= share <= 1 - MODE_SHARE
            and grid[second] - grid[first] >= MODE_DISTANCE * centre
        ):
            return float(grid[first]), float(grid[second])
    return None


#: A trend counts where chance alone gives one as clear once in a hundred measurements …
TREND_P = 0.01
#: … and it moves the median by more than 2 % from the first turn to the last.
TREND_SIZE = 0.02


def drift(turns: Turns) -> float | None:
    """How much the medians rose (or fell) from the first turn to the last, as a fraction; None without a trend.

    Kendall's test for a monotone trend (Mann, 1945), the slope by Theil and Sen.
    """
    from scipy.stats import kendalltau, theilslopes

    medians = turn_medians(turns)
    if len(medians) < FEWEST_FOR_INTERVAL or min(medians) == max(medians):
        return None
    order = range(len(medians))
    change = float(theilslopes(medians, order).slope) * (len(medians) - 1) / median(medians)
    clear = float(kendalltau(order, medians).pvalue) < TREND_P
    return change if clear and abs(change) > TREND_SIZE else None
