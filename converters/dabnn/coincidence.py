"""Whether a value meets its threshold exactly only by chance, as one float number out of millions does.

The library's own convention at equality is x > t where models mean x >= t. On sums of real numbers that differs
once in millions of values, as any other order of a sum does; on integers, behind a ReLU, or on a picture's
black pixels it differs all the time. Only what is clear is called chance.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, is_binary_layer

from ..nodes import Array, constant_of, integer
from ..sign_zero import hits_integers
from .holding import Doubles

#: Numbers that are multiples of this lie on a grid: none that was trained does.
_GRID = 2.0**-10
_THROUGH = frozenset({"AveragePool", "GlobalAveragePool", "MaxPool", "GlobalMaxPool"})


def meets_by_chance(value: ir.Value, threshold: Doubles) -> bool:
    """Whether nothing but chance makes a value equal to its threshold (one a channel)."""
    node = value.producer()
    if node is None:
        return False
    if is_binary_layer(node):
        layer = BinaryLayer(node)
        whole = layer.pad_value in (None, -1.0, 0.0, 1.0)
        if not whole or threshold.size != len(layer.signs) or not layer.multiplier.all():
            return False
        return not hits_integers(layer, threshold.astype(np.float32))
    if node.op_type in ("Conv", "Gemm"):
        # All zeros in give the bias out; weights on a grid give sums on a grid.
        bias = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
        if bias is None or bias.size != threshold.size:
            return False
        return _has_ragged_weights(node) and bool((bias.ravel() != threshold).all())
    if node.op_type == "Add" and all(constant_of(operand) is None for operand in node.inputs):
        return any(_is_ragged(operand) for operand in node.inputs)
    if node.op_type in _THROUGH and node.inputs[0] is not None:
        return meets_by_chance(node.inputs[0], threshold)
    found = _before(node, threshold)
    return found is not None and meets_by_chance(*found)


def _before(node: ir.Node, threshold: Doubles) -> tuple[ir.Value, Doubles] | None:
    """What a node with a constant a channel reads, and the threshold in its terms; None if not one-to-one."""
    constants = [(i, array) for i, each in enumerate(node.inputs) if (array := constant_of(each)) is not None]
    if len(constants) != 1 or constants[0][1].size not in (1, threshold.size):
        return None
    index, array = constants[0][0], constants[0][1].astype(np.float64).ravel()
    source = node.inputs[1 - index]
    if source is None:
        return None
    if node.op_type == "Add":
        return source, threshold - array
    if node.op_type == "Sub":
        return source, array - threshold if index == 0 else threshold + array
    if node.op_type == "Mul" and array.all():
        return source, threshold / array
    if node.op_type == "Div" and index == 1:
        return source, threshold * array
    if node.op_type == "PRelu" and (array > 0).all():
        return source, np.where(threshold < 0, threshold / array, threshold)
    return None


def _is_ragged(value: ir.Value | None) -> bool:
    """Whether a value is off the grid of other values, so that a sum with it meets nothing but by chance."""
    node = None if value is None else value.producer()
    if node is None:
        return False
    if is_binary_layer(node):
        return _is_off_grid(BinaryLayer(node).bias)  # not by its factor: a dot product is often 0
    if node.op_type in ("Conv", "Gemm"):
        bias = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
        return bias is not None and _is_off_grid(bias) and _has_ragged_weights(node)
    if node.op_type == "Add" and all(constant_of(operand) is None for operand in node.inputs):
        return any(_is_ragged(operand) for operand in node.inputs)
    return node.op_type in _THROUGH and _is_ragged(node.inputs[0])


def _has_ragged_weights(node: ir.Node) -> bool:
    weight = constant_of(node.inputs[1])
    if weight is None:
        return False
    transposed = node.op_type == "Gemm" and not integer(node, "transB", 0)
    filters = (weight.T if transposed else weight).astype(np.float64) / _GRID
    return bool((filters != np.round(filters)).reshape(len(filters), -1).any(axis=1).all())


def _is_off_grid(array: Array) -> bool:
    scaled = array.astype(np.float64) / _GRID
    return bool((scaled != np.round(scaled)).all())
