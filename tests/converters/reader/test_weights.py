"""Weights are binary by their values: one magnitude an output channel, up to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.converters.reader.weights import BinaryWeights, RealWeights, classify

RNG = np.random.default_rng(2)


def signs(*shape: int) -> Any:
    return RNG.choice([-1.0, 1.0], shape)


def real(*shape: int) -> Any:
    return RNG.standard_normal(shape)


def changed(array: Any, index: tuple[int, ...], value: float) -> Any:
    array = array.copy()
    array[index] = value
    return array


@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.floats(0, 4e-7),
    st.floats(1e-20, 1e20),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_signs_and_magnitudes_are_found_through_rounding(
    shape: list[int], spread: float, size: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    expected = rng.choice([-1, 1], shape)
    magnitude = rng.uniform(0.1, 1, (shape[0],) + (1,) * (len(shape) - 1)) * size
    weights = (expected * magnitude * (1 + spread * rng.uniform(-1, 1, shape))).astype(np.float32)
    result = classify(weights)
    assert isinstance(result, BinaryWeights)
    np.testing.assert_array_equal(result.signs, expected)
    assert result.signs.dtype == np.int8
    np.testing.assert_allclose(result.magnitude, magnitude.ravel(), rtol=1e-6)
    assert result.trivial == (int(np.prod(shape[1:])) == 1)


@pytest.mark.parametrize(
    ("weights", "magnitude", "trivial"),
    [
        pytest.param(signs(4, 3, 3, 3), [1, 1, 1, 1], False, id="±1"),
        pytest.param(np.ones((3, 8)), [1, 1, 1], False, id="all +1"),
        pytest.param(-np.ones((3, 8)), [1, 1, 1], False, id="all −1"),
        pytest.param(np.zeros((2, 8)), [0, 0], False, id="all zero"),
        pytest.param(
            signs(3, 8) * np.array([[0.5], [0.0], [2.0]]), [0.5, 0, 2], False, id="one channel of zeros"
        ),
        pytest.param(real(5, 1), None, True, id="one number a channel"),
        pytest.param(real(5, 1, 1, 1), None, True, id="one number a channel, depthwise 1×1"),
        pytest.param(signs(3, 2, 3).astype(np.int8), [1, 1, 1], False, id="int8"),
    ],
)
def test_binary(weights: Any, magnitude: list[float] | None, trivial: bool) -> None:
    result = classify(weights)
    assert isinstance(result, BinaryWeights)
    assert result.trivial is trivial
    expected = np.abs(weights.ravel()) if magnitude is None else magnitude
    np.testing.assert_allclose(result.magnitude, expected, rtol=1e-6)
    np.testing.assert_array_equal(result.signs, np.where(weights < 0, -1, 1))


@pytest.mark.parametrize(
    ("weights", "reason", "suspicious"),
    [
        pytest.param(real(8, 4, 3, 3), "real-valued", False, id="real"),
        pytest.param(signs(8, 36) * (1 + 1e-4 * RNG.random((8, 36))), "", True, id="spread of 1e-4"),
        pytest.param(
            changed(signs(4, 36), (2, 7), 0),
            "1 exact zeros among ±s, the first in output channel 2",
            True,
            id="one zero",
        ),
        pytest.param(RNG.choice([-1.0, 0.0, 1.0], (4, 36)), "ternary", True, id="ternary"),
        pytest.param(RNG.choice([-0.3, 0.0, 0.3], (4, 36)), "ternary", True, id="scaled ternary"),
        pytest.param(RNG.choice([0.0, 1.0], (4, 36)), "ternary", True, id="{0, 1}"),
        pytest.param(RNG.choice([-3.0, -1.0, 1.0, 3.0], (4, 36)), "2 magnitudes", True, id="two bits"),
        pytest.param(
            np.arange(-8, 8)[RNG.integers(0, 16, (4, 90))] / 8, "more than one bit", True, id="four bits"
        ),
        pytest.param(
            np.concatenate([signs(5, 36), real(1, 36)]),
            "not two-valued in 1 of 6",
            True,
            id="one real channel",
        ),
        pytest.param(
            np.concatenate([signs(1, 36), real(5, 36)]), "real-valued", False, id="one binary channel"
        ),
        pytest.param(changed(signs(4, 36), (3, 0), np.nan), "finite", True, id="not a number"),
        pytest.param(changed(real(4, 36), (3, 0), np.inf), "finite", True, id="infinite"),
    ],
)
def test_not_binary(weights: Any, reason: str, suspicious: bool) -> None:
    result = classify(np.asarray(weights, np.float32))
    assert isinstance(result, RealWeights)
    assert reason in result.reason
    assert result.suspicious is suspicious


@pytest.mark.parametrize(
    ("spread", "binary"), [(0, True), (4e-7, True), (5e-6, True), (2e-5, False), (1e-4, False)]
)
def test_how_much_is_rounding(spread: float, binary: bool) -> None:
    weights = changed(0.25 * signs(2, 16), (1, 3), 0.25 * (1 - spread))
    assert isinstance(classify(weights), BinaryWeights) is binary


def test_one_weight_of_another_size_can_not_hide_in_a_channel_of_many() -> None:
    weights = changed(signs(2, 4608), (1, 4000), 1.001)
    assert isinstance(classify(weights), RealWeights)
