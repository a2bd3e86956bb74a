"""Steps of a history: found where a level changed for good, and nowhere else."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.results.steps import BOUND, LEAST_NOISE, PENALTY, Segment, steps

NOISE = 0.01
SEED = 20261122
Random = np.random.Generator


def history(random: Random, *levels: tuple[int, float], noise: float = NOISE) -> list[float]:
    """So many nights of each level."""
    exact = np.concatenate([np.full(nights, level) for nights, level in levels])
    return list(exact * np.exp(noise * random.standard_normal(len(exact))))


def starts(values: list[float]) -> list[int]:
    return [segment.start for segment in steps(values)]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (((30, 10.0),), [0]),
        (((30, 10.0), (30, 11.0)), [0, 30]),
        (((30, 10.0), (30, 9.0)), [0, 30]),
        (((30, 10.0), (5, 11.0)), [0, 30]),
        (((5, 10.0), (30, 11.0)), [0, 5]),
        (((30, 10.0), (12, 12.0), (30, 10.0)), [0, 30, 42]),
        (((90, 10.0), (90, 10.5), (90, 11.0), (95, 8.0)), [0, 90, 180, 270]),
        (((30, 10.0), (3, 20.0), (30, 10.0)), [0]),  # three odd nights are no level
        (((30, 10.0), (3, 20.0)), [0]),  # and may be the last ones
        (((30, 10.0), (30, 10.1)), [0]),  # 1 % is no news
        (((3, 10.0),), [0]),
        (((1, 10.0),), [0]),
        ((), []),
    ],
)
def test_steps_are_found_where_the_level_changes(
    levels: tuple[tuple[int, float], ...], expected: list[int]
) -> None:
    found = steps(history(np.random.default_rng(SEED), *levels) if levels else [])
    assert len(found) == len(expected)
    assert all(abs(segment.start - start) <= 1 for segment, start in zip(found, expected, strict=True))
    if len(expected) == len(levels):
        assert [segment.level for segment in found] == pytest.approx([lv for _, lv in levels], rel=0.01)


def test_a_level_is_the_median_of_its_nights() -> None:
    assert steps([10.0, 10.0, 99.0, 10.0, 10.1, 20, 20, 20, 20, 20.2]) == [Segment(0, 10.0), Segment(5, 20.0)]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_latency_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        steps([10.0, value])


@pytest.mark.parametrize("noise", ["normal", "laplace", "odd nights"])
@pytest.mark.parametrize("nights", [14, 30, 90, 365])
def test_noise_alone_is_one_segment(noise: str, nights: int) -> None:
    """Of a hundred histories without a step at most two show one, even where the least ratio keeps none away."""
    random = np.random.default_rng(SEED)
    alarms = 0
    for _ in range(100):
        night = random.laplace(size=nights) if noise == "laplace" else random.standard_normal(nights)
        odd = 30 * (random.random(nights) < 0.05) if noise == "odd nights" else 0.0
        alarms += len(steps(list(10 * np.exp(NOISE * (night + odd))), least=1.0)) > 1
    assert alarms <= 2


@pytest.mark.parametrize(("nights", "least_found"), [(5, 85), (7, 98)])
def test_five_per_cent_are_found_within_a_week(nights: int, least_found: int) -> None:
    random = np.random.default_rng(SEED)
    found = [starts(history(random, (60, 10.0), (nights, 10.5))) for _ in range(100)]
    assert sum(len(one) == 2 and abs(one[1] - 60) <= 2 for one in found) >= least_found


relaxed = settings(deadline=None)  # the machine may be busy
values = st.lists(st.floats(0.5, 50), min_size=1, max_size=40)


@relaxed
@given(values, st.floats(1e-6, 1e6))
def test_the_unit_is_of_no_account(given: list[float], factor: float) -> None:
    """But for ties, which rounding decides."""
    assert cost(given, starts([factor * value for value in given])) == pytest.approx(
        cost(given, starts(given)), abs=1e-6
    )


@relaxed
@given(values, st.integers(0, 39), st.floats(1e-3, 1e3))
def test_one_night_never_makes_a_step_of_its_own(given: list[float], night: int, value: float) -> None:
    found = starts([*given[:night], value, *given[night:]])
    ends = [*found[1:], len(given) + 1]
    assert all(end - start > 3 for start, end in zip(found, ends, strict=True)) or len(found) == 1


@given(st.lists(st.sampled_from([1.0, 1.3, 1.31, 2.0]), min_size=2, max_size=10))
@settings(max_examples=40, deadline=None)
def test_no_other_division_is_better(given: list[float]) -> None:
    """Against every division there is: the search is exact."""
    found = [segment.start for segment in steps(given, least=1.0)]
    every = ([0, *cuts] for count in range(len(given)) for cuts in combinations(range(1, len(given)), count))
    assert cost(given, found) == pytest.approx(min(cost(given, division) for division in every))


def cost(given: list[float], division: list[int]) -> float:
    """The functional of a division, the best level of each segment tried among its values."""
    x = np.log(given)
    noise = (
        max(LEAST_NOISE, 1.4826 * float(np.median(np.abs(np.diff(x)))) / math.sqrt(2)) if len(x) > 1 else 1
    )
    penalty = PENALTY * math.log(max(len(x), 2))
    total = penalty * (len(division) - 1)
    for start, end in zip(division, [*division[1:], len(x)], strict=True):
        part = x[start:end]
        total += min(float(np.minimum(np.abs(part - v) / noise, BOUND * penalty).sum()) for v in part)
    return total
