"""Any spelling of a two-valued step is found to the last bit, and what is none is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bibench_deploy.converters.reader.steps import NotAStep, StepFunction, characterise

Floats = npt.NDArray[np.float32]
Function = Callable[[Floats], Floats]

TINY = float(np.finfo(np.float32).tiny)
#: Thresholds: none beyond the evaluation grid, subnormal ones included.
thresholds = st.floats(-(2.0**95), 2.0**95, width=32) | st.sampled_from(
    [0.0, -0.0, 0.25, 1e-30, float(TINY), 1e-45]
)
levels = st.floats(-100, 100, width=32)


def spelled(comparison: str, t: Any, low: float, high: float) -> Function:
    compare = {">=": np.greater_equal, ">": np.greater, "<": np.less, "<=": np.less_equal}[comparison]
    return lambda x: np.where(compare(x, np.asarray(t, np.float32)), np.float32(high), np.float32(low))


def found(function: Function, channels: int = 1, constants: list[float] | None = None) -> StepFunction:
    result = characterise(function, channels, constants or [])
    assert isinstance(result, StepFunction), result
    return result


def refused(function: Function, channels: int = 1, constants: list[float] | None = None) -> NotAStep:
    result = characterise(function, channels, constants or [])
    assert isinstance(result, NotAStep), result
    return result


def recomputed(step: StepFunction, x: Floats) -> npt.NDArray[np.float64]:
    """The step's own definition."""
    s = step.direction * np.where(x >= step.threshold, 1.0, -1.0)
    if step.at_threshold == 0:
        s = np.where(x == step.threshold, 0.0, s)
    return step.middle + step.half * s


def neighbours(t: float) -> Floats:
    """A number and those around it, by steps of one unit in the last place; and far ones."""
    around = [np.float32(t)]
    for _ in range(3):
        around.insert(0, np.nextafter(around[0], np.float32(-np.inf)))
        around.append(np.nextafter(around[-1], np.float32(np.inf)))
    return np.array([*around, -1e30, -1, 0, 1, 1e30], np.float32)


