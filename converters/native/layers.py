"""Layers with weights, binary and float, each with what follows it as its epilogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, is_binarize

from ..nodes import (
    constant_of,
    integer,
    ints,
    name_of,
    number,
    operand,
    optional_constant,
    refusal,
    shape_of,
    text,
)
from . import bbm
from .bbm import Array, DType, Op
from .epilogue import Epilogue
from .growth import grow
from .layout import Held, has_spatial_form, spatial_dims
from .lowering import Lowering
from .steps import binarize

T = TypeVar("T")

#: What may stand between a Binarize and the binary layer: it gives ±1 from ±1.
BETWEEN = frozenset(
    {
        "Concat", "Expand", "Flatten", "GlobalMaxPool", "MaxPool", "Pad", "Reshape", "Slice", "Split",
        "Squeeze", "Transpose", "Unsqueeze",
    }
)  # fmt: skip


def step(low: Lowering, node: ir.Node) -> None:
    """Binarize that no layer before it took along."""
    binarize(low, node, low.get(operand(node, 0)))


def binary_conv(low: Lowering, node: ir.Node) -> None:
    """BinaryConv → BCONV."""
    layer = BinaryLayer(node)
    signs, x = _image_kernel(layer.signs), low.get(_signs_in(node))
    if not has_spatial_form(x.shape):
        raise refusal(node, f"it is {len(x.shape) - 2}-D", "use a 1-D or 2-D convolution")
    held = Held(shape_of(node.outputs[0]), "spatial")
    bits = low.bits_of(low.spatial(x), layer.group)
    top, left = (pair[0] for pair in _two(layer.pads, (0, 0)))
    bottom, right = (pair[1] for pair in _two(layer.pads, (0, 0)))
    geometry = (*_two(layer.strides, 1), *_two(layer.dilations, 1), top, left, bottom, right, layer.group)
    pad = layer.pad_value
    _binary(low, layer, held, bits, signs, geometry, 0.0 if pad is None else pad)


def binary_linear(low: Lowering, node: ir.Node) -> None:
    """BinaryLinear → BCONV of 1×1, or of H×W over what was flattened."""
    layer = BinaryLayer(node)
    x = _rows(low, low.get(_signs_in(node)), node)
    held = Held(shape_of(node.outputs[0]), "plain")
    kernel = _flat_kernel(layer.signs, x)
    _binary(low, layer, held, low.bits_of(x, 1), kernel, (1, 1, 1, 1, 0, 0, 0, 0, 1), 0.0)


def _binary(
    low: Lowering,
    layer: BinaryLayer,
    held: Held,
    bits: int,
    signs: Array,
    geometry: tuple[int, ...],
    pad: float,
) -> None:
    node, group = layer.node, layer.group
    o, c, kh, kw = signs.shape
    filters = low.data(DType.BINARY_FILTERS, (o, kh, kw, c), bbm.binary_filters(signs, group), group)
    epilogue = Epilogue(low, node.outputs[0], held)
    epilogue.multiplier = held.constant(layer.multiplier).astype(np.float64)
    epilogue.bias = held.constant(layer.bias).astype(np.float64)
    if not epilogue.bias.any():
        epilogue.bias = None
    grow(epilogue)
    low.forms[layer.name] = epilogue.describe()
    epilogue.emit(Op.BCONV, bits, filters, geometry, pad)
    low.binary.append(layer.name)


def conv(low: Lowering, node: ir.Node) -> None:
    """Conv with constant weights → CONV or DWCONV."""
    weight = constant_of(operand(node, 1))
    if weight is None:
        raise refusal(node, "its weights are computed, not constant")
    if weight.ndim not in (3, 4):
        raise refusal(node, f"it is {weight.ndim - 2}-D", "use a 1-D or 2-D convolution")
    if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise refusal(node, "it has auto_pad", "export the model with explicit padding")
    axes, group = weight.ndim - 2, integer(node, "group", 1)
    kernel = _image_kernel(weight)
    o, c, kh, kw = kernel.shape
    x = low.spatial(low.get(operand(node, 0)))
    held = Held(shape_of(node.outputs[0]), "spatial")
    pads = ints(node, "pads", (0,) * (2 * axes))
    before, after = _two(pads[:axes], 0), _two(pads[axes:], 0)
    strides, dilations = (_two(ints(node, key, (1,) * axes), 1) for key in ("strides", "dilations"))
    geometry = (*strides, *dilations, *before, *after, group)
    epilogue = Epilogue(low, node.outputs[0], held)
    _set_bias(epilogue, optional_constant(node, 2), held)
    grow(epilogue)
    if group > 1 and c == 1 and o == group:
        packed = kernel.transpose(1, 2, 3, 0).astype(np.float32)  # (1, KH, KW, C)
        epilogue.emit(Op.DWCONV, low.float_of(x), low.constant(packed), geometry)
        return
    filters = low.data(DType.FLOAT_FILTERS, (o, kh, kw, c), bbm.float_filters(kernel, group), group)
    epilogue.emit(Op.CONV, low.float_of(x), filters, geometry)


def gemm(low: Lowering, node: ir.Node) -> None:
    """Gemm with constant weights → CONV."""
    weight = constant_of(operand(node, 1))
    if weight is None or integer(node, "transA", 0):
        raise refusal(node, "its weights are computed or its input is transposed")
    matrix = weight if integer(node, "transB", 0) else weight.T
    bias = optional_constant(node, 2)
    alpha, beta = number(node, "alpha", 1.0), number(node, "beta", 1.0)
    matrix = matrix if alpha == 1 else matrix.astype(np.float64) * alpha
    _linear(low, node, matrix, bias if bias is None or beta == 1 else bias.astype(np.float64) * beta)


def matmul(low: Lowering, node: ir.Node) -> None:
    """MatMul: by constant weights a linear layer, else MATMUL."""
    weight = constant_of(operand(node, 1))
    if weight is not None and weight.ndim == 2 and constant_of(operand(node, 0)) is None:
        _linear(low, node, weight.T, None)
        return
    sides = [low.plain(low.get(operand(node, i))) for i in (0, 1)]
    shape = shape_of(node.outputs[0])
    if not all(2 <= len(side.shape) <= 4 for side in sides):
        raise refusal(node, "its operands have fewer than 2 or more than 4 axes")
    tensors = [_matrix(low, side, f"{name_of(node.outputs[0])}/{i}") for i, side in enumerate(sides)]
    a, b = (low.model.tensors[tensor].dims for tensor in tensors)
    dims = (max(a[0], b[0]), max(a[1], b[1]), a[2], b[3])
    out = low.emit(Op.MATMUL, name_of(node.outputs[0]), tensors, dims)
    held = Held(shape, "plain", tensor=out)
    tensor = low.reshaped(held, held.dims, f"{name_of(node.outputs[0])}/rows")
    low.put(node.outputs[0], held.of(tensor))


def _matrix(low: Lowering, held: Held, name: str) -> int:
    """A plain value whose last two axes are the tensor's last two."""
    shape = held.shape
    n, h = {2: (1, 1), 3: (1, shape[0]), 4: shape[:2]}[len(shape)]
    return low.reshaped(held, (n, h, shape[-2], shape[-1]), name)


