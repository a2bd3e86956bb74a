"""What works number by number, and what moves nothing.

Additions and multiplications of constants never run: the value is held differently. Add, Relu and PRelu write
over their first input, so that one is copied first where something else still needs it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..nodes import constant, name_of, operand, optional_constant, refusal, shape_of, users
from .dab import Kind
from .holding import Held
from .lowering import Lowering, constant_operand, is_read_by_steps_alone
from .wishes import wish

_LANES = 4


def arithmetic(low: Lowering, node: ir.Node) -> None:
    """Add, Sub, Mul, Div."""
    found = constant_operand(node)
    if found is None:
        if node.op_type != "Add":
            raise refusal(node, "daBNN has no such operator of two activations")
        _sum(low, node)
        return
    index, array = found
    value, out = operand(node, 1 - index), node.outputs[0]
    held = low.get(value)
    if shape_of(out) != shape_of(value):
        raise refusal(node, "it broadcasts its input", "use equal shapes")
    one, border = low.per_channel(array, value)
    none, unit = np.zeros(held.channels), np.ones(held.channels)
    if node.op_type in ("Add", "Sub"):
        sign = -1.0 if node.op_type == "Sub" and index == 1 else 1.0
        factor = -unit if node.op_type == "Sub" and index == 0 else unit
        addend = none if one is None else sign * one
        low.put(out, held.mapped(factor, addend, None if border is None else sign * border))
        return
    if one is None:
        raise refusal(node, "its constant varies over the map", "use one number a channel")
    if node.op_type == "Div":
        if index == 0 or not one.all():
            raise refusal(node, "it divides a constant, or by 0", "use another formula")
        one = 1 / one
    low.put(out, held.mapped(one, none))


def _sum(low: Lowering, node: ir.Node) -> None:
    """Add of two activations: the one that nothing else needs is written over."""
    first, second, out = operand(node, 0), operand(node, 1), node.outputs[0]
    a, b = low.get(first).flattened(), low.get(second).flattened()
    if shape_of(first) != shape_of(second) or low.place(first) != low.place(second):
        raise refusal(node, "its operands have different shapes")
    if a.blob is b.blob:  # nothing to add: one blob, read as the sum
        border = (0 if a.border is None else a.border) + (0 if b.border is None else b.border)
        total = border if isinstance(border, np.ndarray) else None
        low.put(out, Held(a.blob, a.scale + b.scale, a.shift + b.shift, total))
        return
    # Kept: what is still needed, else what is held as ±itself already (the stream of a residual network).
    if _stays(low, first, a) > _stays(low, second, b):
        first, second = second, first
    wanted = wish(low, out, a.channels)
    kept = low.held[second].flattened()
    if not _is_upright(kept):
        kept = low.rehold(second, wanted.scale, 0.0)
    given = low.held[first].flattened()
    if not given.is_settled or (given.scale != kept.scale).any():
        given = low.rehold(first, kept.scale, wanted.shift - kept.shift)
    given, kept = low.owned(first).flattened(), low.held[second].flattened()
    low.over(Kind.ADD, name_of(out), given.blob, [kept.blob.name])
    low.put(out, Held(given.blob, kept.scale, given.shift + kept.shift))


def _stays(low: Lowering, value: ir.Value, held: Held) -> int:
    needed = low.is_needed(value) or not held.blob.own or any(low.others(value, held.blob))
    return 2 * needed + _is_upright(held)


def _is_upright(held: Held) -> bool:
    """Whether it is held as ± itself, but for a shift."""
    return held.is_settled and bool((np.abs(held.scale) == 1).all())


def _positive(low: Lowering, value: ir.Value) -> Held:
    """A value held as a positive multiple of itself."""
    held = low.get(value).flattened()
    if held.is_settled and not held.shift.any() and (held.scale > 0).all():
        return low.set(value, held)
    return low.rehold(value, 1.0, 0.0)


def relu(low: Lowering, node: ir.Node) -> None:
    """Relu."""
    value, out = operand(node, 0), node.outputs[0]
    _positive(low, value)
    held = low.owned(value)
    _rectify(low, held, name_of(out))
    low.put(out, held)


def _rectify(low: Lowering, held: Held, hint: str) -> None:
    """max(x, 0) in place; by PRelu where the library's Relu would leave the last numbers as they are."""
    if np.prod(held.blob.shape) % _LANES:
        low.over(Kind.PRELU, hint, held.blob, tensors=[low.tensor(f"{hint}.slope", np.zeros(1))])
    else:
        low.over(Kind.RELU, hint, held.blob)


