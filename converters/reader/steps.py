"""Is this function of a real number a two-valued step? Decided by evaluation, however it was spelled.

The function is sampled on a grid of float32 (the constants it contains with their neighbours, magnitudes from
1e-30 to 1e30, random values); where it changes its value, bisection over the ordered float32 finds the exact
threshold, so the result is right to the last bit and needs no knowledge of operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
#: ``(G, C) → (G, C)``: one column per channel.
Function = Callable[[Floats], Floats]

#: Two outputs closer than this (relative to the step) are one value: rounding of α·sign and residues.
VALUE_TOLERANCE = 1e-5
_LARGEST = np.float32(1e30)
_NEARBY = np.float32(4)


@dataclass(frozen=True)
class StepFunction:
    """``f(x) = middle + half · s``, ``s = direction · (+1 if x >= threshold else −1)``, half > 0.

    Attributes:
        threshold, direction: float32 (C,). A channel that is constant has threshold ±inf.
        half, middle: half the distance of the two values and their mean; the same for all channels.
        at_threshold: 1, or 0 where f(threshold) is the middle (torch.sign).
    """

    threshold: Floats
    direction: Floats
    half: float
    middle: float
    at_threshold: float


@dataclass(frozen=True)
class NotAStep:
    """Why a function is no two-valued step.

    Attributes:
        reason: in words.
        few_valued: it has a few values, so it was probably meant to be quantized.
    """

    reason: str
    few_valued: bool = False


def characterise(
    function: Function, channels: int, constants: Iterable[float] = ()
) -> StepFunction | NotAStep:
    """Find threshold, direction and values of a step, per channel, or say why it is none."""
    grid = _grid(constants)
    values = _evaluate(function, np.broadcast_to(grid[:, None], (len(grid), channels)))
    if not np.isfinite(values).all():
        return NotAStep("the activation is not a finite number for some inputs")
    low, high = values[0], values[-1]
    span = float(np.max(np.abs(high.astype(np.float64) - low)))
    if span == 0:
        return NotAStep("the activation is constant or returns to its first value", few_valued=False)
    tolerance = VALUE_TOLERANCE * max(span, float(np.abs(values[[0, -1]]).max()))
    is_low = np.abs(values - low) <= tolerance
    is_high = np.abs(values - high) <= tolerance
    constant = np.abs(high - low) <= tolerance
    if constant.all():
        return NotAStep("the activation is constant or returns to its first value")
    if not (is_low | is_high)[:, constant].all():
        return NotAStep("the activation takes the same value at both ends but others between")
    others = ~(is_low | is_high)
    levels = max(_levels(values, tolerance), _levels_nearby(grid, values))
    if others.any() and levels > 3:
        return NotAStep(
            f"the activation takes {levels if levels < 50 else 'many'} values, not two",
            few_valued=levels < 50,
        )
    # Along the grid every channel must read low … low [middle] high … high.
    if (np.diff(is_high.astype(np.int8), axis=0)[:, ~constant] < 0).any() or (
        np.diff(is_low.astype(np.int8), axis=0)[:, ~constant] > 0
    ).any():
        return NotAStep("the activation is two-valued but changes more than once", few_valued=True)
    return _locate(function, grid, values, constant, tolerance)


def _locate(
    function: Function, grid: Floats, values: Floats, constant: npt.NDArray[np.bool_], tolerance: float
) -> StepFunction | NotAStep:
    low, high = values[0], values[-1]
    live = np.flatnonzero(~constant)
    last_low = _bisect(function, grid, np.abs(values - low) <= tolerance, low, tolerance)
    first_high = _bisect_up(function, grid, np.abs(values - high) <= tolerance, high, tolerance)
    gap = _rank(first_high) - _rank(last_low)
    gap = gap[live]
    if (gap > 2).any():
        channel = int(live[np.argmax(gap)])
        return NotAStep(
            "the activation is three-valued (ternary): a middle value between "
            f"{float(last_low[channel]):.6g} and {float(first_high[channel]):.6g}",
            few_valued=True,
        )
    difference = (high.astype(np.float64) - low)[live]
    half, middle = np.abs(difference) / 2, (high.astype(np.float64) + low)[live] / 2
    if np.ptp(half) > tolerance or np.ptp(middle) > tolerance:
        return NotAStep("the activation's two values differ from channel to channel", few_valued=True)
    at = 1.0
    threshold = first_high.copy()
    if (gap == 2).any():
        if not (gap == 2).all():
            return NotAStep(
                "the activation treats equality differently from channel to channel", few_valued=True
            )
        threshold = _unrank(_rank(last_low) + 1)
        equal = _evaluate(function, threshold[None, :])[0][live]
        if (np.abs(equal - middle) > tolerance).any():
            return NotAStep("the activation takes a third value at its threshold", few_valued=True)
        at = 0.0
    direction = np.where(high >= low, 1.0, -1.0).astype(np.float32)
    centre, step = float(np.median(middle)), float(np.median(half))
    # A channel whose shift puts the threshold out of reach (behind a clip) is constant: ±1 for every input.
    upper = low > centre
    threshold = np.where(constant, np.where(upper, -np.inf, np.inf), threshold).astype(np.float32)
    direction = np.where(constant, 1.0, direction).astype(np.float32)
    settled = np.abs(np.abs(low[constant] - centre) - step) <= tolerance
    if not settled.all():
        return NotAStep("the activation is constant in some channels, with another value", few_valued=True)
    return StepFunction(threshold, direction, step, centre, at)


def _levels(values: npt.NDArray[np.floating[Any]], tolerance: float) -> int:
    ordered = np.sort(values, axis=None)
    return 1 + int(np.sum(np.diff(ordered) > tolerance))


def _levels_nearby(grid: Floats, values: Floats) -> int:
    """Beside its values at 1e30 an unbounded activation seems to take few: count where networks live."""
    near = values[np.abs(grid) <= _NEARBY].astype(np.float64)
    return _levels(near, VALUE_TOLERANCE * float(np.ptp(near)))


def _evaluate(function: Function, x: Floats) -> Floats:
    return np.asarray(function(np.ascontiguousarray(x, dtype=np.float32)), np.float32)


def _grid(constants: Iterable[float]) -> Floats:
    generator = np.random.default_rng(20230501)
    logs = np.logspace(-30, 30, 121, dtype=np.float64)
    fine = np.linspace(-4, 4, 641)
    scattered = np.concatenate([generator.standard_normal(200) * scale for scale in (0.01, 1, 100)])
    special = np.asarray(sorted({float(c) for c in constants if np.isfinite(c)})[:512], np.float64)
    special = np.concatenate([special, -special])
    points = np.concatenate([logs, -logs, fine, scattered, special, [0.0]]).astype(np.float32)
    points = points[np.abs(points) <= _LARGEST]
    near = special.astype(np.float32)
    near = near[np.abs(near) <= _LARGEST]
    around = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)]
    grid: Floats = np.unique(np.concatenate([points, *around]) + np.float32(0))
    return grid


def _bisect(
    function: Function, grid: Floats, matches: npt.NDArray[np.bool_], target: Floats, tol: float
) -> Floats:
    """Per channel the largest float32 with the function's low value (matches: True … False)."""
    index = matches.shape[0] - 1 - np.argmax(matches[::-1], axis=0)
    below = _rank(grid[index])
    above = _rank(grid[np.minimum(index + 1, len(grid) - 1)])
    while (above - below > 1).any():
        middle = (below + above) // 2
        same = np.abs(_evaluate(function, _unrank(middle)[None, :])[0] - target) <= tol
        below, above = np.where(same, middle, below), np.where(same, above, middle)
    return _unrank(below)


def _bisect_up(
    function: Function, grid: Floats, matches: npt.NDArray[np.bool_], target: Floats, tol: float
) -> Floats:
    """Per channel the smallest float32 at which the function has its high value (matches is False … True)."""
    index = np.argmax(matches, axis=0)
    above = _rank(grid[index])
    below = _rank(grid[np.maximum(index - 1, 0)])
    while (above - below > 1).any():
        middle = (below + above) // 2
        same = np.abs(_evaluate(function, _unrank(middle)[None, :])[0] - target) <= tol
        above, below = np.where(same, middle, above), np.where(same, below, middle)
    return _unrank(above)


def _rank(x: Floats) -> npt.NDArray[np.int64]:
    """Position among all float32 in increasing order; 0 for ±0."""
    bits = np.ascontiguousarray(x, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))


def _unrank(rank: npt.NDArray[np.int64]) -> Floats:
    bits = np.where(rank >= 0, rank, (-rank) | 0x80000000)
    return bits.astype(np.uint32).view(np.float32)
