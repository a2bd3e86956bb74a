"""Signs as outputs of an operator, and the pure questions that an epilogue asks about nodes and constants."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, Step, is_binary_layer

from ..nodes import constant, constant_of, name_of, refusal
from .bbm import DType, Op
from .layout import Held, has_spatial_form
from .lowering import Lowering

Doubles = npt.NDArray[np.float64]

#: A clip without a bound.
LARGEST = float(np.finfo(np.float32).max)

#: A constant channel ⊗ height ⊗ width with the batch-norm behind it (XNOR++) carries three roundings of 2^-24, the
#: two numbers that it is split into one each.
ROUNDING = 5 * 2.0**-24


def binarize(low: Lowering, node: ir.Node, held: Held) -> None:
    """A step on a stored value, with those on the same value that have the same threshold."""
    if not per_channel(node, held):
        held = low.spatial(held) if held.form == "plain" and has_spatial_form(held.shape) else low.plain(held)
        if not per_channel(node, held):
            raise refusal(node, "its threshold varies over more than channels")
    groups = groups_of(node, held)
    bits = low.activation(name_of(node.outputs[0]), held.dims, DType.BITS, groups)
    threshold, direction = step_constants(low, node, held)
    inputs = [low.float_of(held), *[None] * 8, threshold, direction]
    low.add(Op.MAP, name_of(node.outputs[0]), inputs, [None, bits])
    low.put(node.outputs[0], held.of(None, {groups: bits}))
    low.skip(node)


def per_channel(step: ir.Node, held: Held) -> bool:
    """Whether a step's threshold varies over the tensor's channels alone."""
    return all(is_vector(held.constant(constant(step, index))) for index in (1, 2))


def step_constants(low: Lowering, step: ir.Node, held: Held) -> tuple[int, int | None]:
    """Threshold and direction of a step as constants; no direction where it is +1."""
    channels = held.dims[3]
    threshold, direction = (held.constant(constant(step, index)) for index in (1, 2))
    if (direction == 1).all():
        return low.vector(threshold, channels), None
    return low.vector(threshold, channels), low.vector(direction, channels)


def clip_bounds(node: ir.Node) -> tuple[float, float] | None:
    """Bounds of a Relu or a Clip by constants; None for anything else."""
    if node.domain != "" or node.op_type not in ("Relu", "Clip"):
        return None
    if node.op_type == "Relu":
        return 0.0, LARGEST
    bounds = [-LARGEST, LARGEST]
    for index in (1, 2):
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is None:
            continue
        array = constant_of(value)
        if array is None or array.size != 1:
            return None
        bounds[index - 1] = float(np.clip(array.astype(np.float64).reshape(()), -LARGEST, LARGEST))
    return bounds[0], bounds[1]


def one_affine(op: str, index: int, array: Doubles) -> tuple[Doubles | None, Doubles | None]:
    """(scale, shift) of an operation with a constant, as a function of its operand number ``index``."""
    one, zero = np.ones((1,) * 4), np.zeros((1,) * 4)
    if op == "Add":
        return one, array
    if op == "Sub":
        return (one, -array) if index == 0 else (-one, array)
    if op == "Mul":
        return array, zero
    if index == 0 and (array != 0).all():
        return 1 / array, zero
    return None, None


def is_vector(array: npt.NDArray[np.generic]) -> bool:
    """Whether a constant of four axes varies over channels at most."""
    return array.shape[:3] == (1, 1, 1)


def shrunk(array: Doubles) -> Doubles:
    """The same constant with size 1 along axes where it does not vary."""
    for axis in range(array.ndim):
        first = array.take([0], axis)
        if (array == first).all():
            array = first
    return array


def outer_product(array: Doubles) -> tuple[Doubles, Doubles] | None:
    """A constant (1, H, W, C) as channels (1, 1, 1, C) times a map (1, H, W, 1), both to be rounded to float32.

    Least squares from the row and the column of the largest number, once around: rounding averages out.

    Returns:
        None where the product differs from the constant by more than the rounding of float32 arithmetic.
    """
    matrix = array.reshape(-1, array.shape[-1])
    row, column = np.unravel_index(np.abs(matrix).argmax(), matrix.shape)
    if not np.isfinite(matrix).all() or matrix[row, column] == 0:
        return None
    plane = matrix[:, column]
    channel = matrix.T @ plane / (plane @ plane)
    plane = matrix @ channel / (channel @ channel)
    channel, plane = (each.astype(np.float32).astype(np.float64) for each in (channel, plane))
    error = np.abs(np.outer(plane, channel) - matrix)
    if (error > ROUNDING * np.abs(matrix)).any():
        return None
    return channel.reshape(1, 1, 1, -1), plane.reshape(*array.shape[:3], 1)


def same_step(a: ir.Node, b: ir.Node, held: Held) -> bool:
    """Whether two Binarize nodes give the same for the same value, laid out for the same groups."""
    first, second = Step.of(a), Step.of(b)
    return (
        np.array_equal(first.threshold, second.threshold)
        and np.array_equal(first.direction, second.direction)
        and groups_of(a, held) == groups_of(b, held)
    )


def groups_of(step: ir.Node, held: Held) -> int:
    """Groups of the first binary layer that reads a step; 1 where the tensor's channels are not the value's."""
    if held.form != "spatial":
        return 1
    for use in step.outputs[0].uses():
        if is_binary_layer(use.node):
            return BinaryLayer(use.node).group
    return 1
