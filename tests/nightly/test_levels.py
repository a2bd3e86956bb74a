"""The statistics of nights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.nightly.baseline import Past
from bibench_deploy.nightly.levels import Point, deviation, judgement, p_slower
from support.nights import night_of, row


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 8, 9, 12, 20])
def test_the_deviation_of_few_nights_is_not_too_small(count: int) -> None:
    """In the mean over many draws from a normal distribution, within the error of so many."""
    random = np.random.default_rng(count)
    found = [deviation(list(night)) for night in random.normal(1, 0.01, (8000, count))]
    assert np.mean(found) == pytest.approx(0.01, rel=0.03)


def test_one_odd_night_does_not_count_in_the_deviation() -> None:
    nights = [10.0, 10.1, 9.9, 10.0, 10.05, 9.95, 10.0]
    assert deviation([*nights[:-1], 20.0]) < 2 * deviation(nights)
    assert deviation([10.0]) == 0


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(1, 2), min_size=7, max_size=40),
    st.lists(st.floats(1, 2), min_size=7, max_size=40),
    st.floats(1, 2),
)
def test_slower_values_are_never_less_surely_slower(
    first: list[float], second: list[float], factor: float
) -> None:
    # Ties change the variance of the normal approximation a little.
    assert p_slower(first, [value * factor for value in second]) <= p_slower(first, second) + 0.02


def test_too_few_turns_and_no_nights_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 7 turns"):
        p_slower([1.0] * 6, [2.0] * 10)
    with pytest.raises(ValueError, match="without nights"):
        judgement(Point(Past(night_of(1), row(1))), [], 0, 7, 1.05)


def test_all_alike_is_not_slower() -> None:
    assert p_slower([1.0] * 10, [1.0] * 10) == 1.0
