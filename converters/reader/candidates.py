"""Convolutions, Gemm and MatMul in one form: data, weights (O, ...), bias, and the convolution's geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph.edit import is_constant, static_shape

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Candidate:
    """One weighted layer as ONNX has it.

    Attributes:
        node: the ONNX node.
        op: conv1d, conv2d, conv3d or linear.
        data: what is convolved.
        weights: (O, C/group, *kernel) or (O, C); None if they are computed at run time.
        bias: (O,), or None.
        problem: why it can't be binary whatever its numbers, e.g. weights computed at run time.
        pads: (before, after) per spatial axis; likewise strides, dilations; () for linear.
    """

    node: ir.Node
    op: str
    data: ir.Value
    weights: Array | None
    bias: Array | None
    problem: str | None = None
    pads: tuple[tuple[int, int], ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    group: int = 1

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution."""
        return self.op != "linear"


def candidate(node: ir.Node) -> Candidate | None:
    """The layer that a node is, None if it is neither a convolution nor linear."""
    if node.domain != "":
        return None
    return {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}.get(node.op_type, lambda _: None)(node)


def _array(value: ir.Value | None) -> Array | None:
    return value.const_value.numpy() if value is not None and value.const_value is not None else None


def _ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else default


def _int(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def _conv(node: ir.Node) -> Candidate:
    data, weight = node.inputs[0], node.inputs[1]
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    assert data is not None
    weights, bias = _array(weight), _array(bias_value)
    shape = static_shape(weight) or ()
    spatial = len(shape) - 2
    problem = None
    if weights is None:
        problem = "its weights are chosen or computed at run time"
    elif bias_value is not None and bias is None:
        problem = "its bias is computed at run time"
    strides = _ints(node, "strides", (1,) * spatial)
    dilations = _ints(node, "dilations", (1,) * spatial)
    pads = conv_pads(node, static_shape(data), shape[2:], strides, dilations)
    return Candidate(
        node,
        f"conv{spatial}d",
        data,
        weights,
        bias,
        problem,
        pads,
        strides,
        dilations,
        _int(node, "group", 1),
    )


def conv_pads(
    node: ir.Node,
    shape: tuple[int, ...] | None,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """(before, after) per spatial axis of a Conv, auto_pad resolved (ONNX Conv-11)."""
    mode = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    rank = len(kernel)
    if mode in ("NOTSET", "VALID"):
        flat = _ints(node, "pads", (0,) * (2 * rank)) if mode == "NOTSET" else (0,) * (2 * rank)
        return tuple((flat[i], flat[i + rank]) for i in range(rank))
    assert shape is not None
    pads = []
    for size, k, s, d in zip(shape[2:], kernel, strides, dilations, strict=True):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return tuple(pads)


def _gemm(node: ir.Node) -> Candidate:
    data, weight = node.inputs[0], node.inputs[1]
    assert data is not None
    weights = _array(weight)
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = _array(bias_value)
    problem = None
    if weights is None:
        problem = "both operands are computed at run time"
    elif _int(node, "transA", 0):
        problem = "it multiplies from the transposed side (transA)"
    elif bias_value is not None and bias is None:
        problem = "its bias is computed at run time"
    if weights is not None:
        alpha = node.attributes["alpha"].as_float() if "alpha" in node.attributes else 1.0
        weights = (weights if _int(node, "transB", 0) else weights.T) * np.float32(alpha)
        if bias is not None:
            beta = node.attributes["beta"].as_float() if "beta" in node.attributes else 1.0
            if bias.size not in (1, weights.shape[0]) or (bias.ndim > 1 and bias.shape[0] != 1):
                problem = "what it adds is a matrix, not a bias"
            else:
                bias = np.broadcast_to(bias.ravel() * np.float32(beta), (weights.shape[0],))
    return Candidate(node, "linear", data, weights, bias, problem)


def _matmul(node: ir.Node) -> Candidate:
    left, right = node.inputs
    assert left is not None
    assert right is not None
    weights = _array(right)
    problem = None
    data = left
    if weights is None:
        problem = "both operands are computed at run time"
        if is_constant(left):
            problem, data = "its weights multiply from the left", right
    elif weights.ndim != 2:
        problem, weights = "its weights are a batch of matrices", None
    return Candidate(node, "linear", data, None if weights is None else weights.T, None, problem)
