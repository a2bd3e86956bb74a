"""Whether a value meets its threshold exactly only by chance, as one float number out of millions does.

The library's own convention at equality is x > t where models mean x >= t. On sums of real numbers that differs
once in millions of values, as any other order of a sum does; on integers, behind a ReLU, or on a picture's
black pixels it differs all the time. Only what is clear is called chance.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, is_binary_layer

from ..nodes import constant_of
from ..sign_zero import hits_integers
from .holding import Doubles

_THROUGH = frozenset({"AveragePool", "GlobalAveragePool", "MaxPool", "GlobalMaxPool"})


def meets_by_chance(value: ir.Value, threshold: Doubles) -> bool:
    """Whether nothing but chance makes a value equal to its threshold (one a channel)."""
    node = value.producer()
    if node is None:
        return False
    if is_binary_layer(node):
        layer = BinaryLayer(node)
        if threshold.size != len(layer.signs) or not layer.multiplier.all():
            return False
        return not hits_integers(layer, threshold.astype(np.float32))
    if node.op_type in ("Conv", "Gemm"):
        # All zeros in give the bias out.
        bias = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
        return bias is not None and bias.size == threshold.size and bool((bias.ravel() != threshold).all())
    if node.op_type == "Add" and all(constant_of(operand) is None for operand in node.inputs):
        return any(operand is not None and meets_by_chance(operand, threshold) for operand in node.inputs)
    if node.op_type in _THROUGH and node.inputs[0] is not None:
        return meets_by_chance(node.inputs[0], threshold)
    return False
