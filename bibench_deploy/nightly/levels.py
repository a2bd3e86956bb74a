"""One job's latencies over the nights: what is usual, and whether tonight is not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from statistics import median
from typing import TYPE_CHECKING, Literal

from bibench_deploy.runners.compare import FEWEST_TURNS, SIGNIFICANT_P
from bibench_deploy.runners.statistics import split, turn_medians

from .baseline import Past
from .finding import Began

if TYPE_CHECKING:
    from bibench_deploy.results import Row

Word = Literal["slower", "faster", "same"]

#: With fewer nights there is nothing that tonight could differ from.
FEWEST_NIGHTS = 3
#: Standard deviations of the nights' medians that tonight must lie beyond.
NIGHT_DEVIATIONS = 3.0
#: From the median absolute deviation to the standard deviation of a normal distribution …
MAD_TO_DEVIATION = 1.4826
#: … and what it is too small by for n = 2 … 9 values; n / (n − 0.8) for more (Croux and Rousseeuw, *Time-efficient
#: algorithms for two highly robust estimators of scale*, COMPSTAT 1992).
SMALL_SAMPLE = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}


@dataclass(frozen=True)
class Point:
    """A job in one night."""

    past: Past

    @cached_property
    def turns(self) -> list[float]:
        """Medians of its turns, ns."""
        return row_turns(self.past.row)

    @cached_property
    def centre(self) -> float:
        """Their median."""
        return median(self.turns)


@dataclass(frozen=True)
class Judgement:
    """Tonight against other nights.

    Attributes:
        ratio: tonight's median over theirs.
        needed: ratio from which it would have been slower.
        baseline: the nights, oldest first.
        began: when tonight's level began; None for tonight.
    """

    word: Word
    ratio: float
    needed: float
    baseline: tuple[Point, ...]
    began: Began | None = None


def row_turns(row: Row) -> list[float]:
    """The medians of a row's turns, ns."""
    return turn_medians(split(row.samples_ns, row.turns))


def judgement(now: Point, points: Sequence[Point], start: int, nights: int, factor: float) -> Judgement:
    """Tonight against the present level, and against the one before while the present one is young.

    The level before counts for as many nights as a baseline has, so that what got slower stays so on the second
    morning, when it is already part of the last nights.

    Args:
        points: the nights before, oldest first; at least one.
        start: number of the first of them that is on the present level.
        nights: that a baseline has at most.
        factor: that counts.

    Raises:
        ValueError: no points, or too few turns for ``p_slower``.
    """
    if not points:
        raise ValueError("a judgement without nights")
    needed = max(factor, 1 + NIGHT_DEVIATIONS * _spread(points, start, nights))
    present = _against(now, points[start:][-nights:], needed)
    if start < FEWEST_NIGHTS or len(points) - start >= nights:
        return present if present.word == "same" else _since(present)
    began = points[start].past.began
    before = _against(now, points[max(0, start - nights) : start], needed, began)
    if before.word == "slower":
        return before
    if present.word == "slower":
        return _since(present)
    # Back from a slow level to the usual one is no news; better than both is.
    return _since(present) if before.word == present.word == "faster" else _same(present)


def _against(now: Point, others: Sequence[Point], needed: float, began: Began | None = None) -> Judgement:
    ratio = now.centre / median(other.centre for other in others)
    pooled = [turn for other in others for turn in other.turns]
    word: Word = "same"
    if ratio >= needed and p_slower(pooled, now.turns) < SIGNIFICANT_P / 2:
        word = "slower"
    elif ratio <= 1 / needed and p_slower(now.turns, pooled) < SIGNIFICANT_P / 2:
        word = "faster"
    return Judgement(word, ratio, needed, tuple(others), began)


def _same(found: Judgement) -> Judgement:
    return Judgement("same", found.ratio, found.needed, found.baseline)


def _since(found: Judgement) -> Judgement:
    """The last nights of the baseline that are nearer to tonight are of tonight's level: too few for a step yet."""
    centre = median(point.centre for point in found.baseline)
    middle = centre * sqrt(found.ratio)
    count = 0
    for point in reversed(found.baseline):
        if (point.centre < middle) == (found.ratio > 1):
            break
        count += 1
    if not count:
        return found
    rest = found.baseline[:-count]
    ratio = found.ratio * centre / median(point.centre for point in rest)
    return Judgement(found.word, ratio, found.needed, rest, found.baseline[-count].past.began)


def _spread(points: Sequence[Point], start: int, nights: int) -> float:
    """Relative standard deviation of the last nights about their levels."""
    centres = [point.centre for point in points]
    levels = [centres[:start], centres[start:]]
    relative = [centre / median(level) for level in levels if level for centre in level]
    return deviation(relative[-nights:])


def deviation(values: Sequence[float]) -> float:
    """Relative standard deviation, from the median absolute deviation: one odd night does not count."""
    if len(values) < 2:
        return 0.0
    centre, count = median(values), len(values)
    correction = SMALL_SAMPLE.get(count, count / (count - 0.8))
    return correction * MAD_TO_DEVIATION * median(abs(value - centre) for value in values) / centre


def p_slower(first: Sequence[float], second: Sequence[float]) -> float:
    """One-sided p that the second are no slower than the first (Mann and Whitney, 1947); 1 where all are equal.

    One-sided, so that slower values never make it less sure; asv's limit holds for both sides together.

    Raises:
        ValueError: fewer than ``FEWEST_TURNS`` on a side.
    """
    from scipy.stats import mannwhitneyu

    if min(len(first), len(second)) < FEWEST_TURNS:
        raise ValueError(f"fewer than {FEWEST_TURNS} turns")
    if min(*first, *second) == max(*first, *second):
        return 1.0
    return float(mannwhitneyu(second, first, alternative="greater").pvalue)
