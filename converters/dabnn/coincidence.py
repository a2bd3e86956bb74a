"""Whether a value meets its threshold exactly only by chance, as one float number out of millions does.

The library's own convention at equality is x > t where models mean x >= t. On sums of real numbers that differs
once in millions of values, as any other order of a sum does; on integers, behind a ReLU, or on a picture's
black pixels it differs all the time. Only what is clear is called chance.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, is_binary_layer

from ..nodes import constant_of, integer
from ..sign_zero import hits_integers
from .holding import Doubles

#: Weights that are multiples of this lie on a grid: none that was trained does.
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
        weight = constant_of(node.inputs[1])
        bias = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
        if weight is None or bias is None or bias.size != threshold.size:
            return False
        transposed = node.op_type == "Gemm" and not integer(node, "transB", 0)
        filters = (weight.T if transposed else weight).astype(np.float64).reshape(threshold.size, -1) / _GRID
        ragged = (filters != np.round(filters)).any(axis=1)
        return bool(ragged.all() and (bias.ravel() != threshold).all())
    if node.op_type == "Add" and all(constant_of(operand) is None for operand in node.inputs):
        return any(operand is not None and meets_by_chance(operand, threshold) for operand in node.inputs)
    if node.op_type in _THROUGH and node.inputs[0] is not None:
        return meets_by_chance(node.inputs[0], threshold)
    return False
