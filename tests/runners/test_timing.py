"""When a measurement is long enough, and what its samples say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.runners.timing import NS_PER_MS, NS_PER_SECOND, TURNS, StopRule, percentile, summarise

samples = st.lists(st.integers(1, 10**12), min_size=1, max_size=50)


def test_enough_needs_both_the_time_and_the_runs() -> None:
    rule = StopRule(min_seconds=2.0, min_runs=3)
    second = NS_PER_SECOND
    assert not rule.enough([])
    assert not rule.enough([second, second])  # the time, not the runs
    assert not rule.enough([1, 1, 1])  # the runs, not the time
    assert rule.enough([second, second, 1])


@given(st.floats(0.001, 100), st.integers(1, 1000))
def test_the_turns_of_a_rule_add_up_to_it(seconds: float, runs: int) -> None:
    turn = StopRule(seconds, runs).turn
    assert turn.min_runs * TURNS >= runs
    assert turn.min_seconds * TURNS == pytest.approx(seconds)


@given(samples, st.floats(0, 1))
def test_percentiles_are_those_of_numpy(values: list[int], fraction: float) -> None:
    assert percentile(values, fraction) == pytest.approx(float(np.quantile(values, fraction)))


def test_a_summary_is_in_milliseconds() -> None:
    summary = summarise([NS_PER_MS * value for value in range(1, 12)])
    assert (summary.p10_ms, summary.median_ms, summary.p90_ms, summary.runs) == (2, 6, 10, 11)


def test_the_verdict_names_a_spread_above_a_tenth_of_the_median() -> None:
    assert summarise([100] * 5 + [105] * 5).verdict == "stable"
    assert summarise([100] * 5 + [150] * 6).verdict == "unstable: p10–p90 spread 33 %"


def test_nothing_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarise([])
    with pytest.raises(ValueError, match="positive"):
        summarise([5, 0])
