"""Intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from bibench_deploy.runners import statistics
from bibench_deploy.runners.statistics import (
    Interval,
    inflation,
    median_interval,
    order_interval,
    percentile,
    split,
)
from bibench_deploy.runners.timing import TURNS

latencies = st.lists(st.integers(1, 10**9), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("count", "ranks"),
    # Conover, Practical nonparametric statistics, table A3 at p = 1/2, 95 %: ranks that enclose the median.
    [(5, None), (6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (12, (3, 10)), (20, (6, 15)), (100, (40, 61))],
)
def test_order_statistics_that_enclose_a_median(count: int, ranks: tuple[int, int] | None) -> None:
    found = order_interval([float(rank) for rank in range(1, count + 1)])
    assert found == (Interval(*map(float, ranks)) if ranks else None)


@pytest.mark.parametrize("distribution", ["lognormal", "exponential", "normal"])
def test_the_interval_covers_the_median_as_often_as_promised(distribution: str) -> None:
    random = np.random.default_rng(1)
    draw = {
        "lognormal": (lambda n: random.lognormal(0, 1, n), 1.0),
        "exponential": (lambda n: random.exponential(1, n), np.log(2)),
        "normal": (lambda n: random.normal(10, 1, n), 10.0),
    }
    sample, median = draw[distribution]
    trials = 600
    found = [order_interval(list(sample(25))) for _ in range(trials)]
    covered = sum(interval is not None and interval.low <= median <= interval.high for interval in found)
    # Exact coverage for n = 25 is 95.7 %; three standard errors of 600 trials are 2.5 %.
    assert covered / trials == pytest.approx(0.957, abs=0.025)


@given(latencies)
def test_an_interval_encloses_the_sample_median(samples: list[int]) -> None:
    interval = order_interval(samples)
    assert (interval is None) == (len(samples) < 6)  # 1 − 2·0.5⁵ is less than 95 %
    if interval:
        assert interval.low <= percentile(samples, 0.5) <= interval.high


def test_turns_that_differ_make_the_interval_as_wide_as_they_are() -> None:
    """A thousand runs of eight machine states know the median no better than the eight states do."""
    turns = [[100.0 + state] * 200 for state in (0, 7, 2, 5, 1, 6, 3, 4)]
    assert order_interval([run for turn in turns for run in turn]) == Interval(103, 104)
    found = median_interval(turns)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((100, 107))
    assert len(turns) == statistics.FEWEST_FOR_INTERVAL
    assert median_interval(turns[:-1]) is None
    assert median_interval([[float(i) for i in range(1, 101)]]) == Interval(37, 64)


@given(latencies, st.floats(0, 1))
def test_percentiles_are_numpys(samples: list[int], fraction: float) -> None:
    assert percentile(samples, fraction) == pytest.approx(np.quantile(samples, fraction))


def test_samples_are_split_into_turns() -> None:
    assert split([1, 2, 3, 4], [3, 1]) == [[1, 2, 3], [4]]
    assert split([1, 2], []) == [[1, 2]]
    with pytest.raises(ValueError, match="2 samples are not the 3"):
        split([1, 2], [3])


def autoregressive(correlation: float, count: int, seed: int) -> list[list[float]]:
    """Turns whose medians resemble the ones before."""
    random = np.random.default_rng(seed)
    values = [random.normal()]
    while len(values) < count:
        values.append(correlation * values[-1] + float(np.sqrt(1 - correlation**2)) * random.normal())
    return [[100.0 + value] for value in values]


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.99), (0.3, 0.99), (0.6, 0.97)])
@pytest.mark.parametrize("count", [10, 20, 50])
def test_turns_that_resemble_their_neighbours_still_cover_the_median(
    correlation: float, least: float, count: int
) -> None:
    """Order statistics alone would cover it in 76 to 83 % of cases at a correlation of 0.6."""
    trials = 400
    found = [median_interval(autoregressive(correlation, count, seed)) for seed in range(trials)]
    covered = sum(interval is not None and interval.low <= 100 <= interval.high for interval in found)
    # Three standard errors of 400 trials.
    assert covered / trials >= least - 3 * (least * (1 - least) / trials) ** 0.5


@pytest.mark.parametrize(("correlation", "scatter"), [(0.0, 2.0), (0.3, 1.5), (0.6, 1.0)])
def test_an_interval_that_ended_its_measurement_is_right_as_often_as_promised(
    correlation: float, scatter: float
) -> None:
    """It is looked at after each turn until it is narrow."""
    trials, ended, covered = 400, 0, 0
    for seed in range(trials):
        turns = [
            [100 + scatter * (run - 100) for run in turn] for turn in autoregressive(correlation, 50, seed)
        ]
        for count in range(TURNS, len(turns) + 1):
            interval = median_interval(turns[:count])
            assert interval is not None
            if (
                interval.half_width(percentile([run for turn in turns[:count] for run in turn], 0.5))
                <= 0.0125
            ):
                ended += 1
                covered += interval.low <= 100 <= interval.high
                break
    assert ended > trials / 3
    assert covered / ended >= 0.95 - 3 * (0.95 * 0.05 / ended) ** 0.5


def test_a_widened_interval_of_latencies_stays_positive() -> None:
    wide = median_interval([[100.0 * factor] for factor in (1, 1, 1, 1.1, 1.2, 3, 4, 4, 5, 5)])
    assert wide is not None
    assert 0 < wide.low <= 100
    assert wide.high >= 500
    assert Interval(50, 200).widened(2, 100) == Interval(25, 400)


@given(st.lists(st.floats(1, 2), min_size=6, max_size=60), st.floats(0.1, 10))
def test_widening_never_narrows_and_does_not_depend_on_the_unit(values: list[float], unit: float) -> None:
    assert 1 <= inflation(values) <= (1.9 / 0.1) ** 0.5 + 1e-9
    if max(values) - min(values) > 1e-3:
        assert inflation([unit * value for value in values]) == pytest.approx(inflation(values), rel=1e-3)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.998])
def test_the_order_statistics_are_those_of_the_binomial_distribution(confidence: float) -> None:
    """Against another implementation of it."""
    for count in (*range(60), 1000, 120_000):
        known = order_interval(range(count), confidence)
        below = int(known.low) if known else -1  # so many values lie below its lower end
        assert known is None or known.high == count - 1 - below
        tail = (1 - confidence) / 2
        assert below < 0 or binom.cdf(below, count, 0.5) <= tail
        assert binom.cdf(below + 1, count, 0.5) > tail