def prelu(low: Lowering, node: ir.Node) -> None:
    """PRelu with one slope, or one a channel."""
    value, out = operand(node, 0), node.outputs[0]
    _positive(low, value)
    slope, varied = low.per_channel(constant(node, 1), value)
    if slope is None or varied is not None:
        raise refusal(node, "its slope varies over the map", "use one slope a channel")
    held = low.owned(value)
    slopes = slope[:1] if (slope == slope[0]).all() else slope
    low.over(Kind.PRELU, name_of(out), held.blob, tensors=[low.tensor(f"{name_of(out)}.slope", slopes)])
    low.put(out, held)


def clip(low: Lowering, node: ir.Node) -> None:
    """Clip: ``hi − relu((hi − lo) − relu(x − lo))``. A step behind it reads what is in front of it."""
    value, out = operand(node, 0), node.outputs[0]
    bounds = [optional_constant(node, index) for index in (1, 2)]
    low_bound, high = (None if b is None else float(b.reshape(())) for b in bounds)
    if _is_idle(out, low_bound, high):
        low.put(out, low.get(value))
        return
    low.get(value)
    if low_bound is None and high is None:
        low.put(out, low.held[value])
        return
    if low_bound is not None:
        _from_below(low, value, out, low_bound)
        value = out
    if high is not None:
        held = low.held[value].mapped(
            -np.ones(low.held[value].channels), np.full(low.held[value].channels, high)
        )
        _rectified(low, value, out, held)
        low.put(out, low.held[out].mapped(-np.ones(held.channels), np.full(held.channels, high)))


def _from_below(low: Lowering, value: ir.Value, out: ir.Value, bound: float) -> None:
    """max(x, bound)."""
    held = low.held[value]
    _rectified(low, value, out, held.mapped(np.ones(held.channels), np.full(held.channels, -bound)))
    moved = low.held[out]
    low.set(out, moved.mapped(np.ones(moved.channels), np.full(moved.channels, bound)))


def _rectified(low: Lowering, value: ir.Value, out: ir.Value, held: Held) -> None:
    """The rectified form of what is held in a blob that ``value`` is in, as ``out``."""
    if out is not value:
        owner = low.owned(value)
        held = Held(owner.blob, held.scale, held.shift, held.border)
    low.set(out, held)
    _positive(low, out)
    _rectify(low, low.held[out], name_of(out))


def _is_idle(out: ir.Value, low_bound: float | None, high: float | None) -> bool:
    """Whether all that reads a clip are steps whose threshold the clip moves nothing across."""
    if not is_read_by_steps_alone(out):
        return False
    thresholds = np.concatenate([constant(user, 1).ravel() for user in users(out)])
    below = low_bound is None or bool((thresholds > low_bound).all())
    return below and (high is None or bool((thresholds <= high).all()))


def flatten(low: Lowering, node: ir.Node) -> None:
    """Flatten, Identity, Reshape, Squeeze: from maps to rows or back, where nothing moves."""
    value, out = operand(node, 0), node.outputs[0]
    before, after = shape_of(value), shape_of(out)
    height, width, _ = low.place(value)
    rows = len(after) == 2 and after[0] == before[0]
    points = height * width == 1 and after[:2] == before[:2] and np.prod(after) == np.prod(before)
    if before != after and not rows and not points:
        raise refusal(
            node, f"it reshapes {before} to {after}", "reshape to (N, C) in front of a linear layer only"
        )
    if value in low.signs:
        low.signs[out] = low.signs[value]
    else:
        low.put(out, low.get(value))
