"""Binary layers: the step, the convolution as LCE recognises it, the multiplier and bias that it folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, Step, constant, is_binarize

from ..nodes import label, name_of, operand, refusal, shape_of
from .geometry import axes_of, plan_of
from .graphdef import FloatArray
from .layout import Held
from .lowering import Lowering
from .padding import Plan, correction
from .windows import channel_groups, kernel_4d, kernel_nhwc, prepared, selected, strides_of, two_sizes

_TINY = np.float32(np.finfo(np.float32).tiny)
_HUGE = np.float32(np.finfo(np.float32).max)
#: LCE packs channels into words of this many bits; a grouped convolution's groups must fill whole words.
WORD = 32


def affine_step(threshold: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Factor d (±1) and addend c: ``step(d*x + c)`` is ``direction * (x >= threshold ? 1 : -1)``.

    Where the direction is −1, +1 belongs to x < threshold, that is to x at most the next lower float. LCE
    flushes subnormal numbers to zero, so an addend between 0 and the smallest normal number is moved to
    the one of both that keeps x = 0 on its side. An infinite threshold becomes the largest finite number.

    Args:
        threshold, direction: float32 of one shape.
    """
    t = np.clip(threshold.astype(np.float32), -_HUGE, _HUGE)
    down = direction < 0
    below = np.nextafter(t, -_HUGE, dtype=np.float32)
    bound = np.where(down, np.clip(below, -_HUGE, _HUGE), t)
    # x >= bound (up) with 0 < bound < tiny excludes x = 0; x <= bound (down) with -tiny < bound < 0 does too.
    positive, negative = (bound > 0) & (bound < _TINY), (bound < 0) & (bound > -_TINY)
    bound = np.where(positive, np.where(down, np.float32(0), _TINY), bound)
    bound = np.where(negative, np.where(down, -_TINY, np.float32(0)), bound)
    # -0.0 would become -0.0 + x, which is harmless, but it is not zero bit by bit.
    addend = np.where(down, bound, -bound).astype(np.float32) + np.float32(0)
    return np.where(down, np.float32(-1), np.float32(1)).astype(np.float32), addend


def integer_step(
    multiplier: FloatArray, bias: FloatArray, reach: int, step: Step
) -> tuple[FloatArray, FloatArray]:
    """Factor and addend on the integer dot product, so that their step is the step of ``m*dot + b``.

    LCE folds an addend behind a convolution into its bias, which rounds differently and may turn a tie. So
    the threshold is looked up among the integers that the dot product can take, and put between two of them.

    Args:
        multiplier, bias: (O,).
        reach: largest absolute value of the dot product.
        step: of the next layer; threshold and direction (O,) or (1,).

    Returns:
        (O,) each: ±1, and a half-integer.
    """
    channels = multiplier.size
    dots = np.arange(-reach, reach + 1, dtype=np.float32)
    values = multiplier[:, None] * dots + bias[:, None]
    above = values >= np.broadcast_to(step.threshold, (channels,))[:, None]
    high = above == (np.broadcast_to(step.direction, (channels,)) > 0)[:, None]
    rising = high[:, -1] | ~high[:, 0]
    count = high.sum(1).astype(np.float32)  # monotone in dot: the count says where it turns
    factor = np.where(rising, np.float32(1), np.float32(-1))
    return factor, (count - np.float32(reach) - np.float32(0.5)).astype(np.float32)


def binarize(low: Lowering, node: ir.Node) -> None:
    """Binarize: the affine map whose step it is, emitted; the step itself stays pending."""
    value, out = operand(node, 0), node.outputs[0]
    held = low.raw(value)
    if held.pending:  # decided together with the convolution before it, or the sign of a sign
        low.put(out, _again(low, node, held))
        return
    threshold, direction = np.broadcast_arrays(constant(node, 1), constant(node, 2))
    factor, addend = affine_step(threshold.astype(np.float32), direction.astype(np.float32))
    name, x = name_of(out), held.node
    if (factor != 1).any():
        x = low.builder.binary("Mul", x, low.layout.constant(held, factor), f"{name}/turned")
    if (addend != 0).any():
        x = low.builder.binary("AddV2", x, low.layout.constant(held, addend), f"{name}/shifted")
    low.put(out, Held(x, held.shape, held.form, held.source, pending=True))


