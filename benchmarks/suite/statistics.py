"""What samples say. Pure: no clock is read here.

A block is what one case measured in one round. The unit of comparison is the block's median, since runs of one
block share what disturbed them; ratios are taken within a round, where both sides met the same machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bibench_deploy.runners.statistics import order_interval

#: Round → the latencies (ns) that a case had in it.
Blocks = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """A quantity over the rounds.

    Attributes:
        median: of the blocks' medians.
        low, high: the lowest and the highest block's median.
        minimum: the lowest of all samples: what the quietest moment gave.
        rounds: number of blocks.
    """

    median: float
    low: float
    high: float
    minimum: float
    rounds: int


@dataclass(frozen=True)
class Ratio:
    """How many times as long one case took as another.

    Attributes:
        median: of the ratios of the rounds.
        low, high: confidence interval of that median (95 %, from order statistics: it assumes nothing about the
            distribution); the whole range where there are too few rounds for one.
        of_minima: ratio of the lowest samples.
        rounds: rounds in which both were measured.
    """

    median: float
    low: float
    high: float
    of_minima: float
    rounds: int


def block_medians(blocks: Blocks) -> dict[int, float]:
    """Round → median of its samples."""
    return {round_: float(np.median(samples)) for round_, samples in blocks.items() if len(samples)}


def estimate(blocks: Blocks) -> Estimate:
    """Median, spread and minimum of a case.

    Raises:
        ValueError: no samples.
    """
    medians = list(block_medians(blocks).values())
    if not medians:
        raise ValueError("an estimate of no samples")
    minimum = min(min(samples) for samples in blocks.values() if len(samples))
    return Estimate(float(np.median(medians)), min(medians), max(medians), float(minimum), len(medians))


def ratio(over: Blocks, under: Blocks) -> Ratio:
    """How many times as long ``over`` took as ``under``.

    Raises:
        ValueError: they have no round in common.
    """
    top, bottom = block_medians(over), block_medians(under)
    paired = [top[round_] / bottom[round_] for round_ in top if round_ in bottom]
    if not paired:
        raise ValueError("a ratio of cases that were never measured in the same round")
    low, high = interval(paired)
    minima = estimate(over).minimum / estimate(under).minimum
    return Ratio(float(np.median(paired)), low, high, minima, len(paired))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Confidence interval of the median; the range where the values are too few for one."""
    found = order_interval(values)
    return (found.low, found.high) if found else (min(values), max(values))


def fastest(candidates: Mapping[str, Blocks]) -> str:
    """Whose median is the lowest.

    Raises:
        ValueError: no candidates.
    """
    return min(candidates, key=lambda name: estimate(candidates[name]).median)


def sum_blocks(parts: Sequence[Blocks]) -> dict[int, list[float]]:
    """Round → the sum of the parts' block medians, in the rounds that all have."""
    medians = [block_medians(part) for part in parts]
    common = set.intersection(*(set(part) for part in medians)) if medians else set()
    return {round_: [sum(part[round_] for part in medians)] for round_ in sorted(common)}
