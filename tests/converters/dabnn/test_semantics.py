"""The model of the runtime: each layer against the plainest code for what was measured on the library."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.converters.dabnn.dab import Kind, Layer, Model, Tensor, write
from bibench_deploy.converters.dabnn.packing import pack
from bibench_deploy.converters.dabnn.semantics import Net

F = np.float32
Floats = npt.NDArray[np.float32]


def run(
    shape: tuple[int, int, int], layers: list[Layer], tensors: list[Tensor], x: Floats
) -> dict[str, Floats]:
    return Net(write(Model("x", shape, layers, {tensor.name: tensor for tensor in tensors}))).run(x)


def mismatches(x: Floats, signs: Floats, stride: int, pad: int) -> Floats:
    """Count by count: bits are x > 0, the border's are 0."""
    filters, kh, kw, _ = signs.shape
    bits = np.pad(x > 0, ((pad, pad), (pad, pad), (0, 0)))
    size = [(axis - kernel) // stride + 1 for axis, kernel in zip(bits.shape, (kh, kw), strict=False)]
    result = np.zeros((*size, filters), F)
    for i, j, o in np.ndindex(*result.shape):
        patch = bits[i * stride : i * stride + kh, j * stride : j * stride + kw]
        result[i, j, o] = (patch != (signs[o] > 0)).sum()
    return result


@settings(max_examples=30, deadline=None)
@given(
    channels=st.sampled_from([1, 3, 32, 64, 96, 128]),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.sampled_from([1, 2]),
    pad=st.integers(0, 1),
    size=st.sampled_from([4, 6]),
    seed=st.integers(0, 2**32),
)
def test_a_binary_convolution_counts_mismatches(
    channels: int, kernel: int, stride: int, pad: int, size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    filters = 128 if channels == 128 and kernel == 3 else 6
    signs = rng.choice([-1.0, 1.0], size=(filters, kernel, kernel, channels)).astype(F)
    # Zeros of either sign, the smallest numbers and NaN are where the library's own convention shows.
    special = np.array([0.0, -0.0, 1e-45, -1e-45, np.nan, 1.0, -1.0], F)
    x = rng.choice(special, size=(size, size, channels)).astype(F)
    if channels == 64 and kernel == 3 and ((size + 2 * pad - kernel) // stride + 1) % 2:
        return  # the library's kernel for 64 channels refuses an odd number of outputs
    layer = Layer(Kind.BIN_CONV, ("x",), "y", ("w",), stride=stride, pad=pad)
    got = run((size, size, channels), [layer], [Tensor("w", signs.shape, pack(signs))], x)["y"]
    assert np.array_equal(got, mismatches(x, signs, stride, pad))


def test_layers_that_write_over_their_input() -> None:
    """Every name of a blob sees the last thing that was written to it."""
    x = np.arange(-8, 8, dtype=F).reshape(2, 2, 4)
    ones = Tensor("k", (4,), np.ones(4, F))
    minus = Tensor("m", (4,), -np.ones(4, F))
    layers = [
        Layer(Kind.MAX_POOL, ("x",), "a", kernel=1),
        Layer(Kind.MAX_POOL, ("a",), "kept", kernel=1),
        Layer(Kind.AFFINE, ("a",), "b", ("m", "k")),
        Layer(Kind.ADD, ("b", "kept"), "c"),
        Layer(Kind.RELU, ("kept",), "d"),
    ]
    memory = run((2, 2, 4), layers, [ones, minus], x)
    assert np.array_equal(memory["c"], np.ones_like(x))  # −x + 1 + x
    assert memory["a"] is memory["b"] is memory["c"]
    assert memory["kept"] is memory["d"]
    assert np.array_equal(memory["kept"], np.maximum(x, 0))
    assert np.array_equal(memory["x"], x)


def test_an_affine_is_rounded_once() -> None:
    x = np.full((1, 1, 4), F(1 + 2**-12))
    a, b = Tensor("a", (4,), np.full(4, F(1 + 2**-12))), Tensor("b", (4,), np.full(4, F(-1)))
    layers = [Layer(Kind.MAX_POOL, ("x",), "c", kernel=1), Layer(Kind.AFFINE, ("c",), "y", ("a", "b"))]
    got = run((1, 1, 4), layers, [a, b], x)["y"]
    assert (got == F((1 + 2**-12) ** 2 - 1)).all()
    assert (got != F(F((1 + 2**-12) ** 2) - F(1))).all()


@pytest.mark.parametrize(("stride", "corner"), [(1, 1.0), (2, 0.25)], ids=["taps inside", "padding counted"])
def test_a_2x2_average_at_stride_2_counts_its_padding(stride: int, corner: float) -> None:
    layer = Layer(Kind.AVE_POOL, ("x",), "y", kernel=2, stride=stride, pad=1)
    assert run((4, 4, 4), [layer], [], np.ones((4, 4, 4), F))["y"][0, 0, 0] == corner


def test_a_maximum_never_is_the_padding() -> None:
    layer = Layer(Kind.MAX_POOL, ("x",), "y", kernel=3, stride=2, pad=1)
    assert (run((4, 4, 4), [layer], [], np.full((4, 4, 4), F(-1e30)))["y"] == F(-1e30)).all()


def test_a_float_convolution_pads_zeros() -> None:
    rng = np.random.default_rng(3)
    x, w = rng.integers(-3, 4, (5, 5, 2)).astype(F), rng.integers(-2, 3, (4, 3, 3, 2)).astype(F)
    layer = Layer(Kind.FP_CONV, ("x",), "y", ("w", "b"), stride=2, pad=1)
    bias = Tensor("b", (4,), np.arange(4, dtype=F))
    got = run((5, 5, 2), [layer], [Tensor("w", w.shape, w), bias], x)["y"]
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    for i, j, o in np.ndindex(3, 3, 4):
        patch = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        assert got[i, j, o] == (patch * w[o]).sum() + o