def _again(low: Lowering, node: ir.Node, held: Held) -> Held:
    """A Binarize of what is a step already."""
    producer = operand(node, 0).producer()
    if producer is not None and decided_by_consumer(producer) is node:
        return held
    step = Step.of(node)
    if (step.direction == 1).all() and (step.threshold > -1).all() and (step.threshold <= 1).all():
        return held
    raise refusal(node, "it binarizes ±1 values to something else than themselves")


def decided_by_consumer(node: ir.Node) -> ir.Node | None:
    """The Binarize that alone consumes a binary convolution whose sums are integers, else None."""
    layer = BinaryLayer(node) if node.op_type in ("BinaryConv", "BinaryLinear") else None
    value = node.outputs[0]
    uses = list(value.uses())
    if layer is None or len(uses) != 1 or value.is_graph_output() or not is_binarize(uses[0].node):
        return None
    if layer.pad_value not in (None, 0.0, 1.0, -1.0) or uses[0].idx != 0:
        return None
    channels = layer.signs.shape[0]
    step = Step.of(uses[0].node)
    sizes = {step.threshold.size, step.direction.size}
    flat = all(_per_channel(a, channels) is not None for a in (layer.multiplier, layer.bias))
    return uses[0].node if flat and sizes <= {1, channels} else None


@dataclass(frozen=True)
class _Affine:
    """What follows the integer dot product: (O,) factor, and (O,) or (O, H, W) addend."""

    factor: FloatArray
    addend: FloatArray
    pending: bool


def _per_channel(array: npt.NDArray[np.float32], channels: int) -> FloatArray | None:
    """A multiplier or bias as (O,), None where it varies over H or W."""
    flat = np.broadcast_to(array, (channels, *array.shape[1:])).reshape(channels, -1)
    return flat[:, 0].copy() if (flat == flat[:, :1]).all() else None


def _affine(layer: BinaryLayer) -> _Affine:
    """Multiplier and bias, or the next layer's step on integers.

    Raises:
        NotDeployableError: the multiplier varies over H or W.
    """
    node, signs = layer.node, layer.signs
    channels = signs.shape[0]
    factor, addend = (_per_channel(a, channels) for a in (layer.multiplier, layer.bias))
    if factor is None:
        raise refusal(
            node,
            f"the scaling factor of {layer.name} varies over height or width, and LCE has one per channel",
            "use an algorithm with channel-wise scaling factors",
        )
    consumer = decided_by_consumer(node)
    if consumer is not None and addend is not None:
        factor, addend = integer_step(factor, addend, int(signs[0].size), Step.of(consumer))
        return _Affine(factor, addend, pending=True)
    return _Affine(factor, layer.bias if addend is None else addend, pending=False)


def _scaled(low: Lowering, y: str, factor: FloatArray, addend: FloatArray, name: str) -> str:
    """Multiplier and bias in the form that LCE folds into its convolution."""
    if (factor != 1).any():
        y = low.builder.binary("Mul", y, factor, f"{name}/scaled")
    return low.builder.binary("AddV2", y, addend, f"{name}/biased") if (addend != 0).any() else y


def binary_conv(low: Lowering, node: ir.Node) -> None:
    """BinaryConv in the form that its padding allows; see ``padding.plan_binary``."""
    layer, out = BinaryLayer(node), node.outputs[0]
    signs = kernel_4d(layer.signs)
    plan, affine = plan_of(node, low.layout.rotated), _affine(layer)
    held = low.spatial(_stepped(low, node))
    name = name_of(out)
    dilations = two_sizes(layer.dilations)
    split = layer.group > 1 and signs.shape[1] % WORD != 0
    groups = layer.group if split else 1
    mapped = plan.form == "map" or affine.addend.ndim > 1
    addend = np.zeros(signs.shape[0], np.float32) if mapped else affine.addend
    parts, dots = [], []
    inputs = channel_groups(low, held.node, groups, name) if split else [held.node]
    for i, (x, w, m, b) in enumerate(
        zip(
            inputs,
            np.split(signs, groups),
            np.split(affine.factor, groups),
            np.split(addend, groups),
            strict=True,
        )
    ):
        label_ = f"{name}/{i}" if split else name
        x = _bordered(low, x, plan, layer.pad_value, label_)
        kernel = kernel_nhwc(low, w)
        y = low.builder.conv(x, kernel, strides_of(plan), dilations, plan.padding, f"{label_}/dot")
        dots.append(y)
        parts.append(_scaled(low, y, m, b, label_))
    y = selected(low, low.builder.concat(parts, 3, f"{name}/joined"), plan, name)
    if mapped:
        y = _mapped(low, y, node, plan, affine, name)
    low.forms[layer.name] = plan.form + (f", split in {groups}" if split else "")
    low.binary[layer.name] = dots
    low.put(out, Held(y, shape_of(out), "spatial", (), affine.pending))