@given(
    st.lists(thresholds, min_size=1, max_size=4),
    st.sampled_from([">=", ">", "<", "<="]),
    levels,
    levels,
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_a_comparison_is_found_to_the_last_bit(
    t: list[float], comparison: str, low: float, high: float, known: bool
) -> None:
    """Whether or not the constants of the graph give the threshold away."""
    assume(abs(high - low) > 1e-3 * max(abs(high), abs(low)))
    function = spelled(comparison, t, low, high)
    step = found(function, len(t), t if known else [])
    assert step.at_threshold == 1
    for channel, threshold in enumerate(t):
        x = np.repeat(neighbours(threshold)[:, None], len(t), axis=1)
        np.testing.assert_allclose(
            recomputed(step, x)[:, channel], function(x)[:, channel], rtol=1e-5, atol=1e-5 * abs(high - low)
        )
    expected = [
        np.nextafter(np.float32(v), np.float32(np.inf)) if comparison in (">", "<=") else v for v in t
    ]
    np.testing.assert_array_equal(step.threshold, np.array(expected, np.float32))
    rises = (high > low) == (comparison in (">=", ">"))
    np.testing.assert_array_equal(step.direction, np.full(len(t), 1 if rises else -1, np.float32))
    assert step.half == pytest.approx(abs(high - low) / 2, rel=1e-5)
    assert step.middle == pytest.approx((high + low) / 2, abs=1e-5 * abs(high - low))


@given(thresholds, st.floats(2.0**-6, 100, width=32), st.booleans())
@settings(max_examples=100, deadline=None)
def test_torch_sign_has_a_third_value_at_one_number(t: float, alpha: float, falling: bool) -> None:
    def function(x: Floats) -> Floats:
        sign = np.sign(x.astype(np.float64) - np.float64(np.float32(t))) * np.float64(alpha)
        return (-sign if falling else sign).astype(np.float32)

    step = found(function, constants=[t])
    assert step.at_threshold == 0
    assert step.threshold == np.float32(t)
    assert step.direction == (-1 if falling else 1)
    x = neighbours(t)[:, None]
    np.testing.assert_allclose(recomputed(step, x), function(x), rtol=1e-5)


SPELLINGS: dict[str, tuple[Function, float, float, float]] = {
    "x >= 0 as {0, 1}": (lambda x: (x >= 0).astype(np.float32), 0.0, 0.5, 0.5),
    "2·(x > 0) − 1": (lambda x: 2 * (x > 0).astype(np.float32) - 1, float(np.float32(1e-45)), 1.0, 0.0),
    "sign(clip(x, −1, 1))": (lambda x: np.where(np.clip(x, -1, 1) >= 0, 1, -1).astype("f"), 0.0, 1.0, 0.0),
    "sign(tanh(x − 0.5))": (lambda x: np.where(np.tanh(x - 0.5) >= 0, 1, -1).astype("f"), 0.5, 1.0, 0.0),
    "round(sigmoid)": (lambda x: (x > np.float32(0.25)).astype("f"), float(np.nextafter(np.float32(0.25), np.float32(1))), 0.5, 0.5),  # noqa: E501
    "straight-through residue": (lambda x: _residue(x), 0.0, 1.0, 0.0),
    "sign twice": (lambda x: np.where(np.where(x >= 1, 1, -1) >= 0, 2, -2).astype("f"), 1.0, 2.0, 0.0),
}  # fmt: skip


def _residue(x: Floats) -> Floats:
    sign, clipped = np.where(x >= 0, np.float32(1), np.float32(-1)), np.clip(x, np.float32(-1), np.float32(1))
    return (sign - clipped) + clipped


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name: str) -> None:
    function, threshold, half, middle = SPELLINGS[name]
    step = found(function)
    assert step.threshold[0] == np.float32(threshold)
    assert (step.direction[0], step.at_threshold) == (1, 1)
    assert (step.half, step.middle) == (pytest.approx(half), pytest.approx(middle))


@given(st.floats(-50, 50, width=32), st.floats(0.5, 50, width=32), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_pulse_is_refused(start: float, width: float, known: bool) -> None:
    """The same value at both ends and another between."""
    end = np.float32(start + width)
    result = refused(
        lambda x: np.where((x >= start) & (x < end), 1, -1).astype(np.float32),
        constants=[start, float(end)] if known else [],
    )
    assert "same value" in result.reason or "constant" in result.reason


@given(thresholds)
@settings(max_examples=50, deadline=None)
def test_a_pulse_of_one_number_is_refused_when_the_graph_names_the_number(t: float) -> None:
    refused(lambda x: np.where(x == np.float32(t), 1, -1).astype(np.float32), constants=[t])


@given(st.floats(-50, 50, width=32), st.floats(0.5, 50, width=32), st.floats(-0.875, 0.875, width=32))
@settings(max_examples=50, deadline=None)
def test_three_values_are_refused(t: float, width: float, middle: float) -> None:
    end = np.float32(t + width)
    result = refused(
        lambda x: np.where(x < np.float32(t), -1, np.where(x >= end, 1, middle)).astype(np.float32)
    )
    assert result.few_valued
    assert "three-valued" in result.reason


@given(thresholds, st.floats(-0.875, 0.875, width=32).filter(lambda v: abs(v) > 0.01))
@settings(max_examples=50, deadline=None)
def test_a_third_value_at_the_threshold_that_is_not_the_middle_is_refused(t: float, at: float) -> None:
    def function(x: Floats) -> Floats:
        return np.where(x == np.float32(t), at, np.where(x < np.float32(t), -1, 1)).astype(np.float32)

    assert refused(function, constants=[t]).reason == "the activation takes a third value at its threshold"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        pytest.param(lambda x: x, "many", id="identity"),
        pytest.param(np.tanh, "many", id="tanh"),
        pytest.param(lambda x: np.clip(x, -1, 1), "many", id="hard tanh"),
        pytest.param(lambda x: np.maximum(x, 0), "many", id="relu"),
        pytest.param(lambda x: np.where(x > 0, 1, np.tanh(x)), "many", id="half a sign"),
        pytest.param(lambda x: np.round(np.clip(x, -1, 1)), "three-valued", id="rounded: ternary"),
        pytest.param(lambda x: np.round(np.clip(x, 0, 1) * 3) / 3, "4 values", id="two bits"),
        pytest.param(np.zeros_like, "constant", id="constant"),
        pytest.param(np.cos, "", id="a wave"),
        pytest.param(np.abs, "", id="even"),
        pytest.param(lambda x: np.where(x > 1e9, np.nan, np.sign(x)), "finite", id="not a number far out"),
        pytest.param(lambda x: np.where(x < 0, -np.inf, 1), "finite", id="infinite"),
        pytest.param(lambda x: np.where(np.sin(4 * x) > 0, 1, -1), "", id="a square wave"),
        pytest.param(
            lambda x: np.where((x >= 0) ^ ((x > 2) & (x < 3)), 1, -1), "changes more than once", id="a notch"
        ),
    ],
)
def test_what_is_no_step(function: Function, reason: str) -> None:
    assert reason in refused(lambda x: function(x).astype(np.float32)).reason


