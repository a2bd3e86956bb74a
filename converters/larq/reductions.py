"""Reductions, softmax, and float linear layers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..nodes import constant_of, integer, name_of, number, operand, optional_constant, refusal, shape_of
from .layout import Held, spatial_axis
from .lowering import Lowering

REDUCTIONS = {"ReduceMean": "Mean", "ReduceSum": "Sum", "ReduceMax": "Max", "ReduceMin": "Min"}


def reduce(low: Lowering, node: ir.Node) -> None:
    """ReduceMean, ReduceSum, ReduceMax, ReduceMin over constant axes."""
    held, out = low.get(operand(node, 0)), node.outputs[0]
    rank, shape, name = len(held.shape), shape_of(out), name_of(out)
    given = optional_constant(node, 1)
    if given is None or given.size == 0:
        if integer(node, "noop_with_empty_axes", 0):
            raise refusal(node, "it reduces nothing")
        axes = list(range(rank))
    else:
        axes = sorted(int(a) % rank for a in given.ravel())
    keep = bool(integer(node, "keepdims", 1))
    op = REDUCTIONS[node.op_type]
    reducer = low.builder.reduce
    if held.form == "spatial" and (keep or axes == list(range(2, rank))):
        places = [spatial_axis(rank, axis) for axis in axes]
        if rank == 3 and not keep:
            places.append(1)  # the height that a 3-D value lacks
        y = reducer(op, held.node, places, keep, name)  # type: ignore[arg-type]
        low.put(out, held.moved(y, shape, "spatial" if keep else "plain"))
        return
    plain = low.plain(held)
    y = reducer(op, plain.node, axes, keep, name)  # type: ignore[arg-type]
    low.put(out, plain.moved(y, shape))


def softmax(low: Lowering, node: ir.Node) -> None:
    """Softmax and LogSoftmax; TensorFlow's works on the last axis."""
    held, out = low.get(operand(node, 0)), node.outputs[0]
    g, rank, name = low.builder, len(held.shape), name_of(out)
    axis = integer(node, "axis", -1) % rank
    op = "Softmax" if node.op_type == "Softmax" else "LogSoftmax"
    if held.form == "spatial" and axis == 1:
        low.put(out, held.moved(g.unary(op, held.node, name), held.shape))
        return
    plain = low.plain(held)
    perm = [a for a in range(rank) if a != axis] + [axis]
    last = g.transpose(plain.node, perm, f"{name}/last")
    inner = name if axis == rank - 1 else f"{name}/rows"
    y = g.transpose(g.unary(op, last, inner), [int(a) for a in np.argsort(perm)], name)
    low.put(out, plain.moved(y, held.shape))


def gemm(low: Lowering, node: ir.Node) -> None:
    """Gemm with constant weights."""
    weight = constant_of(operand(node, 1))
    if weight is None or integer(node, "transA", 0):
        raise refusal(node, "its weights are computed, or its input is transposed")
    matrix = weight.T if integer(node, "transB", 0) else weight
    matrix = matrix.astype(np.float32) * np.float32(number(node, "alpha", 1.0))
    bias = optional_constant(node, 2)
    if bias is not None:
        bias = bias.astype(np.float32) * np.float32(number(node, "beta", 1.0))
    elif len(node.inputs) > 2 and node.inputs[2] is not None:
        raise refusal(node, "its bias is computed")
    _linear(low, node, matrix, bias)


def matmul(low: Lowering, node: ir.Node) -> None:
    """MatMul: with a constant matrix a linear layer, else a batched product (float only)."""
    weight = constant_of(operand(node, 1))
    if weight is not None and weight.ndim == 2:
        return _linear(low, node, weight.astype(np.float32), None)
    out = node.outputs[0]
    a, b = (low.plain(low.get(operand(node, i))) for i in (0, 1))
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise refusal(node, "an operand is a vector")
    low.put(out, Held(low.builder.matmul(a.node, b.node, name_of(out)), shape_of(out)))
    return None


def _linear(
    low: Lowering, node: ir.Node, matrix: npt.NDArray[np.float32], bias: npt.NDArray[np.float32] | None
) -> None:
    """x @ matrix + bias over the last axis; matrix (K, O)."""
    g, out = low.builder, node.outputs[0]
    held, shape, name = low.get(operand(node, 0)), shape_of(out), name_of(out)
    if held.form == "flat":
        matrix = matrix[low.layout.columns(held)]
    else:
        held = low.plain(held)
    rows = math.prod(held.shape[:-1])
    x = g.reshape(held.node, (rows, held.shape[-1]), f"{name}/rows")
    weight = g.const(np.ascontiguousarray(matrix), f"{name}/weight")
    y = g.matmul(x, weight, name if bias is None else f"{name}/dot")
    if bias is not None:
        y = g.binary("AddV2", y, bias, name)
    low.put(out, Held(g.reshape(y, shape, name), shape))
