"""The eight operators in plain numpy, written from the papers' formulas and from nothing in the zoo."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def sign(x: Array, at_zero: int) -> Array:
    """-1, +1, and ``at_zero`` at 0."""
    return np.where(x > 0, 1.0, np.where(x < 0, -1.0, float(at_zero)))


def convolve(a: Array, w: Array, stride: int, groups: int = 1) -> Array:
    """Valid cross-correlation, (N, C, *S) with (O, C / groups, *K), tap by tap."""
    kernel = w.shape[2:]
    sizes = [(size - taps) // stride + 1 for size, taps in zip(a.shape[2:], kernel, strict=True)]
    y = np.zeros((a.shape[0], w.shape[0], *sizes))
    inputs, outputs = a.shape[1] // groups, w.shape[0] // groups
    for tap in itertools.product(*map(range, kernel)):
        window = tuple(
            slice(first, first + stride * (size - 1) + 1, stride)
            for first, size in zip(tap, sizes, strict=True)
        )
        for g in range(groups):
            part = a[(slice(None), slice(g * inputs, (g + 1) * inputs), *window)]
            taps = w[(slice(g * outputs, (g + 1) * outputs), slice(None), *tap)]
            y[:, g * outputs : (g + 1) * outputs] += np.einsum("nc...,oc->no...", part, taps)
    return y


def pad(a: Array, width: int, value: float) -> Array:
    """Surround every spatial axis."""
    spatial = a.ndim - 2
    return np.pad(a, ((0, 0), (0, 0), *((width, width),) * spatial), constant_values=value)


def channel(values: Array, rank: int) -> Array:
    """(O,) broadcast over (N, O, *spatial)."""
    return values.reshape(1, -1, *(1,) * rank)


def binary_layer(
    algorithm: str,
    x: Array,
    w: Array,
    learned: dict[str, Array],
    *,
    stride: int,
    padding: int,
    at_zero: int,
    pad_value: int,
    xnor_k: str = "location",
) -> Array:
    """y of the paper's forward formula. A linear layer is a convolution of rank 0.

    ``learned`` holds ``shift`` (ReActNet), ``alpha`` (ReCU), ``gamma`` (XNOR++), each ready to broadcast.
    """
    rank = w.ndim - 2
    binary = sign(x - learned["shift"] if algorithm == "reactnet" else x, at_zero)
    weights = w
    if algorithm == "recu":
        weights = w - w.mean(axis=tuple(range(1, w.ndim)), keepdims=True)
    y = convolve(pad(binary, padding, pad_value), sign(weights, at_zero), stride)
    mean = np.abs(w).mean(axis=tuple(range(1, w.ndim)))
    if algorithm in ("dorefa", "bireal", "reactnet", "fda", "xnor"):
        y = y * channel(mean, rank)
    if algorithm == "recu":
        y = y * learned["alpha"]
    if algorithm == "xnorpp":
        y = y * learned["gamma"]
    if algorithm == "xnor":
        magnitude = np.abs(x)
        if xnor_k == "sample" or rank == 0:
            y = y * magnitude.mean(axis=tuple(range(1, x.ndim)), keepdims=True)
        else:
            box = np.full((1, 1, *w.shape[2:]), 1 / np.prod(w.shape[2:]))
            y = y * convolve(pad(magnitude.mean(axis=1, keepdims=True), padding, 0), box, stride)
    return y
