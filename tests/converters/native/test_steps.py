"""The pure questions that an epilogue asks about constants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.converters.native.steps import ROUNDING, Doubles, outer_product, shrunk

SIZES = st.integers(1, 9)


def product(seed: int, h: int, w: int, c: int) -> Doubles:
    """XNOR++'s factors and a batch-norm's, rounded as the float32 model rounds; some are 0, some negative."""
    rng = np.random.default_rng(seed)
    channel, height, width, scale = (rng.normal(0, 1, n).astype(np.float32) for n in (c, h, w, c))
    channel[rng.random(c) < 0.2] = 0
    rows = height[:, None] * width[None, :]
    whole = (rows[None, :, :, None] * channel) * scale
    return whole.astype(np.float64)


@given(st.integers(0, 2**32 - 1), SIZES, SIZES, SIZES)
def test_an_outer_product_is_found_and_reproduces_the_constant(seed: int, h: int, w: int, c: int) -> None:
    array = product(seed, h, w, c)
    found = outer_product(array)
    if not array.any():
        assert found is None
        return
    assert found is not None
    channel, plane = found
    assert channel.shape == (1, 1, 1, c)
    assert plane.shape == (1, h, w, 1)
    for each in found:  # what is stored is float32: nothing is lost by that
        np.testing.assert_array_equal(each.astype(np.float32), each)
    assert (np.abs(channel * plane - array) <= ROUNDING * np.abs(array)).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(2, 9), st.sampled_from([1e-6, 1e-3, 1.0]))
def test_one_number_that_does_not_fit_leaves_a_constant_whole(
    seed: int, h: int, c: int, change: float
) -> None:
    rng = np.random.default_rng(seed)
    array = np.outer(rng.uniform(1, 2, h * 3), rng.uniform(1, 2, c)).reshape(1, h, 3, c)
    assert outer_product(array) is not None
    array[0, rng.integers(h), rng.integers(3), rng.integers(c)] *= 1 + change
    assert outer_product(array) is None


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_infinite_factors_are_left_whole(bad: float) -> None:
    array = np.ones((1, 2, 3, 4))
    array[0, 1, 1, 1] = bad
    assert outer_product(array) is None


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.ones((1, 4, 5, 6)), (1, 1, 1, 1)),
        (np.broadcast_to(np.arange(6.0), (1, 4, 5, 6)), (1, 1, 1, 6)),
        (np.broadcast_to(np.arange(5.0)[:, None], (1, 4, 5, 6)), (1, 1, 5, 1)),
        (np.arange(120.0).reshape(1, 4, 5, 6), (1, 4, 5, 6)),
    ],
)
def test_axes_without_variation_shrink(array: Doubles, shape: tuple[int, ...]) -> None:
    small = shrunk(array)
    assert small.shape == shape
    np.testing.assert_array_equal(np.broadcast_to(small, array.shape), array)
