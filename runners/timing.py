"""When enough was measured, and what the samples say. Pure: no clock is read here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .statistics import QUICKEST, median_interval, percentile, turn_medians
from .verdict import PRECISION

# p10–p90 spread, relative to the median, above which a measurement is called unstable.
STABLE_SPREAD = 0.10

# A first run pages weights in and starts threads; LCE's own benchmark also warms up by time and count.
WARMUP_RUNS = 3
WARMUP_SECONDS = 0.2

# A measurement is taken in this many turns at least, so that a disturbance of the machine hits both members of a
# pair and all thread counts, not one of them alone; and so many medians of turns can tell a change from chance
# (``compare.FEWEST_TURNS``).
TURNS = 10

# Turns before the first sample: until the medians of the last few agree (a clock that rises, memory that is
# paged in), and no longer than a phone takes to reach its highest clock.
SETTLED_TURNS = 3
SETTLED_WITHIN = 0.02
MOST_WARMUP_SECONDS = 2.0

# A turn on a device costs a second beside its runs, and short ones would be many: no more than so many.
MOST_WARMUP_TURNS = TURNS
MOST_TURNS = 5 * TURNS

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class StopRule:
    """One turn: run until both are reached.

    Attributes:
        min_seconds: summed time of the timed runs, in seconds.
        min_runs: number of timed runs.
    """

    min_seconds: float = 0.2
    min_runs: int = 3

    def enough(self, samples_ns: Sequence[int]) -> bool:
        """Whether these samples (ns) suffice."""
        return len(samples_ns) >= self.min_runs and sum(samples_ns) >= self.min_seconds * NS_PER_SECOND


@dataclass(frozen=True)
class MeasureRule:
    """When a measurement is long enough: precise, within a minimum and a maximum time.

    Attributes:
        min_seconds, max_seconds: summed time of the timed runs, in seconds.
        min_runs: number of timed runs, at least.
        precision: half-width of the median's 95 % interval that is aimed at, as a fraction of the median.
    """

    min_seconds: float = 2.0
    min_runs: int = 30
    max_seconds: float = 10.0
    precision: float = PRECISION

    @property
    def turn(self) -> StopRule:
        """What is measured before the next in the round has its turn."""
        return StopRule(self.min_seconds / TURNS, max(1, math.ceil(self.min_runs / TURNS)))

    def enough(self, turns: Sequence[Sequence[int]]) -> bool:
        """Whether these turns (ns) suffice; there are never more than ``MOST_TURNS``."""
        runs = sum(map(len, turns))
        seconds = sum(map(sum, turns)) / NS_PER_SECOND
        if len(turns) < TURNS or runs < self.min_runs or seconds < self.min_seconds:
            return False
        return self.time_is_up(turns) or self._precise(turns)

    def time_is_up(self, turns: Sequence[Sequence[int]]) -> bool:
        """Whether nothing more is measured, precise or not."""
        if len(turns) < TURNS:
            return False
        return sum(map(sum, turns)) >= self.max_seconds * NS_PER_SECOND or len(turns) >= MOST_TURNS

    def enough_means(self, turns: Sequence[Sequence[int]]) -> bool:
        """Whether these turns (means, ns) suffice: each of them met a turn's rule by itself."""
        if len(turns) < TURNS or len(turns) >= MOST_TURNS:
            return len(turns) >= TURNS
        return self._precise(turns)

    def _precise(self, turns: Sequence[Sequence[int]]) -> bool:
        interval = median_interval(turns)
        centre = percentile([run for turn in turns for run in turn], 0.5)
        return interval is not None and interval.half_width(centre) <= self.precision

    def settled(self, turns: Sequence[Sequence[int]]) -> bool:
        """Whether the warm-up that these turns (ns) were can end."""
        seconds = sum(map(sum, turns)) / NS_PER_SECOND
        if seconds >= MOST_WARMUP_SECONDS or len(turns) >= MOST_WARMUP_TURNS:
            return True
        last = turn_medians(turns[-SETTLED_TURNS:])
        return len(last) == SETTLED_TURNS and max(last) <= (1 + SETTLED_WITHIN) * min(last)


WARMUP = StopRule(WARMUP_SECONDS, WARMUP_RUNS)


@dataclass(frozen=True)
class Summary:
    """Latencies in ms; ``runs`` is their number, ``quickest_ms`` what those take that nothing disturbed."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    quickest_ms: float
    runs: int

    @property
    def spread(self) -> float:
        """(p90 − p10) / median."""
        return (self.p90_ms - self.p10_ms) / self.median_ms

    @property
    def stable(self) -> bool:
        """Whether the spread is small enough to compare the median with another."""
        return self.spread <= STABLE_SPREAD

    @property
    def verdict(self) -> str:
        """``stable``, or what is wrong with the measurement."""
        if self.stable:
            return "stable"
        return f"unstable: p10–p90 spread {100 * self.spread:.0f} %"


def summarise(samples_ns: Sequence[int]) -> Summary:
    """Median and percentiles of run times given in ns.

    Raises:
        ValueError: no samples, or one that is not positive.
    """
    ordered = sorted(samples_ns)  # once: sorting what is sorted costs nothing, and stores hold millions
    if ordered and ordered[0] <= 0:
        raise ValueError("a run takes a positive time")
    p10, median, p90, quickest = (percentile(ordered, at) / NS_PER_MS for at in (0.1, 0.5, 0.9, QUICKEST))
    return Summary(median, p10, p90, quickest, len(ordered))
