"""Are these weights binary? Decided by value: each output channel holds one magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Largest relative spread of the magnitudes of one output channel that is still rounding. Weights that public
#: training code computes (mean|w|·sign(w) by matrix products, logarithms, divisions) spread by up to 4e-7.
MAGNITUDE_SPREAD = 1e-5
#: Up to this many distinct magnitudes in every channel, weights are called quantized rather than real-valued.
FEW_LEVELS = 16


@dataclass(frozen=True)
class BinaryWeights:
    """Weights of one layer as signs and a magnitude per output channel.

    Attributes:
        signs: int8 ±1, the weights' shape (O, ...).
        magnitude: float32 (O,), ≥ 0. A channel of zeros has magnitude 0 and signs +1.
        trivial: each output channel holds a single number, so that any weights would look binary.
    """

    signs: npt.NDArray[np.int8]
    magnitude: npt.NDArray[np.float32]
    trivial: bool


@dataclass(frozen=True)
class RealWeights:
    """Weights that are not binary.

    Attributes:
        reason: why not, in words.
        suspicious: they look as if they were meant to be of few bits.
    """

    reason: str
    suspicious: bool


def classify(weights: npt.NDArray[np.generic]) -> BinaryWeights | RealWeights:
    """Signs and magnitudes of a weight tensor (O, ...), or why it has none."""
    flat = weights.reshape(weights.shape[0], -1).astype(np.float64)
    if not np.isfinite(flat).all():
        return RealWeights("some of its weights are not finite numbers", suspicious=True)
    absolute = np.abs(flat)
    largest = absolute.max(axis=1)
    two_valued = np.all(largest[:, None] - absolute <= MAGNITUDE_SPREAD * largest[:, None], axis=1)
    if two_valued.all():
        magnitude = np.where(largest > 0, np.median(absolute, axis=1), 0.0)
        signs = np.where(flat < 0, -1, 1).astype(np.int8).reshape(weights.shape)
        return BinaryWeights(signs, magnitude.astype(np.float32), flat.shape[1] == 1)
    return _why(absolute, two_valued)


def _why(absolute: npt.NDArray[np.float64], two_valued: npt.NDArray[np.bool_]) -> RealWeights:
    bad = np.flatnonzero(~two_valued)
    first = int(bad[0])
    zeros = absolute == 0
    largest = np.where(zeros, -np.inf, absolute).max(axis=1)[:, None]
    without_zeros = np.all(zeros | (largest - absolute <= MAGNITUDE_SPREAD * largest), axis=1)
    if without_zeros.all():
        return RealWeights(
            f"weights are three-valued (ternary): {int(zeros[bad].sum())} exact zeros among ±s, "
            f"the first in output channel {first}",
            suspicious=True,
        )
    levels = max(_levels(absolute[channel]) for channel in bad[:8])
    if levels <= FEW_LEVELS < absolute.shape[1]:
        return RealWeights(
            f"weights have {levels} magnitudes in an output channel: more than one bit (first in channel {first})",
            suspicious=True,
        )
    if two_valued.sum() * 2 > len(two_valued) and absolute.shape[1] > 1:
        return RealWeights(
            f"weights are not two-valued in {len(bad)} of {len(two_valued)} output channels (first: {first})",
            suspicious=True,
        )
    return RealWeights("weights are real-valued", suspicious=False)


def _levels(absolute: npt.NDArray[np.float64]) -> int:
    ordered = np.sort(absolute)
    return 1 + int(np.sum(np.diff(ordered) > MAGNITUDE_SPREAD * max(float(ordered[-1]), 1e-30)))
