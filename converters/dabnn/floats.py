"""Float layers: convolutions and linear layers as FpConv2D, pools, concatenations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..nodes import (
    Array,
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
from .bits import bits_of
from .dab import Kind
from .holding import Blob, Doubles, Held, Signs
from .lowering import Lowering
from .wishes import UPRIGHT, Wish, wish

_SQUARE = "daBNN is right for square kernels, strides and paddings only"


def conv(low: Lowering, node: ir.Node) -> None:
    """Conv with constant weights."""
    weight = constant_of(operand(node, 1))
    if weight is None or weight.ndim != 4 or integer(node, "group", 1) != 1:
        raise refusal(node, "its weights are computed, not 2-D or grouped")
    if any(each != 1 for each in ints(node, "dilations", (1, 1))):
        raise refusal(node, "it is dilated", "train with dilation 1")
    stride, pad = window(node)
    _convolution(low, node, weight.astype(np.float64), optional_constant(node, 2), stride, pad)


def window(node: ir.Node) -> tuple[int, int]:
    """Stride and padding, the same for both axes and all sides.

    Raises:
        NotDeployableError: they are not.
    """
    strides, pads = set(ints(node, "strides", (1, 1))), set(ints(node, "pads", (0,) * 4))
    if len(strides) > 1 or len(pads) > 1 or text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise refusal(node, _SQUARE, "the same stride for both axes and the same padding on all sides")
    return strides.pop(), pads.pop()


def gemm(low: Lowering, node: ir.Node) -> None:
    """Gemm and MatMul with constant weights: a kernel over the whole map."""
    weight = constant_of(operand(node, 1))
    if weight is None or weight.ndim != 2 or integer(node, "transA", 0):
        raise refusal(node, "its weights are computed, or its input is transposed")
    if len(shape_of(node.outputs[0])) != 2:
        raise refusal(node, "it is not over (N, C)", "reshape so that the layer sees (N, C)")
    matrix = weight if integer(node, "transB", 0) else weight.T
    bias = optional_constant(node, 2)
    low.get(operand(node, 0))
    height, width, channels = low.place(operand(node, 0))
    kernel = number(node, "alpha", 1.0) * matrix.astype(np.float64).reshape(-1, channels, height, width)
    beta = number(node, "beta", 1.0)
    _convolution(low, node, kernel, None if bias is None else beta * bias.astype(np.float64), 1, 0)


def _convolution(
    low: Lowering,
    node: ir.Node,
    weight: Doubles,
    bias: Array | None,
    stride: int,
    pad: int,
) -> None:
    value, out = operand(node, 0), node.outputs[0]
    held = low.get(value).flattened()
    if not held.is_settled:
        held = low.rehold(value, 1.0, 0.0)
    if pad and held.shift.any():  # what is padded is 0 of the value, not of the blob
        held = low.rehold(value, np.where(held.scale < 0, -1.0, 1.0), 0.0)
    filters, _, kernel, other = weight.shape
    wanted = wish(low, out, filters)
    addend = (
        np.zeros(filters) if bias is None else np.broadcast_to(bias.astype(np.float64).ravel(), (filters,))
    )
    addend = (addend + np.einsum("ocij,c->o", weight, held.shift) - wanted.shift) / wanted.scale
    weight = weight * held.scale[None, :, None, None] / wanted.scale[:, None, None, None]
    height, width, _ = held.blob.shape
    after = [(size + 2 * pad - kernel) // stride + 1 for size in (height, width)]
    if kernel != other:
        raise refusal(node, f"its kernel is {kernel}×{other}; {_SQUARE}")
    hint = name_of(out)
    tensors = [low.tensor(f"{hint}.weight", weight.transpose(0, 2, 3, 1))]
    if addend.any():
        tensors.append(low.tensor(f"{hint}.bias", addend))
    blob = low.fresh(
        Kind.FP_CONV, hint, [held.blob.name], (after[0], after[1], filters), tensors, stride=stride, pad=pad
    )
    low.put(out, Held(blob, wanted.scale, wanted.shift))


def max_pool(low: Lowering, node: ir.Node) -> None:
    """MaxPool, also of signs: the largest sign is the sign of the largest."""
    if len(node.outputs) > 1 or any(each != 1 for each in ints(node, "dilations", (1, 1))):
        raise refusal(node, "daBNN has neither dilated pools nor the places of maxima")
    value, out = operand(node, 0), node.outputs[0]
    if value in low.signs:
        bits = bits_of(low, value, UPRIGHT)
        if (bits.reach != 1).any():
            raise AssertionError("signs are maximized on the upright blob")
        blob = _pooled(low, node, bits.blob, Kind.MAX_POOL)
        channels = blob.shape[2]
        low.put(out, Held(blob, np.ones(channels), np.zeros(channels)))
        low.signs[out] = Signs(out, np.zeros(channels), np.ones(channels), -1)
        return
    held = low.get(value).flattened()
    if not held.is_settled or (held.scale <= 0).any():
        wanted = wish(low, out, held.channels)
        shift = wanted.shift if (wanted.scale == 1).all() else np.zeros(held.channels)
        held = low.rehold(value, 1.0, shift)
    blob = _pooled(low, node, held.blob, Kind.MAX_POOL)
    low.put(out, Held(blob, held.scale, held.shift))


def average_pool(low: Lowering, node: ir.Node) -> None:
    """AveragePool."""
    value, out = operand(node, 0), node.outputs[0]
    held = low.get(value).flattened()
    if not held.is_settled:
        held = _settled(low, value, out)
    stride, pad = window(node)
    if pad:
        counts = ints(node, "kernel_shape", ()) == (2, 2) and stride == 2 and held.channels % 4 == 0
        if counts != bool(integer(node, "count_include_pad", 0)):
            raise refusal(
                node, "daBNN counts padding only in 2×2 averages at stride 2", "average without padding"
            )
        if counts and held.shift.any():
            held = low.rehold(value, np.where(held.scale < 0, -1.0, 1.0), 0.0)
    low.put(out, Held(_pooled(low, node, held.blob, Kind.AVE_POOL), held.scale, held.shift))


def _pooled(low: Lowering, node: ir.Node, blob: Blob, kind: Kind) -> Blob:
    kernel = ints(node, "kernel_shape", ())
    stride, pad = window(node)
    if len(kernel) != 2 or kernel[0] != kernel[1]:
        raise refusal(node, f"its kernel is {kernel}; {_SQUARE}")
    height, width, channels = blob.shape
    size = [(axis + 2 * pad - kernel[0]) // stride + 1 for axis in (height, width)]
    if (size[0], size[1]) != shape_of(node.outputs[0])[2:]:
        raise refusal(node, "it rounds its output size up (ceil_mode)", "use ceil_mode=False")
    shape = (size[0], size[1], channels)
    return low.fresh(
        kind, name_of(node.outputs[0]), [blob.name], shape, kernel=kernel[0], stride=stride, pad=pad
    )


def _settled(low: Lowering, value: ir.Value, out: ir.Value) -> Held:
    """A value with nothing but a scale and a shift between it and its blob, as what reads ``out`` wants it."""
    wanted: Wish = wish(low, out, low.held[value].channels)
    return low.rehold(value, wanted.scale, wanted.shift)


def global_pool(low: Lowering, node: ir.Node) -> None:
    """GlobalAveragePool, GlobalMaxPool and ReduceMean over height and width, with the real kernel at stride 1."""
    value, out = operand(node, 0), node.outputs[0]
    if node.op_type == "ReduceMean":
        axes = optional_constant(node, 1)
        rank = len(shape_of(value))
        if rank != 4 or axes is None or {int(axis) % rank for axis in axes.ravel()} != {2, 3}:
            raise refusal(node, "daBNN averages over height and width alone")
    held = low.get(value).flattened()
    kind = Kind.MAX_POOL if node.op_type == "GlobalMaxPool" else Kind.AVE_POOL
    if not held.is_settled:
        held = _settled(low, value, out)
    if kind == Kind.MAX_POOL and (held.scale <= 0).any():
        held = low.rehold(value, 1.0, 0.0)
    height, width, channels = held.blob.shape
    if height != width:
        raise refusal(node, f"its map is {height}×{width}; {_SQUARE}")
    blob = low.fresh(kind, name_of(out), [held.blob.name], (1, 1, channels), kernel=height)
    low.put(out, Held(blob, held.scale, held.shift))


def concat(low: Lowering, node: ir.Node) -> None:
    """Concat of two equal numbers of channels."""
    values = [operand(node, index) for index in range(len(node.inputs))]
    rank = len(shape_of(values[0]))
    if (
        len(values) != 2
        or integer(node, "axis", 0) % rank != 1
        or any(constant_of(v) is not None for v in values)
    ):
        raise refusal(node, "daBNN joins two activations along their channels")
    held = [low.get(value).flattened() for value in values]
    held = [
        each if each.is_settled else low.rehold(value, 1.0, 0.0)
        for each, value in zip(held, values, strict=True)
    ]
    a, b = held
    if a.blob.shape != b.blob.shape:
        raise refusal(node, "its inputs have unequal numbers of channels")
    height, width, channels = a.blob.shape
    blob = low.fresh(
        Kind.CONCAT, name_of(node.outputs[0]), [a.blob.name, b.blob.name], (height, width, 2 * channels)
    )
    scale, shift = np.concatenate([a.scale, b.scale]), np.concatenate([a.shift, b.shift])
    low.put(node.outputs[0], Held(blob, scale, shift))