def _stepped(low: Lowering, node: ir.Node) -> Held:
    """The input of a binary layer, whose step is pending.

    Raises:
        NotDeployableError: it is not one of ±1 by construction.
    """
    held = low.raw(operand(node, 0))
    if not held.pending:
        raise refusal(
            node,
            f"its input {name_of(operand(node, 0))} is not certain to be +1 or -1",
            f"binarize directly before {label(node)}",
        )
    return held


def _bordered(low: Lowering, x: str, plan: Plan, pad_value: float | None, name: str) -> str:
    """The binarized input with its border.

    The real tensor is padded, before the step: with anything >= 0 for +1 (the map corrects it where it is
    something else), with −1 for −1. One-padding after the step is what LCE folds into its convolution.
    """
    if plan.form == "one-pad":
        return prepared(low, low.step(x), plan, 1.0, name)
    value = -1.0 if pad_value == -1 and plan.form == "pad" else 0.0
    return low.step(prepared(low, x, plan, value, name))


def _mapped(low: Lowering, y: str, node: ir.Node, plan: Plan, affine: _Affine, name: str) -> str:
    """Add what differs from place to place: the border's correction, a spatial bias.

    Behind a reshape: LCE folds a 4-D addend into the bias, and the artefact then can't be executed.
    """
    g, layer = low.builder, BinaryLayer(node)
    n, h, w, c = g.shapes[y]
    addend = affine.addend.astype(np.float64)
    addend = addend[:, None, None] if addend.ndim == 1 else addend.reshape(c, *addend.shape[1:])
    if addend.ndim == 2:  # (O, L) of a 1-D convolution
        addend = addend[:, None, :]
    if plan.form == "map":
        fixed = correction(kernel_4d(layer.signs), axes_of(node), layer.pad_value or 0.0)
        addend = affine.factor.astype(np.float64)[:, None, None] * fixed + addend
    chart = np.broadcast_to(addend, (c, h, w))
    if low.layout.rotated:
        chart = chart[:, ::-1, ::-1]
    flat = np.ascontiguousarray(chart.transpose(1, 2, 0), np.float32).ravel()
    row = g.reshape(y, (n, flat.size), f"{name}/row")
    fixed_row = g.binary("AddV2", row, g.const(flat, f"{name}/map"), f"{name}/fixed")
    return g.reshape(fixed_row, (n, h, w, c), name)


def binary_linear(low: Lowering, node: ir.Node) -> None:
    """BinaryLinear as a 1x1 convolution over (1, 1, L, C): LCE has no binary dense operator."""
    layer, out = BinaryLayer(node), node.outputs[0]
    signs, affine = layer.signs, _affine(layer)
    held, g, name = _stepped(low, node), low.builder, name_of(out)
    if held.form == "flat":
        signs = signs[:, low.layout.columns(held)]
    else:
        held = low.plain(held)
    outputs, inputs = signs.shape
    rows = int(np.prod(held.shape[:-1]))
    x = low.step(g.reshape(held.node, (1, 1, rows, inputs), f"{name}/row"))
    weight = np.ascontiguousarray(signs.T.reshape(1, 1, inputs, outputs), np.float32)
    y = g.conv(x, weight, (1, 1), (1, 1), "VALID", f"{name}/dot")
    low.binary[layer.name] = [y]
    y = _scaled(low, y, affine.factor, affine.addend, name)
    low.forms[layer.name] = "1x1"
    shape = shape_of(out)
    low.put(out, Held(g.reshape(y, shape, name), shape, "plain", (), affine.pending))
