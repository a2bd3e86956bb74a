"""Float convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..nodes import constant, image, integer, ints, name_of, operand, optional_constant, refusal, shape_of
from .geometry import axes_of, counts_padding, kernel_shape, padded_before, plan_of
from .graphdef import FloatArray
from .layout import Held
from .lowering import Lowering
from .padding import Axis, Plan

#: What a maximum ignores: below every finite float32.
LOWEST = float(np.finfo(np.float32).min)


def two_sizes(values: Sequence[int], default: int = 1) -> tuple[int, int]:
    """A per-axis attribute as (height, width)."""
    return (values[0], values[1]) if len(values) == 2 else (default, values[0])


def kernel_4d(weight: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """(O, C/group, k) as (O, C/group, 1, k)."""
    return weight[:, :, None, :] if weight.ndim == 3 else weight


def kernel_nhwc(low: Lowering, weight: npt.NDArray[np.generic]) -> FloatArray:
    """(O, C/group, kh, kw) as TensorFlow's (kh, kw, C/group, O), flipped where the network is rotated."""
    turned = kernel_4d(weight).astype(np.float32).transpose(2, 3, 1, 0)
    return np.ascontiguousarray(turned[::-1, ::-1] if low.layout.rotated else turned)


def prepared(low: Lowering, x: str, plan: Plan, value: float, name: str) -> str:
    """The input of a windowed operator sliced and padded as its plan says.

    Args:
        low: the lowering.
        x: an NHWC node.
        plan: of the operator.
        value: what is padded.
        name: of the operator.
    """
    g = low.builder
    n, _, _, c = g.shapes[x]
    h, w = plan.axes
    x = g.slice(x, (0, h.begin, w.begin, 0), (n, h.end, w.end, c), (1, h.every, w.every, 1), f"{name}/cut")
    return g.pad(x, ((0, 0), h.pads, w.pads, (0, 0)), value, f"{name}/pad")


def selected(low: Lowering, y: str, plan: Plan, name: str) -> str:
    """The wanted outputs of a windowed operator."""
    g = low.builder
    n, _, _, c = g.shapes[y]
    begin = [axis.first for axis in plan.axes]
    end = [a.first + (out - 1) * a.step + 1 for a, out in zip(plan.axes, plan.out, strict=True)]
    steps = [axis.step for axis in plan.axes]
    return g.slice(y, (0, *begin, 0), (n, *end, c), (1, *steps, 1), f"{name}/crop")


def strides_of(plan: Plan) -> tuple[int, int]:
    """The operator's strides."""
    return plan.axes[0].stride, plan.axes[1].stride


def conv(low: Lowering, node: ir.Node) -> None:
    """Conv in one or two dimensions: ordinary, grouped, depthwise, dilated."""
    shape = image(node)
    g, name, group = low.builder, name_of(node.outputs[0]), integer(node, "group", 1)
    weight = constant(node, 1)
    plan = plan_of(node, low.layout.rotated)
    dilations = two_sizes(ints(node, "dilations", (1,) * (len(shape) - 2)))
    x = prepared(low, low.spatial(low.get(padded_before(node)[0])).node, plan, 0.0, name)
    bias = optional_constant(node, 2)
    dot = f"{name}/dot" if bias is not None else name
    strides = strides_of(plan)
    if group == shape[1] and group > 1 and _depthwise_strides(plan) is not None:
        y = _depthwise(low, x, weight, plan, dilations, dot)
    elif group != shape[1] or group == 1:
        y = g.conv(x, kernel_nhwc(low, weight), strides, dilations, plan.padding, dot)
    else:
        parts = [
            g.conv(part, kernel_nhwc(low, w), strides, dilations, plan.padding, f"{dot}/{i}")
            for i, (part, w) in enumerate(
                zip(channel_groups(low, x, group, name), np.split(weight, group), strict=True)
            )
        ]
        y = g.concat(parts, 3, dot)
    if bias is not None:
        y = g.binary("AddV2", y, bias.astype(np.float32), name)
    low.put(node.outputs[0], Held(y, shape_of(node.outputs[0]), "spatial"))


def channel_groups(low: Lowering, x: str, group: int, name: str) -> list[str]:
    """The groups of channels of an NHWC node."""
    g = low.builder
    *rest, c = g.shapes[x]
    step = c // group
    ones = (1,) * (len(rest) + 1)
    return [
        g.slice(x, (0,) * len(rest) + (i * step,), (*rest, (i + 1) * step), ones, f"{name}/group{i}")
        for i in range(group)
    ]


