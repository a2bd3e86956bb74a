"""Intervals that hold what they promise; modes and trends that are there, and none where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from bibench_deploy.runners import statistics
from bibench_deploy.runners.statistics import (
    Interval,
    bimodal,
    drift,
    inflation,
    median_interval,
    order_interval,
    percentile,
    split,
)

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
    assert (interval is None) == (len(samples) < statistics.FEWEST_FOR_INTERVAL)
    if interval:
        assert interval.low <= percentile(samples, 0.5) <= interval.high


def test_turns_that_differ_make_the_interval_as_wide_as_they_are() -> None:
    """A thousand runs of six machine states know the median no better than the six states do."""
    turns = [[100.0 + state] * 200 for state in (0, 5, 2, 3, 1, 4)]
    assert order_interval([run for turn in turns for run in turn]) == Interval(102, 103)
    assert median_interval(turns) == Interval(100, 105)
    assert median_interval(turns[:5]) is None
    assert median_interval([[float(i) for i in range(1, 101)]]) == Interval(40, 61)


@given(latencies, st.floats(0, 1))
def test_percentiles_are_numpys(samples: list[int], fraction: float) -> None:
    assert percentile(samples, fraction) == pytest.approx(np.quantile(samples, fraction))


def test_samples_are_split_into_turns() -> None:
    assert split([1, 2, 3, 4], [3, 1]) == [[1, 2, 3], [4]]
    assert split([1, 2], []) == [[1, 2]]
    with pytest.raises(ValueError, match="2 samples are not the 3"):
        split([1, 2], [3])


def shaped(shape: str, count: int, seed: int) -> list[float]:
    random = np.random.default_rng(seed)
    spread = {
        "normal": lambda: random.normal(100, 3, count),
        "normal, wide": lambda: random.normal(100, 15, count),
        "long tail": lambda: 100 + random.exponential(5, count),
        "outliers": lambda: np.where(random.random(count) < 0.03, 200.0, random.normal(100, 2, count)),
        "uniform": lambda: random.uniform(90, 110, count),
        "two close modes": lambda: (
            np.where(random.random(count) < 0.5, 101, 100) + random.normal(0, 0.2, count)
        ),
        "two modes": lambda: np.where(random.random(count) < 0.4, 130, 100) + random.normal(0, 2, count),
        "two clocks": lambda: np.where(random.random(count) < 0.8, 150, 100) + random.normal(0, 3, count),
    }
    return [float(value) for value in spread[shape]()]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [60, 400, 6000])
@pytest.mark.parametrize(
    "shape", ["normal", "normal, wide", "long tail", "outliers", "uniform", "two close modes"]
)
def test_one_mode(shape: str, count: int, seed: int) -> None:
    assert bimodal(shaped(shape, count, seed)) is None


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [60, 400, 6000])
@pytest.mark.parametrize(("shape", "modes"), [("two modes", (100, 130)), ("two clocks", (100, 150))])
def test_two_modes(shape: str, modes: tuple[int, int], count: int, seed: int) -> None:
    assert bimodal(shaped(shape, count, seed)) == pytest.approx(modes, abs=4)


def test_drift_is_a_trend_that_is_clear_and_large() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.3, (12, 20))
    rising = [list(100 + turn + noise[turn]) for turn in range(12)]
    assert drift(rising) == pytest.approx(0.11, abs=0.02)
    assert drift([list(reversed(turn)) for turn in reversed(rising)]) == pytest.approx(-0.11, abs=0.02)
    assert drift([list(100 + noise[turn]) for turn in range(12)]) is None  # chance
    assert drift([[100 + 0.05 * turn] for turn in range(12)]) is None  # clear, and too small to matter
    assert drift(rising[:5]) is None  # too few to tell
    assert drift([[100.0]] * 12) is None


def test_chance_rarely_looks_like_a_drift() -> None:
    random = np.random.default_rng(2)
    found = [drift([[float(v)] for v in random.normal(100, 5, 12)]) for _ in range(300)]
    assert sum(change is not None for change in found) / 300 < 0.03


def autoregressive(correlation: float, count: int, seed: int) -> list[list[float]]:
    """Turns whose medians resemble the ones before."""
    random = np.random.default_rng(seed)
    values = [random.normal()]
    while len(values) < count:
        values.append(correlation * values[-1] + float(np.sqrt(1 - correlation**2)) * random.normal())
    return [[100.0 + value] for value in values]


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.95), (0.3, 0.94), (0.6, 0.88)])
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
