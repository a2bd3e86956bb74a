"""How the readers of a value would like it to be held, so that what computes it holds it so at once.

A sign at threshold t wants ``blob = −(x − t)``: the library's bit is x > 0, so of the negated blob it is x < t,
exactly the complement of the model's x >= t; and a mean shift t costs nothing when the bias of a batch-norm
takes it along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, Step, is_binarize, is_binary_layer

from ..nodes import users
from .holding import Doubles
from .lowering import Lowering, constant_operand
from .sizes import is_near

#: Operators that hand their input on as it is held.
_ALIKE = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "Flatten", "Reshape", "Squeeze"})


@dataclass(frozen=True)
class Wish:
    """``value = scale·blob + shift``; scale is ±1 a channel."""

    scale: Doubles
    shift: Doubles


def plain(channels: int) -> Wish:
    """The value itself."""
    return Wish(np.ones(channels), np.zeros(channels))


def wish(low: Lowering, value: ir.Value, channels: int) -> Wish:
    """What the first reader with a wish wants of a value of so many channels.

    A shift that would drown the value is left to the reader.
    """
    found = _wish(low, value, channels, {})
    if found is None:
        return plain(channels)
    return Wish(found.scale, np.where(is_near(found.shift, low.sizes[value]), found.shift, 0.0))


def _wish(low: Lowering, value: ir.Value, channels: int, seen: dict[ir.Value, Wish | None]) -> Wish | None:
    if value in seen:
        return seen[value]
    seen[value] = None
    order = sorted(users(value), key=lambda node: not is_binarize(node))
    for node in order:
        found = _of_reader(low, node, value, channels, seen)
        if found is not None:
            seen[value] = found
            break
    return seen[value]


def _of_reader(
    low: Lowering, node: ir.Node, value: ir.Value, channels: int, seen: dict[ir.Value, Wish | None]
) -> Wish | None:
    if is_binarize(node):
        step = Step.of(node)
        if step.threshold.size not in (1, channels) or step.direction.size not in (1, channels):
            return None
        threshold = np.broadcast_to(step.threshold.astype(np.float64), (channels,))
        direction = np.broadcast_to(step.direction.astype(np.float64), (channels,))
        at = round(step.at_threshold)
        return Wish(orientation(_border(node.outputs[0]), direction, np.full(channels, at)), threshold)
    if node.op_type == "Add" and constant_operand(node) is None:
        later = _wish(low, node.outputs[0], channels, seen)
        return None if later is None else Wish(later.scale, np.zeros(channels))
    if node.op_type in _ALIKE:
        return _wish(low, node.outputs[0], channels, seen) if len(node.outputs[0].shape or ()) == 4 else None
    constant = constant_operand(node) if node.op_type in ("Add", "Sub", "Mul", "Div") else None
    if constant is None or constant[1].size not in (1, channels):
        return None
    index, array = constant[0], np.broadcast_to(constant[1].astype(np.float64).ravel(), (channels,))
    later = _wish(low, node.outputs[0], channels, seen)
    if later is None:
        return None
    if node.op_type in ("Add", "Sub"):
        sign = -1.0 if node.op_type == "Sub" and index == 0 else 1.0
        added = -array if node.op_type == "Sub" and index == 1 else array
        return Wish(later.scale * sign, (later.shift - added) * sign)
    if (array == 0).any() or (node.op_type == "Div" and index == 0):
        return None
    factor = 1 / array if node.op_type == "Div" else array
    return Wish(later.scale * np.sign(factor), later.shift / factor)


#: A maximum of signs takes an upright blob, as a border of −1 does.
UPRIGHT = -1.0


def orientation(pad: float | None, direction: Doubles, at_threshold: Doubles) -> Doubles:
    """Sign a channel of a blob whose bits serve a step: what decides is the border, then equality.

    The bits that the library pads are −1 in terms of the blob: of a layer that pads ±1 all is right by itself
    where the orientation fits. All else depends on the value at equality: 1 (x >= t) is exact on the negated
    blob, −1 (x > t) on the upright one.

    Args:
        pad: what the reader of the signs pads; None for nothing.
    """
    if pad is not None and abs(pad) == 1:
        return -pad * direction
    return np.where(at_threshold == -1, 1.0, -1.0)


def _border(signs: ir.Value) -> float | None:
    """What the first reader of a step's signs pads."""
    for node in users(signs):
        if is_binary_layer(node):
            return BinaryLayer(node).pad_value
        if node.op_type == "MaxPool":
            return UPRIGHT
        if node.op_type in ("Flatten", "Reshape", "Squeeze"):
            return _border(node.outputs[0])
    return None
