"""Whether a measurement can be trusted, in words. Pure.

``stable``: the median and its interval mean what they say. ``unstable``: they may not, and why. ``invalid``: there
is nothing to compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal

from .context import RunContext
from .statistics import FEWEST_FOR_INTERVAL, Turns, median_interval
from .steadiness import SLOWED_BY, bimodal, drift, slowed

Word = Literal["stable", "unstable", "invalid"]

#: Half-width of the interval that is aimed at, as a fraction of the median (pyperf warns above 1 %).
PRECISION = 0.01
#: An interval this much wider than what was aimed at still counts as reached: it is an estimate itself.
PRECISION_SLACK = 1.5
#: A clock that moves by more than this moves latencies of computation by as much.
CLOCK_MOVED = 0.02
#: Share of the cores that others use and that shows in the figures: caches and memory are shared too.
BUSY = 0.10
#: Bits of ``vcgencmd get_throttled`` that hold now (Raspberry Pi documentation) …
THROTTLED = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
#: … and from this one on the same, since the board was switched on.
SINCE_BOOT = 16


@dataclass(frozen=True)
class Verdict:
    """A word and the reasons for it; none for a stable measurement."""

    word: Word
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.word + (f": {'; '.join(self.reasons)}" if self.reasons else "")


def judge(turns: Turns, context: RunContext, cores: int, precision: float = PRECISION) -> Verdict:
    """The verdict on one measurement.

    Args:
        turns: latencies in any unit, a list for each turn.
        context: what else was true; unknown facts are no reasons.
        cores: of the device, for the load of others.
        precision: half-width of the interval that was aimed at.
    """
    runs = [run for turn in turns for run in turn]
    if len(runs) < FEWEST_FOR_INTERVAL:
        return Verdict("invalid", (f"{len(runs)} runs are too few to tell anything",))
    reasons = [
        *_of_samples(turns, runs, min(SLOWED_BY, PRECISION_SLACK * precision)),
        *_of_interval(turns, runs, precision),
        *_of_context(context, cores),
    ]
    return Verdict("unstable", tuple(reasons)) if reasons else Verdict("stable")


def disturbances(turns: Turns, context: RunContext, cores: int) -> tuple[str, ...]:
    """What makes a median mean something else than its interval says; a wide interval alone does not.

    Args:
        turns, context, cores: as ``judge``.
    """
    runs = [run for turn in turns for run in turn]
    return (*_of_samples(turns, runs, SLOWED_BY), *_of_context(context, cores))


def _of_samples(turns: Turns, runs: list[float], most_slowed: float) -> list[str]:
    reasons = []
    by = slowed(runs)
    if by > most_slowed:
        reasons.append(f"slowed down (the median is {100 * by:.1f} % above the quickest runs)")
    modes = bimodal(runs)
    if modes:
        centre = median(runs)
        low, high = (100 * (mode / centre - 1) for mode in modes)
        reasons.append(f"bimodal (modes at {low:+.0f} % and {high:+.0f} % of the median)")
    change = drift(turns)
    if change is not None:
        reasons.append(f"drifting ({100 * change:+.0f} % from the first turn to the last)")
    return reasons


def _of_interval(turns: Turns, runs: list[float], precision: float) -> list[str]:
    interval = median_interval(turns)
    if interval is None:
        return [f"too few turns for an interval ({len(turns)} of {FEWEST_FOR_INTERVAL})"]
    width = interval.half_width(median(runs))
    if width >= 1:
        return [f"the interval is wider than the median itself, ±{100 * precision:g} % was aimed at"]
    if width > PRECISION_SLACK * precision:
        return [f"the interval is ±{100 * width:.1f} %, ±{100 * precision:g} % was aimed at"]
    return []


def _of_context(context: RunContext, cores: int) -> list[str]:
    reasons = []
    moved = _clock_moved(context)
    if moved is not None:
        reasons.append(f"the clock moved by {100 * moved:.0f} %")
    held = _throttled(context)
    if held:
        reasons.append(f"throttled ({', '.join(held)})")
    load = context.other_load
    if load is not None and load > BUSY * cores:
        reasons.append(f"other load ({load:.1f} of {cores} cores)")
    return reasons


def _clock_moved(context: RunContext) -> float | None:
    """How far the clock moved while runs were timed, as a fraction; None if by little or unknown."""
    if context.clock_range_mhz is None:
        return None
    low, high = context.clock_range_mhz
    change = 1 - low / high
    return change if change > CLOCK_MOVED else None


def _throttled(context: RunContext) -> list[str]:
    """What held the board down at its beginning, at its end, or in between, which only the bits since boot tell."""
    before, after = context.throttle_bits_before, context.throttle_bits
    held = (before or 0) | (after or 0)
    if before is not None and after is not None:
        held |= (after & ~before) >> SINCE_BOOT
    return [name for bit, name in THROTTLED.items() if held >> bit & 1]