def test_channels_with_different_values_are_refused() -> None:
    scale = np.array([1, 2], np.float32)
    result = refused(lambda x: (np.where(x >= 0, 1, -1) * scale).astype(np.float32), channels=2)
    assert result.reason == "the activation's two values differ from channel to channel"
    assert result.few_valued


def test_channels_with_shifted_values_are_refused() -> None:
    shift = np.array([0, 0.5], np.float32)
    assert "differ" in refused(lambda x: (np.where(x >= 0, 1, -1) + shift).astype("f"), channels=2).reason


def test_channels_that_disagree_about_equality_are_refused() -> None:
    at = np.array([0, 1], np.float32)
    result = refused(lambda x: np.where(x == 0, at, np.sign(x)).astype(np.float32), channels=2)
    assert "equality" in result.reason


def test_a_channel_may_turn_the_other_way() -> None:
    signs = np.array([1, -1, 1], np.float32)
    step = found(lambda x: (np.where(x * signs >= 0, 1, -1)).astype(np.float32), channels=3)
    np.testing.assert_array_equal(step.direction, signs)
    just_above = np.nextafter(np.float32(0), np.float32(1))
    np.testing.assert_array_equal(step.threshold, [0, just_above, 0])


@pytest.mark.parametrize(("value", "threshold"), [(1.0, -np.inf), (-1.0, np.inf)])
def test_a_channel_may_never_turn(value: float, threshold: float) -> None:
    """Its shift is out of the reach of a clip: one of the two values for every input."""
    step = found(
        lambda x: np.stack([np.where(x[:, 0] >= 0.5, 1, -1), np.full(len(x), value)], 1).astype(np.float32),
        channels=2,
    )
    np.testing.assert_array_equal(step.threshold, np.array([0.5, threshold], np.float32))
    np.testing.assert_array_equal(step.direction, [1, 1])


def test_a_channel_may_not_stay_at_a_third_value() -> None:
    result = refused(
        lambda x: np.stack([np.where(x[:, 0] >= 0.5, 1, -1), np.zeros(len(x))], 1).astype(np.float32),
        channels=2,
    )
    assert "constant in some channels" in result.reason


@given(st.floats(1e-8, 9e-7), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_rounding_of_the_two_values_is_no_third_value(spread: float, seed: int) -> None:
    """As α·sign(x) computed in another order for every element gives it."""
    noise = np.random.default_rng(seed)

    def function(x: Floats) -> Floats:
        return (np.where(x >= 0.125, 0.7, -0.7) * (1 + spread * noise.uniform(-1, 1, x.shape))).astype("f")

    step = found(function)
    assert step.threshold[0] == np.float32(0.125)
    assert step.half == pytest.approx(0.7, rel=2e-6)
