"""How large the values of a graph are, roughly: what may be added to a blob before float32 drops what it held.

A shift in place is undone by whoever reads the value, but what rounding dropped stays lost: behind ``x + t`` an x
is known to 2⁻²⁴·|t|. That is nothing where t is of x's size, as trained shifts are, and all of x where a batch-norm
has a factor next to 0 or a shift is out of proportion; then the value is copied first.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, is_binary_layer

from ..nodes import Array, constant_of, integer
from .holding import Doubles, Held

#: A shift may be so many times as large as the value: 6 of float32's 24 bits.
_REACH = 64.0
#: Numbers in a blob stay between these, far from float32's limits (1e±38).
_LEAST, _MOST = 1e-20, 1e20
#: Channels that are smaller than this share of the largest one count as that large.
_SMALLEST_CHANNEL = 1e-2


def size_of(node: ir.Node, known: Mapping[ir.Value, Doubles]) -> Doubles:
    """The size of a node's output, (C,), where its inputs' are known: sums are taken as of independent terms."""
    inputs = [known[value] for value in node.inputs if value is not None and value in known]
    constants = [array for value in node.inputs if (array := constant_of(value)) is not None]
    if is_binary_layer(node):
        layer = BinaryLayer(node)
        multiplier, bias = (_largest(array, len(layer.signs)) for array in (layer.multiplier, layer.bias))
        return multiplier * float(np.sqrt(layer.signs[0].size)) + bias
    first = inputs[0]
    if node.op_type == "Concat":
        return np.concatenate(inputs)
    if node.op_type in ("Add", "Sub") and len(inputs) > 1:
        return np.hypot(first, inputs[1]) if len(first) == len(inputs[1]) else first
    if not constants:
        return first
    if node.op_type in ("Conv", "Gemm", "MatMul"):
        transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not integer(node, "transB", 0))
        weight = (constants[0].T if transposed else constants[0]).astype(np.float64)
        norms = np.sqrt((weight.reshape(len(weight), -1) ** 2).sum(axis=1))
        bias = _largest(constants[1], len(weight)) if len(constants) > 1 else np.zeros(len(weight))
        return np.asarray(norms * float(np.sqrt((first**2).mean())) + bias)
    if node.op_type == "Clip":
        return np.minimum(first, max(float(np.abs(bound).max()) for bound in constants))
    constant = _largest(constants[0], len(first))
    if node.op_type in ("Add", "Sub"):
        return first + constant
    if node.op_type == "Div":
        return np.asarray(first / np.maximum(constant, _LEAST))
    if node.op_type in ("Mul", "PRelu"):
        return np.asarray(first * (np.maximum(constant, 1) if node.op_type == "PRelu" else constant))
    return first


def _largest(array: Array, channels: int) -> Doubles:
    """Largest magnitude of each channel, (C,)."""
    magnitude = np.abs(array.astype(np.float64))
    if magnitude.size % channels:
        return np.full(channels, magnitude.max(initial=0.0))
    return np.asarray(magnitude.reshape(channels, -1).max(axis=1))


def is_near(shift: Doubles, size: Doubles) -> npt.NDArray[np.bool_]:
    """Of which channels float32 keeps a value that is held with this shift."""
    return np.asarray(np.abs(shift) <= _REACH * _floor(size))


def is_in_range(held: Held, size: Doubles) -> bool:
    """Whether the numbers in the blob are far from float32's limits."""
    with np.errstate(all="ignore"):
        inside = _floor(_held_size(held, size)) / np.abs(held.scale)
    return bool(((inside >= _LEAST) & (inside <= _MOST)).all())


def is_kept(held: Held, size: Doubles) -> bool:
    """Whether float32 keeps a value that is held so."""
    return is_in_range(held, size) and bool(is_near(held.shift, _held_size(held, size)).all())


def _held_size(held: Held, size: Doubles) -> Doubles:
    """That of the dot product where it is what is held."""
    return size if held.dot is None else np.full(held.channels, float(held.dot.depth))


def _floor(size: Doubles) -> Doubles:
    return np.maximum(size, _SMALLEST_CHANNEL * size.max(initial=0.0))
