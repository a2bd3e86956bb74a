"""When a measurement is long enough, and what its samples say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.runners.timing import (
    MOST_TURNS,
    NS_PER_MS,
    NS_PER_SECOND,
    TURNS,
    MeasureRule,
    StopRule,
    summarise,
)


def test_enough_needs_both_the_time_and_the_runs() -> None:
    rule = StopRule(min_seconds=2.0, min_runs=3)
    second = NS_PER_SECOND
    assert not rule.enough([])
    assert not rule.enough([second, second])  # the time, not the runs
    assert not rule.enough([1, 1, 1])  # the runs, not the time
    assert rule.enough([second, second, 1])


@given(st.floats(0.001, 100), st.integers(1, 1000))
def test_the_turns_of_a_rule_add_up_to_it(seconds: float, runs: int) -> None:
    turn = MeasureRule(seconds, runs).turn
    assert turn.min_runs * TURNS >= runs
    assert turn.min_seconds * TURNS == pytest.approx(seconds)


MS = NS_PER_MS
STEADY = [[100 * MS, 101 * MS, 99 * MS]] * TURNS
SHAKY = [[100 * MS, 110 * MS, 90 * MS], [120 * MS, 130 * MS, 110 * MS]] * (TURNS // 2)


@pytest.mark.parametrize(
    ("turns", "rule", "enough"),
    [
        (STEADY, MeasureRule(2.0, 30), True),
        (STEADY, MeasureRule(4.0, 30), False),  # the time
        (STEADY, MeasureRule(2.0, 31), False),  # the runs
        (STEADY[1:], MeasureRule(2.0, 3), False),  # the turns
        (SHAKY, MeasureRule(2.0, 30), False),  # the precision
        (SHAKY, MeasureRule(2.0, 30, precision=0.2), True),
        (SHAKY, MeasureRule(2.0, 30, max_seconds=3.0), True),  # time is up
        (SHAKY * 5, MeasureRule(0.02, 3, max_seconds=100.0), True),  # so many turns are enough
        ([], MeasureRule(), False),
    ],
)
def test_a_measurement_is_precise_or_its_time_is_up(
    turns: list[list[int]], rule: MeasureRule, enough: bool
) -> None:
    assert rule.enough(turns) == enough


@pytest.mark.parametrize(
    ("medians_ms", "settled"),
    [
        ((100,), False),
        ((100, 100), False),
        ((150, 120, 100), False),
        ((150, 120, 101, 100, 102), True),
        ((800, 700, 600), True),  # two seconds are enough
        ((10, 20) * 5, True),  # and so are ten turns
    ],
)
def test_warming_up_ends_when_the_last_turns_agree(medians_ms: tuple[int, ...], settled: bool) -> None:
    assert MeasureRule().settled([[ms * MS] for ms in medians_ms]) == settled


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


@pytest.mark.parametrize(
    ("means_ms", "precision", "enough"),
    [
        ((100,) * (TURNS - 1), 0.01, False),
        ((100,) * TURNS, 0.01, True),  # ten means, though neither 30 runs nor 2 s are seen in them
        ((90, 110) * (TURNS // 2), 0.01, False),
        ((90, 110) * (TURNS // 2), 0.2, True),
        ((90, 110) * (MOST_TURNS // 2), 0.01, True),
    ],
)
def test_means_are_enough_when_they_agree(means_ms: tuple[int, ...], precision: float, enough: bool) -> None:
    assert MeasureRule(precision=precision).enough_means([[ms * MS] for ms in means_ms]) == enough
