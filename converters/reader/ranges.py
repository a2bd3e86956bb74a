"""Bounds of a value that hold for every input, where the operators tell: ReLU's zero, a clip's limits.

Needed where a model was trained with torch.sign: its third value at equality is no rare event if the tensor
before it is clipped exactly there, as ``sign(maxpool(relu(x)))`` is 0 or 1 and never −1.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

Bounds = tuple[float, float]
_UNBOUNDED: Bounds = (-math.inf, math.inf)
_KEEP = {
    "MaxPool", "GlobalMaxPool", "GlobalAveragePool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze",
    "Slice", "Gather", "Identity", "Expand", "ReduceMean", "ReduceMax", "ReduceMin", "DepthToSpace", "SpaceToDepth",
    "Split", "Tile",
}  # fmt: skip
_FIXED = {"Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
_NON_NEGATIVE = {"Abs", "Sqrt", "Exp", "Softplus", "ReduceL1", "ReduceL2", "ReduceSumSquare"}
_MAX_DEPTH = 40


def bounds(value: ir.Value | None) -> Bounds:
    """(lower, upper) for every element of a value; infinite where nothing is known."""
    return _bounds(value, {}, 0)


def _bounds(value: ir.Value | None, known: dict[ir.Value, Bounds], depth: int) -> Bounds:
    if value is None or depth > _MAX_DEPTH:
        return _UNBOUNDED
    if value not in known:  # residual networks reach a value on very many paths
        known[value] = _of(value, known, depth)
    return known[value]


def _of(value: ir.Value, known: dict[ir.Value, Bounds], depth: int) -> Bounds:
    if value.const_value is not None:
        array = value.const_value.numpy()
        if array.dtype.kind not in "fiu" or array.size == 0:
            return _UNBOUNDED
        return float(np.min(array)), float(np.max(array))
    node = value.producer()
    if node is None:
        return _UNBOUNDED
    return _apply(node, [_bounds(v, known, depth + 1) for v in node.inputs if v is not None])


def _apply(node: ir.Node, inner: list[Bounds]) -> Bounds:
    op = node.op_type
    if op in _FIXED:
        return _FIXED[op]
    if op in _NON_NEGATIVE:
        return 0.0, math.inf
    if op == "Relu":
        return max(0.0, inner[0][0]), max(0.0, inner[0][1])
    if op in _KEEP:
        return inner[0]
    if op == "AveragePool":  # padded zeros may count
        return min(inner[0][0], 0.0), max(inner[0][1], 0.0)
    if op == "Clip":
        low = bounds(node.inputs[1])[0] if len(node.inputs) > 1 and node.inputs[1] is not None else -math.inf
        high = bounds(node.inputs[2])[1] if len(node.inputs) > 2 and node.inputs[2] is not None else math.inf
        return max(low, inner[0][0]), min(high, inner[0][1])
    if op in ("Concat", "Max", "Min"):
        join = {"Concat": (min, max), "Max": (max, max), "Min": (min, min)}[op]
        return join[0](b[0] for b in inner), join[1](b[1] for b in inner)
    if op in ("Add", "Sum"):
        return sum(b[0] for b in inner), sum(b[1] for b in inner)
    if op == "Mul" and all(b[0] >= 0 for b in inner):
        return math.prod(b[0] for b in inner), math.inf
    return _UNBOUNDED
