"""One job's latencies over the nights: what is usual, and whether tonight is not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
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
    morning, when it is already part of the last nights. Where levels begin is told by the nights before alone, and
    a night is slower if it is so against either: slower values never make a pass of it.

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
    earlier, last = points[max(0, start - nights) : start], points[start:][-nights:]
    needed = max(factor, 1 + NIGHT_DEVIATIONS * deviation(_relative(earlier, last)[-nights:]))
    present = _against(now, last, needed)
    if present.word == "faster":
        fast = _last(points, lambda point: point.centre <= needed * now.centre)
        present = replace(present, began=points[-fast].past.began if fast else None)
    if start < FEWEST_NIGHTS or len(points) - start >= nights:
        return present
    before = _against(now, earlier, needed)
    if before.word == "slower":
        return replace(before, began=last[0].past.began)
    if present.word == "slower" or before.word == "faster":
        return present
    return before  # back from a slow level to the usual one is no news


def beginning(points: Sequence[Point], start: int, factor: float) -> int:
    """Number of the first night of the present level, the last nights considered that are too few for a step yet.

    A single slow night may be the first of many. Faster ones must be as many as a baseline needs, since a mistaken
    one would make alarms of what is usual.

    Args:
        start: of the level by ``results.steps``.
    """
    level = median(point.centre for point in points[start:])
    slow = _last(points, lambda point: point.centre >= factor * level)
    fast = _last(points, lambda point: point.centre * factor <= level)
    count = slow or (fast if fast >= FEWEST_NIGHTS else 0)
    first = len(points) - count
    return first if count and first >= FEWEST_NIGHTS else start


def _last(points: Sequence[Point], fits: Callable[[Point], bool]) -> int:
    """How many at the end fit."""
    return sum(1 for _ in takewhile(fits, reversed(points)))


def _against(now: Point, others: Sequence[Point], needed: float) -> Judgement:
    ratio = now.centre / median(other.centre for other in others)
    pooled = [turn for other in others for turn in other.turns]
    word: Word = "same"
    if ratio >= needed and p_slower(pooled, now.turns) < SIGNIFICANT_P / 2:
        word = "slower"
    elif ratio <= 1 / needed and p_slower(now.turns, pooled) < SIGNIFICANT_P / 2:
        word = "faster"
    return Judgement(word, ratio, needed, tuple(others))


def _relative(*levels: Sequence[Point]) -> list[float]:
    """Nights over the medians of their levels."""
    found = []
    for level in filter(None, levels):
        centre = median(point.centre for point in level)
        found += [point.centre / centre for point in level]
    return found


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
