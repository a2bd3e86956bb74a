from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.statistics import Estimate, block_medians, estimate, fastest, interval, ratio, sum_blocks

NS = st.floats(1.0, 1e9)
ROUNDS = st.lists(st.tuples(NS, NS, st.floats(0.5, 50.0)), min_size=1, max_size=12)


def test_an_estimate_is_of_the_blocks_medians_and_the_minimum_of_all_samples() -> None:
    blocks = {0: [10.0, 11.0, 90.0], 1: [12.0, 12.0, 12.0], 2: [20.0, 9.0, 20.0]}
    assert estimate(blocks) == Estimate(median=12, low=11, high=20, minimum=9, rounds=3)


def test_one_long_block_counts_as_much_as_a_short_one() -> None:
    assert estimate({0: [10.0], 1: [30.0] * 1000, 2: [10.0]}).median == 10


@given(ROUNDS)
def test_what_slows_a_whole_round_down_does_not_change_a_ratio(
    rounds: list[tuple[float, float, float]],
) -> None:
    quiet = ratio(
        {i: [a] for i, (a, _, _) in enumerate(rounds)}, {i: [b] for i, (_, b, _) in enumerate(rounds)}
    )
    loud = ratio(
        {i: [a * slow] for i, (a, _, slow) in enumerate(rounds)},
        {i: [b * slow] for i, (_, b, slow) in enumerate(rounds)},
    )
    assert loud.median == pytest.approx(quiet.median)
    assert (loud.low, loud.high) == pytest.approx((quiet.low, quiet.high))


def test_a_ratio_is_taken_in_the_rounds_that_both_have() -> None:
    value = ratio({0: [4.0], 1: [6.0], 2: [99.0]}, {0: [2.0], 1: [2.0]})
    assert (value.median, value.rounds) == (2.5, 2)
    with pytest.raises(ValueError, match="never measured in the same round"):
        ratio({0: [1.0]}, {1: [1.0]})


@given(st.lists(NS, min_size=1, max_size=40))
def test_the_interval_holds_the_median_and_lies_in_the_range(values: list[float]) -> None:
    low, high = interval(values)
    assert min(values) <= low <= sorted(values)[len(values) // 2] <= high <= max(values)


def test_the_interval_of_many_rounds_leaves_out_the_extremes() -> None:
    """With 15 values the binomial puts the median's 95 % interval at the 4th and the 12th."""
    assert interval([float(i) for i in range(1, 16)]) == (4, 12)


def test_too_few_rounds_have_their_range_for_an_interval() -> None:
    assert interval([1.0, 2.0, 3.0]) == (1, 3)


def test_the_fastest_is_the_one_with_the_lowest_median() -> None:
    assert (
        fastest({"lucky once": {0: [1.0], 1: [9.0], 2: [9.0]}, "steady": {0: [5.0], 1: [5.0], 2: [5.0]}})
        == "steady"
    )


def test_parts_are_summed_in_the_rounds_that_all_have() -> None:
    assert sum_blocks([{0: [1.0, 3.0], 1: [5.0]}, {0: [10.0], 2: [7.0]}]) == {0: [12.0]}


def test_no_samples_are_no_estimate() -> None:
    assert block_medians({0: []}) == {}
    with pytest.raises(ValueError, match="no samples"):
        estimate({0: []})
