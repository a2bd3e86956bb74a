"""When enough was measured, and what the samples say. Pure: no clock is read here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# p10–p90 spread, relative to the median, above which a measurement is called unstable.
STABLE_SPREAD = 0.10

# A first run pages weights in and starts threads; LCE's own benchmark also warms up by time and count.
WARMUP_RUNS = 3
WARMUP_SECONDS = 0.2

# A measurement is taken in this many turns at least, so that a disturbance of the machine hits
# both members of a pair and all thread counts, not one of them alone.
TURNS = 5

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class StopRule:
    """Measure until both are reached.

    Attributes:
        min_seconds: summed time of the timed runs, in seconds.
        min_runs: number of timed runs.
    """

    min_seconds: float = 2.0
    min_runs: int = 30

    def enough(self, samples_ns: Sequence[int]) -> bool:
        """Whether these samples (ns) suffice."""
        return len(samples_ns) >= self.min_runs and sum(samples_ns) >= self.min_seconds * NS_PER_SECOND

    @property
    def turn(self) -> StopRule:
        """The part of it that is measured before the next in the round has its turn."""
        return StopRule(self.min_seconds / TURNS, max(1, math.ceil(self.min_runs / TURNS)))


WARMUP = StopRule(WARMUP_SECONDS, WARMUP_RUNS)


@dataclass(frozen=True)
class Summary:
    """Latencies in ms; ``runs`` is their number."""

    median_ms: float
    p10_ms: float
    p90_ms: float
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


def percentile(samples: Sequence[int], fraction: float) -> float:
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


def summarise(samples_ns: Sequence[int]) -> Summary:
    """Median and percentiles of run times given in ns.

    Raises:
        ValueError: no samples, or one that is not positive.
    """
    if any(sample <= 0 for sample in samples_ns):
        raise ValueError("a run takes a positive time")
    p10, median, p90 = (percentile(samples_ns, fraction) / NS_PER_MS for fraction in (0.1, 0.5, 0.9))
    return Summary(median, p10, p90, len(samples_ns))