def _linear(low: Lowering, node: ir.Node, matrix: Array, bias: Array | None) -> None:
    x = _rows(low, low.get(operand(node, 0)), node)
    held = Held(shape_of(node.outputs[0]), "plain")
    kernel = _flat_kernel(matrix, x)
    o, c, kh, kw = kernel.shape
    filters = low.data(DType.FLOAT_FILTERS, (o, kh, kw, c), bbm.float_filters(kernel, 1))
    epilogue = Epilogue(low, node.outputs[0], held)
    if bias is not None:
        array = held.constant(bias).astype(np.float64)
        if array.shape[0] != 1:
            raise refusal(node, "its bias varies over samples")
        epilogue.bias = array
    grow(epilogue)
    epilogue.emit(Op.CONV, low.float_of(x), filters, (1, 1, 1, 1, 0, 0, 0, 0, 1))


def _rows(low: Lowering, held: Held, node: ir.Node) -> Held:
    """An input of a linear layer: its last axis along the tensor's channels, or flattened maps."""
    if held.form == "flat":
        return held
    if not 2 <= len(held.shape) <= 4:
        raise refusal(node, f"its input has {len(held.shape)} axes", "reshape it to (N, C)")
    return low.plain(held)


def _flat_kernel(matrix: Array, held: Held) -> Array:
    """Weights (O, K) as a kernel over the tensor: 1×1, or H×W where its rows are flattened maps."""
    if held.form != "flat":
        return matrix[:, :, None, None]
    _, h, w, c = spatial_dims(held.source)
    return matrix.reshape(len(matrix), c, h, w)


def _set_bias(epilogue: Epilogue, bias: Array | None, held: Held) -> None:
    if bias is not None and bias.any():
        epilogue.bias = held.constant(bias.reshape(-1, *[1] * (len(held.shape) - 2))).astype(np.float64)


def _signs_in(node: ir.Node) -> ir.Value:
    """A binary layer's input, which must be ±1 by construction.

    Raises:
        NotDeployableError: it isn't.
    """
    value = operand(node, 0)
    stack, seen = [value], set[ir.Node]()
    while stack:
        producer = stack.pop().producer()
        if producer is None or not (is_binarize(producer) or producer.op_type in BETWEEN):
            what = "the model's input" if producer is None else producer.op_type
            raise refusal(
                node, f"its input comes from {what}, not from a sign", "keep the sign in front of it"
            )
        if is_binarize(producer) or producer in seen:
            continue
        seen.add(producer)
        data = producer.inputs if producer.op_type == "Concat" else producer.inputs[:1]
        stack += [each for each in data if each is not None]
    return value


def _image_kernel(weight: Array) -> Array:
    """(O, C/groups, K) as (O, C/groups, 1, K)."""
    return weight[:, :, None, :] if weight.ndim == 3 else weight


def _two(values: Sequence[T], missing: T) -> tuple[T, T]:
    """One entry per spatial axis as (for H, for W)."""
    return (missing, values[0]) if len(values) == 1 else (values[0], values[1])
