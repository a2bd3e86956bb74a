"""Two measurements of the same thing against each other: slower needs significance *and* size. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from .context import RunContext
from .statistics import CONFIDENCE, Interval, Turns, inflation, turn_medians

if TYPE_CHECKING:
    import numpy as np

Word = Literal["slower", "faster", "same", "unknown"]

#: asv calls a change significant below this (asv/_stats.py); so rarely that a night of comparisons stays quiet.
SIGNIFICANT_P = 0.002
#: And reports it from this factor on; asv's default is 1.1, and a board that does nothing else can tell 1.05.
NOTABLE_FACTOR = 1.05
#: Below this number of turns each, no order of the medians is rarer than ``SIGNIFICANT_P``: 2 / C(14, 7) = 0.0006.
FEWEST_TURNS = 7
RESAMPLES = 2000
#: Cores hand a cache line over in 38 to 47 ns where they share a cache, in some 160 where they don't, as the native
#: engine measures it on a virtual machine whose cores are moved (docs/measurement.md).
OTHER_CACHES = 2.0
#: Clocks that are nowhere nearer to each other are two conditions, not one.
SAME_CLOCK = 0.05


@dataclass(frozen=True)
class Comparison:
    """B against A.

    Attributes:
        ratio: median of B over median of A; above 1 is slower.
        interval: bootstrap interval of the ratio, 95 %; None where there are too few turns.
        p: Mann–Whitney's two-sided p over the medians of the turns; None where there are too few.
        word: what it amounts to.
        why: for ``unknown``, what is missing or differs.
    """

    word: Word
    ratio: float
    interval: Interval | None
    p: float | None
    why: tuple[str, ...] = ()


def compare(a: Turns, b: Turns, factor: float = NOTABLE_FACTOR) -> Comparison:
    """Whether B is slower or faster than A.

    The medians of the turns are compared, since runs of one turn are not independent.

    Raises:
        ValueError: one of them has no samples.
    """
    first, second = turn_medians(a), turn_medians(b)
    if not first or not second:
        raise ValueError("a comparison without samples")
    ratio = median(run for turn in b for run in turn) / median(run for turn in a for run in turn)
    fewest = min(len(first), len(second))
    # The interval is of turns, the ratio of runs.
    interval = ratio_interval(first, second).with_value(ratio) if fewest >= FEWEST_TURNS else None
    if fewest < FEWEST_TURNS:
        why = f"{fewest} turns are too few to tell a change from chance ({FEWEST_TURNS} are needed)"
        return Comparison("unknown", ratio, interval, None, (why,))
    p = mann_whitney(first, second)
    return Comparison(_word(ratio, interval, p, factor), ratio, interval, p)


def _word(ratio: float, interval: Interval | None, p: float, factor: float) -> Word:
    if p >= SIGNIFICANT_P or 1 / factor < ratio < factor:
        return "same"
    # The test takes turns for independent; the interval is wider where they are not.
    if interval is not None and interval.low <= 1 <= interval.high:
        return "same"
    return "slower" if ratio > 1 else "faster"


def mann_whitney(first: list[float], second: list[float]) -> float:
    """Two-sided p that both come from one distribution (Mann and Whitney, 1947); 1 where all are equal."""
    from scipy.stats import mannwhitneyu

    if min(first + second) == max(first + second):
        return 1.0
    return float(mannwhitneyu(first, second, alternative="two-sided").pvalue)


def ratio_interval(first: list[float], second: list[float], confidence: float = CONFIDENCE) -> Interval:
    """Percentile bootstrap of median(second) / median(first); the same for the same values (fixed seed).

    What is drawn lies ``inflation`` times as far from the median, of each side.
    """
    import numpy as np

    sides = []
    for seed, values in enumerate((first, second)):
        ordered = np.sort(np.asarray(values, float))
        centre = median(values)
        sides.append(centre * (_medians(ordered, _drawn(len(ordered), seed)) / centre) ** inflation(values))
    tail = (1 - confidence) / 2
    low, high = np.quantile(sides[1] / sides[0], [tail, 1 - tail])
    return Interval(float(low), float(high))


def paired_interval(first: list[float], second: list[float], confidence: float = CONFIDENCE) -> Interval:
    """The same of values that were taken side by side: pairs are drawn, so that what both had in common cancels.

    Widened by ``inflation`` of the pairs' ratios. Of lists of unequal length the ends are left out.
    """
    import numpy as np

    count = min(len(first), len(second))
    a, b = (np.asarray(values[:count], float) for values in (first, second))
    drawn, order = _drawn(count), np.argsort(a)
    # Sorting short lines whole takes half as long as np.median's search in each.
    sorted_b = np.sort(b[order][drawn], axis=1)
    ratios = (sorted_b[:, (count - 1) // 2] + sorted_b[:, count // 2]) / 2 / _medians(a[order], drawn)
    tail = (1 - confidence) / 2
    low, centre, high = np.quantile(ratios, [tail, 0.5, 1 - tail])
    found = Interval(float(low), float(high))
    return found.widened(inflation([float(ratio) for ratio in b / a]), float(centre))


@lru_cache(maxsize=8)
def _drawn(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Places of values that are drawn with replacement, each time as many as there are, ascending in a line.

    Kept, since a report asks for the same few counts for all of its pairs.
    """
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    return np.sort(drawn, axis=1)


def _medians(ordered: np.ndarray[Any, Any], drawn: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The median of each line of what is drawn from ascending values."""
    count = drawn.shape[1]
    medians: np.ndarray[Any, Any] = (ordered[drawn[:, (count - 1) // 2]] + ordered[drawn[:, count // 2]]) / 2
    return medians


def incomparable(a: RunContext, b: RunContext, clock: bool = True) -> tuple[str, ...]:
    """What makes two measurements of different things: another governor, clock, ABI or set of cores.

    Facts that are unknown on either side are no reason.

    Args:
        clock: whether another clock is a reason.
    """
    facts: Mapping[str, Callable[[RunContext], str | None]] = {
        "governor": lambda context: context.governor,
        "ABI": lambda context: context.abi,
        "cores": lambda context: context.affinity or context.cpuset,
    }
    reasons = [
        f"other {name} ({of(a)}, {of(b)})" for name, of in facts.items() if of(a) and of(b) and of(a) != of(b)
    ]
    if clock and a.clock_range_mhz and b.clock_range_mhz and _apart(a.clock_range_mhz, b.clock_range_mhz):
        reasons.append(f"other clock ({_mhz(a.clock_range_mhz)}, {_mhz(b.clock_range_mhz)})")
    return tuple(reasons)


def moved_apart(a: RunContext, b: RunContext) -> str | None:
    """Why two measurements of one thing differ that were taken at two times: the cores share a cache, and don't.

    Of rows that were measured in turns it says nothing: their threads are where the scheduler has put them.
    """
    if a.handover_ns is None or b.handover_ns is None:
        return None
    if max(a.handover_ns, b.handover_ns) <= OTHER_CACHES * min(a.handover_ns, b.handover_ns):
        return None
    return f"cores at another distance ({a.handover_ns:.0f} ns from one to the other, {b.handover_ns:.0f} ns)"


def _apart(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two ranges of clocks have none in common. A clock that moved is a verdict, see ``verdict``."""
    between = max(a[0], b[0]) - min(a[1], b[1])
    return between > SAME_CLOCK * max(a[0], b[0])


def _mhz(clocks: tuple[float, float]) -> str:
    low, high = (f"{mhz:.0f}" for mhz in clocks)
    return f"{low} MHz" if low == high else f"{low}–{high} MHz"
