"""Binary layers as BinConv2D: what it gives is the number of mismatching bits, what it pads is −1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, Step

from ..findings import number
from ..nodes import operand, refusal, shape_of
from .bits import Bits, bits_of
from .dab import Kind
from .holding import Blob, Dot, Doubles, Held, Signs
from .limits import direct_kernel
from .lowering import Lowering
from .packing import pack

#: What padded values may be multiples of, for thresholds between two sums to be exact.
_UNITS = (1.0, 0.5, 0.25, 0.125)


def step(low: Lowering, node: ir.Node) -> None:
    """Binarize: nothing runs, the binary layer takes the signs itself."""
    source = operand(node, 0)
    if source in low.signs:
        raise refusal(node, "it binarizes what is ±1 already")
    low.get(source)
    found = Step.of(node)
    parts = []
    for index, what in ((1, "threshold"), (2, "direction")):
        array = node.inputs[index].const_value.numpy()  # type: ignore[union-attr]
        one, _ = low.per_channel(array, source)
        if one is None:
            raise refusal(node, f"its {what} varies within a channel")
        parts.append(one)
    low.signs[node.outputs[0]] = Signs(source, parts[0], parts[1], round(found.at_threshold))


def conv(low: Lowering, node: ir.Node) -> None:
    """BinaryConv."""
    layer = BinaryLayer(node)
    if layer.signs.ndim != 4:
        raise refusal(node, f"it is {layer.signs.ndim - 2}-D", "use a 2-D convolution")
    if layer.group != 1 or set(layer.dilations) != {1}:
        raise refusal(node, "daBNN has neither groups nor dilation")
    sides = {side for pair in layer.pads for side in pair}
    if len(sides) > 1 or len(set(layer.strides)) > 1:
        raise refusal(node, "its padding or its stride is not the same on all sides")
    _layer(low, layer, layer.signs.astype(np.float64), layer.strides[0], sides.pop())


def linear(low: Lowering, node: ir.Node) -> None:
    """BinaryLinear: a kernel over the whole map."""
    layer = BinaryLayer(node)
    if len(shape_of(node.outputs[0])) != 2:
        raise refusal(node, "it is not over (N, C)", "reshape so that the layer sees (N, C)")
    height, width, channels = low.place(_signs_in(low, node))
    _layer(low, layer, layer.signs.astype(np.float64).reshape(-1, channels, height, width), 1, 0)


def _signs_in(low: Lowering, node: ir.Node) -> ir.Value:
    value = operand(node, 0)
    if value not in low.signs:
        raise refusal(node, "its input does not come from a sign", "keep the sign in front of it")
    return value


def _layer(low: Lowering, layer: BinaryLayer, signs: Doubles, stride: int, pad: int) -> None:
    node = layer.node
    filters, _, kernel, other = signs.shape
    if kernel != other:
        raise refusal(node, f"its kernel is {kernel}×{other}; daBNN is right for square kernels only")
    bits = bits_of(low, _signs_in(low, node), layer.pad_value)
    how = [*bits.how]
    weights = signs * bits.reach[None, :, None, None]
    height, width, _ = bits.blob.shape
    after = ((height + 2 * pad - kernel) // stride + 1, (width + 2 * pad - kernel) // stride + 1)
    border = None
    if pad:
        value = layer.pad_value or 0.0
        taps = (signs * (bits.reach[None, :, None, None] + value)).sum(axis=1)
        border = outside(taps, (height, width), after, stride, pad)
        how.append(_pad_form(value, border, bits))
    blob, weights, times, widened = _widened(low, layer, bits.blob, weights, after)
    how += widened
    multiplier = layer.multiplier.reshape(filters, -1)
    if (multiplier != multiplier[:, :1]).any():
        raise refusal(node, "its scaling factor varies over the map", "train with a factor a channel")
    bias = layer.bias.reshape(filters, -1)
    bias = bias[:, 0] if (bias == bias[:, :1]).all() else bias.reshape(filters, *after).transpose(1, 2, 0)
    words = low.bits(f"{layer.name}.bits", _kernel(weights).shape, pack(_kernel(weights)))
    counts = low.fresh(
        Kind.BIN_CONV,
        f"{layer.name}.mismatches",
        [blob.name],
        (*after, len(weights)),
        [words],
        stride=stride,
        pad=pad,
    )
    depth = signs[0].size
    scale, shift = np.full(filters, -2.0 / times), np.full(filters, float(depth))
    unit = next((u for u in _UNITS if (layer.pad_value or 0.0) % u == 0), None)
    dot = Dot(multiplier[:, 0].copy(), bias.astype(np.float32), depth, unit)
    low.put(node.outputs[0], Held(counts, scale, shift, border, dot))
    low.forms[layer.name] = ", ".join(how) or "no padding"
    low.binary.append(layer.name)


def _kernel(weights: Doubles) -> Doubles:
    return weights.transpose(0, 2, 3, 1)


def _pad_form(value: float, border: Doubles | None, bits: Bits) -> str:
    what = f"padding {number(value)}"
    if border is not None:
        return f"{what} by a border constant"
    return f"{what} by negation" if (bits.reach < 0).any() else f"{what} natively"


def outside(
    taps: Doubles, before: tuple[int, int], after: tuple[int, int], stride: int, pad: int
) -> Doubles | None:
    """The sum of the taps (O, KH, KW) that see the padding, (Ho, Wo, O); None where it is nothing everywhere."""
    total = np.zeros((*after, len(taps)))
    for kh in range(taps.shape[1]):
        for kw in range(taps.shape[2]):
            rows, columns = (
                _beyond(np.arange(count) * stride + offset - pad, size)
                for count, offset, size in ((after[0], kh, before[0]), (after[1], kw, before[1]))
            )
            seen = rows[:, None] | columns[None, :]
            total += seen[:, :, None] * taps[:, kh, kw]
    return total if total.any() else None


def _beyond(places: npt.NDArray[np.integer[Any]], size: int) -> npt.NDArray[np.bool_]:
    return np.asarray((places < 0) | (places >= size))


def _widened(
    low: Lowering, layer: BinaryLayer, blob: Blob, weights: Doubles, after: tuple[int, int]
) -> tuple[Blob, Doubles, int, list[str]]:
    """Channels that the direct kernel takes: inputs twice (each mismatch counts twice), dummy filters."""
    filters, channels, kernel, _ = weights.shape
    how, times = [], 1
    direct = direct_kernel(kernel, channels)
    if direct is not None:
        outputs = after[0] * after[1]
        odd = (direct.even_width and blob.shape[1] % 2) or (direct.even_outputs and outputs % 2)
        if odd or (direct.max_outputs is not None and outputs > direct.max_outputs):
            shape = (*blob.shape[:2], 2 * channels)
            blob = low.fresh(Kind.CONCAT, f"{layer.name}.twice", [blob.name, blob.name], shape)
            weights, times = np.concatenate([weights, weights], axis=1), 2
            direct = direct_kernel(kernel, 2 * channels)
            how.append(f"its {channels} channels twice")
    if direct is not None and filters % direct.out_channel_multiple:
        dummies = -filters % direct.out_channel_multiple
        weights = np.concatenate([weights, np.full((dummies, *weights.shape[1:]), -1.0)])
        how.append(f"{dummies} dummy filters")
    return blob, weights, times, how