def _depthwise_strides(plan: Plan) -> tuple[int, int] | None:
    """Equal strides, which TensorFlow's depthwise convolution wants; an axis of one window takes any."""
    (h, w), (out_h, out_w) = strides_of(plan), plan.out
    if h == w:
        return (h, w)
    if out_h == 1 and plan.axes[0].stride == 1:
        return (w, w)
    return (h, h) if out_w == 1 and plan.axes[1].stride == 1 else None


def _depthwise(
    low: Lowering,
    x: str,
    weight: npt.NDArray[np.generic],
    plan: Plan,
    dilations: tuple[int, int],
    name: str,
) -> str:
    """A convolution of every channel by itself."""
    channels = low.builder.shapes[x][3]
    kernel = kernel_nhwc(low, weight)  # (kh, kw, 1, C * multiplier)
    kernel = kernel.reshape(*kernel.shape[:2], channels, -1)
    strides = _depthwise_strides(plan)
    assert strides is not None
    return low.builder.conv(x, kernel, strides, dilations, plan.padding, name, depthwise=True)


def pool(low: Lowering, node: ir.Node) -> None:
    """MaxPool and AveragePool; the step of a binarized input moves behind a MaxPool, as it is monotone."""
    shape = image(node)
    if any(d != 1 for d in ints(node, "dilations", (1,) * (len(shape) - 2))):
        raise refusal(node, "it is dilated")
    if len(node.outputs) > 1 and node.outputs[1].uses():
        raise refusal(node, "its indices are used")
    name = name_of(node.outputs[0])
    plan = plan_of(node, low.layout.rotated)
    kernel = two_sizes(kernel_shape(node))
    if node.op_type == "MaxPool":
        held = low.spatial(low.raw(operand(node, 0)))
        x = prepared(low, held.node, plan, LOWEST, name)
        y = low.builder.pool("MaxPool", x, kernel, strides_of(plan), plan.padding, name)
        low.put(node.outputs[0], held.moved(y, shape_of(node.outputs[0])))
        return
    held = low.spatial(low.get(operand(node, 0)))
    x = prepared(low, held.node, plan, 0.0, name)
    share = None if plan.padding == "SAME" else _share(low, node, axes_of(node), kernel)
    inner = name if share is None else f"{name}/sum"
    y = low.builder.pool("AvgPool", x, kernel, strides_of(plan), plan.padding, inner)
    if share is not None:
        y = low.builder.binary("Mul", y, share[:, :, None], name)
    low.put(node.outputs[0], held.moved(y, shape_of(node.outputs[0])))


def _share(
    low: Lowering, node: ir.Node, axes: tuple[Axis, Axis], kernel: tuple[int, int]
) -> FloatArray | None:
    """(Ho, Wo): by what to multiply the mean over whole windows so that only counted taps divide.

    Counted are the taps inside the image, or with count_include_pad those inside the padded image, which is
    smaller than what is read only where ceil_mode adds a window. None where all are counted.
    """
    declared = ints(node, "pads", ())
    counts = []
    for index, (a, k) in enumerate(zip(axes, kernel, strict=True)):
        rank = len(declared) // 2
        place = index - (2 - rank)
        counted = a
        if counts_padding(node) and declared and place >= 0:
            before, after = declared[place], declared[rank + place]
            counted = Axis(a.size + before + after, a.span, a.stride, 0, a.out)
        counts.append((~counted.outside(k)).sum(1))
    share = kernel[0] * kernel[1] / np.outer(counts[0], counts[1])
    if (share == 1).all():
        return None
    return (share[::-1, ::-1] if low.layout.rotated else share).astype(np.float32)


def global_pool(low: Lowering, node: ir.Node) -> None:
    """GlobalAveragePool and GlobalMaxPool."""
    image(node)
    maximum = node.op_type == "GlobalMaxPool"
    value = operand(node, 0)
    held = low.spatial(low.raw(value) if maximum else low.get(value))
    y = low.builder.reduce("Max" if maximum else "Mean", held.node, (1, 2), True, name_of(node.outputs[0]))
    low.put(node.outputs[0], held.moved(y, shape_of(node.outputs[0])))
