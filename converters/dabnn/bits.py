"""Bringing a blob into the state in which its bits (x > 0) are the signs that a binary layer wants.

A step ``direction·(+1 if x >= t else −1)`` becomes ``reach·bit``, bit and reach ±1: the reach goes into the
weights' signs. On the negated blob −(x − t) the bit is exactly the complement of x >= t, equality included; on
the upright blob equality falls on the wrong side, and where it is no mere coincidence the threshold moves to
the next lower float.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .coincidence import meets_by_chance
from .holding import Blob, Dot, Doubles, Held, Signs
from .lowering import Lowering, is_read_by_steps_alone
from .sizes import is_in_range, is_near
from .wishes import orientation

#: A border next to 0: subtracting it changes 0 alone.
_TINY = float(np.finfo(np.float32).smallest_normal)


@dataclass(frozen=True)
class Bits:
    """A blob whose bits are signs.

    Attributes:
        reach: (C,) of ±1: ``sign = reach·(+1 if blob > 0 else −1)``.
        how: what had to be done, for the manifest.
    """

    blob: Blob
    reach: Doubles
    how: tuple[str, ...] = ()


def bits_of(low: Lowering, value: ir.Value, pad: float | None) -> Bits:
    """The blob whose bits are a value that is ±1; an Affine runs where it is not in that state yet.

    Args:
        pad: what its reader pads, in ±1 terms; None for nothing.
    """
    step = low.signs[value]
    held = low.held[step.source]
    at = np.full(held.channels, step.at_threshold)
    upright = orientation(pad, step.direction, at)
    if held.dot is not None and held.dot.unit is not None and is_read_by_steps_alone(step.source):
        return _counted(low, step, held, held.dot, held.dot.unit, upright)
    return _stepped(low, step, upright)


def _stepped(low: Lowering, step: Signs, upright: Doubles) -> Bits:
    source, before = step.source, len(low.model.layers)
    held, size = low.held[source].flattened(), low.sizes[step.source]
    if not held.is_settled or not is_in_range(held, size):
        held = low.rehold(source, upright, np.where(is_near(step.threshold, size), step.threshold, 0.0))
    border = (step.threshold - held.shift) / held.scale
    side = upright * np.sign(held.scale)  # the bit is side·(blob − border) > 0
    wrong = step.at_threshold * upright > 0
    chance = not wrong.any() or meets_by_chance(source, step.threshold)
    if not chance:
        moved = np.nextafter(
            border.astype(np.float32), np.where(side > 0, -np.inf, np.inf).astype(np.float32)
        )
        border = np.where(wrong, moved.astype(np.float64), border)
    becomes = held.after(side, -side * border)
    # Behind a border next to a number, values on a grid would be off it; behind one out of proportion, lost.
    blurs = not chance and bool((np.abs(border[wrong]) > _TINY).any())
    shared = low.is_needed(source, besides=step) or any(low.others(source, held.blob))
    apart = shared and (blurs or not low.is_kept(source, becomes))
    if apart:
        low.copied(source)
    if (side != 1).any() or border.any():
        low.transform(source, side, -side * border, None, becomes)
    blob = low.held[source].blob
    if apart:
        low.set(source, held)
    how = () if chance else ("equality by the next float",)
    if step.threshold.any():
        ran = len(low.model.layers) > before
        how = (*how, "mean shift by an Affine" if ran else "mean shift absorbed")
    return Bits(blob, upright * step.direction, how)


def _counted(low: Lowering, step: Signs, held: Held, dot: Dot, unit: float, upright: Doubles) -> Bits:
    """A binary layer whose sums go into a step alone: a threshold between two integers is exact for every input."""
    slope = np.where(dot.multiplier < 0, -1.0, 1.0)
    limit = slope * between_integers(dot, unit, step)  # the step is up where slope·dot > limit
    limit_map = limit if limit.ndim == 3 else None
    limit_one = np.zeros(held.channels) if limit.ndim == 3 else limit
    border = None if held.border is None else upright * slope * held.border
    if limit_map is not None:
        border = -upright * limit_map if border is None else border - upright * limit_map
    # Read back: dot = slope·(upright·blob + limit).
    becomes = Held(
        held.blob,
        slope * upright,
        slope * limit_one,
        None if limit_map is None else slope * limit_map,
        dot,
    )
    factor = upright * slope * held.scale
    addend = upright * (slope * held.shift - limit_one)
    low.transform(step.source, factor, addend, border, becomes)
    return Bits(low.held[step.source].blob, upright * step.direction, ("threshold between two integers",))


def between_integers(dot: Dot, unit: float, step: Signs) -> Doubles:
    """The middle between the dot products on either side of a step, (O,) or (Ho, Wo, O).

    Found by bisection of what float32 computes, ``multiplier·dot + bias`` rounded twice: exact to the last bit.
    """
    shape = np.broadcast_shapes(dot.multiplier.shape, dot.bias.shape)
    multiplier = np.broadcast_to(dot.multiplier, shape)
    threshold = step.threshold.astype(np.float32)
    falling = multiplier < 0

    def is_up(sums: Doubles) -> npt.NDArray[np.bool_]:
        y = multiplier * sums.astype(np.float32) + dot.bias
        return np.asarray(y > threshold if step.at_threshold == -1 else y >= threshold)

    # Going along slope·dot from −K − 1 (not up) to K + 1 (up), all in between decided by what is computed.
    low, high = (np.full(shape, side * (dot.depth / unit + 1)) for side in (-1, 1))
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        up = is_up(np.where(falling, -middle, middle) * unit)
        high = np.where(up, middle, high)
        low = np.where(up, low, middle)
    return np.asarray(np.where(falling, -1.0, 1.0) * unit * (low + high) / 2)
