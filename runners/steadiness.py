"""Whether samples are those of one state of the machine: modes, slowing, trends. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median

from .statistics import QUICKEST, Turns, percentile, turn_medians

#: Fewer runs than this have modes by chance.
FEWEST_FOR_MODES = 12
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

    if len(samples) < FEWEST_FOR_MODES:
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


#: A median this far above the quickest runs counts as slowed, as two modes so far apart do.
SLOWED_BY = MODE_DISTANCE


def slowed(samples: Sequence[float]) -> float:
    """How far the median lies above the quickest runs, as a fraction of theirs.

    What slows a computation down adds time to it, and nothing gives time back (Chen and Revels, *Robust
    benchmarking in noisy environments*, 2016): the quickest runs tell what the median were if nothing disturbed it.
    On a core whose other hardware thread is busy now and then, each of its two speeds is steady; which of them the
    median has is the neighbour's affair, and another time it is the other one.

    Raises:
        ValueError: no samples.
    """
    ordered = sorted(samples)
    return percentile(ordered, 0.5) / percentile(ordered, QUICKEST) - 1


#: A trend counts where chance alone gives one as clear once in a hundred measurements …
TREND_P = 0.01
#: … and it moves the median by more than 2 % from the first turn to the last.
TREND_SIZE = 0.02
#: … which fewer turns can't show: 2 of the 5! orders of five are monotone.
FEWEST_FOR_TREND = 6


def drift(turns: Turns) -> float | None:
    """How much the medians rose (or fell) from the first turn to the last, as a fraction; None without a trend.

    Kendall's test for a monotone trend (Mann, 1945), the slope by Theil and Sen.
    """
    from scipy.stats import kendalltau, theilslopes

    medians = turn_medians(turns)
    if len(medians) < FEWEST_FOR_TREND or min(medians) == max(medians):
        return None
    order = range(len(medians))
    change = float(theilslopes(medians, order).slope) * (len(medians) - 1) / median(medians)
    clear = float(kendalltau(order, medians).pvalue) < TREND_P
    return change if clear and abs(change) > TREND_SIZE else None
