"""Rules about binary layers: what an engine demands of each, as pure functions of the fused graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, Step, is_binarize, is_binary_layer

from .findings import (
    Change,
    Context,
    Finding,
    Note,
    Reason,
    by,
    flattened_map,
    layer_reason,
    number,
    shape,
    size,
)
from .kernel_limits import depth_findings, kernel_findings, map_findings
from .sign_zero import zero_is_common

_BIT_WORD = 128  # daBNN pads each filter to whole 128-bit registers
_WORD = 64


def binary_findings(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    """Everything to say about one binary layer."""
    yield from _factor(layer, context)
    yield from _sign(layer, context)
    yield from _form(layer, context)
    if layer.is_conv:
        yield from _padding(layer, context)
        yield from kernel_findings(layer, context)
    else:
        yield from _linear(layer, context)
    if _varies(layer.bias) or _pad_how(layer, context) == "border-constant":
        yield from map_findings(layer, context)


def _varies(array: npt.NDArray[np.float32]) -> bool:
    """Whether a (O, H, W) factor or bias is more than one number a channel."""
    flat = array.reshape(array.shape[0], -1)
    return bool((flat != flat[:, :1]).any())


def _factor(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    takes = context.capabilities.factors.granularity
    if layer.scale == "input" and "input" not in takes:
        yield layer_reason(
            layer,
            code="runtime-factor",
            message=f"its scaling factor is computed at run time; {context.title} takes constants only",
            remedy="replace the run-time factor by a channel factor: train with DoReFa instead of XNOR",
        )
    elif (layer.scale == "spatial" or _varies(layer.multiplier)) and "spatial" not in takes:
        yield layer_reason(
            layer,
            code="spatial-factor",
            message=f"its scaling factor varies over height or width; {context.title} takes one a channel",
            remedy="train with a factor a channel: ReCU or DoReFa instead of XNOR++",
        )
    if _varies(layer.bias):
        yield Note(
            layer.node.name or "",
            layer.name,
            "spatial-bias",
            "its bias varies over height and width: kept as a constant map and one Add more",
        )


def source_steps(layer: BinaryLayer) -> tuple[list[ir.Node], list[ir.Node]]:
    """The Binarize nodes that a layer's bits come from, and the nodes between."""
    found: dict[ir.Node, None] = {}
    between: dict[ir.Node, None] = {}
    values = [layer.node.inputs[0]]
    while values:
        value = values.pop()
        producer = value.producer() if value is not None else None
        if producer is None or producer in between:
            continue
        if is_binarize(producer):
            found[producer] = None
        else:
            between[producer] = None
            values.extend(producer.inputs)
    return list(found), list(between)


def _sign(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    binarizes, between = source_steps(layer)
    takes = context.capabilities.binary.between_sign_and_layer
    for node in between:
        # An operator that isn't taken at all is reported as such by the operator's own rules.
        if node.op_type not in takes and node.op_type in context.capabilities.operators.taken:
            yield Reason(
                node=node.name or "",
                layer=layer.name,
                code="operator-between",
                message=f"{node.op_type} stands between the sign and the layer; {context.title} takes only "
                f"{', '.join(takes)} there",
                remedy=f"move the sign behind {node.op_type}",
            )
    for binarize in binarizes:
        step = Step.of(binarize)
        yield from _read_as_values(layer, binarize, between, context)
        yield from _shift_within_a_channel(layer, binarize, context)
        factors = context.capabilities.factors
        if step.mean_shift and factors.mean_shift_absorbed:
            yield Note(
                binarize.name or "",
                layer.name,
                "mean-shift-absorbed",
                f"{context.title} takes no mean shift by itself; the shift is left in the stream that the sign "
                "reads and taken back in the next bias (an Affine more where there is none)",
            )
        elif step.mean_shift and not factors.mean_shift:
            yield Reason(
                node=binarize.name or "",
                layer=layer.name,
                code="mean-shift",
                message=f"its sign has a learned shift a channel; {context.title} takes no mean shift",
                remedy="train with an unshifted sign (Bi-Real instead of ReActNet), or choose larq",
            )
        if step.at_threshold == 0:
            yield from _sign_of_zero(layer, binarize, context)


def _read_as_values(
    layer: BinaryLayer, binarize: ir.Node, between: list[ir.Node], context: Context
) -> Iterator[Finding]:
    """Signs that something else reads than binary layers and what leads to them."""
    binary = context.capabilities.binary
    if binary.signs_are_values:
        return
    signs = binarize.outputs[0]
    strangers = [
        user.op_type
        for user in signs.consumers()
        if not is_binary_layer(user)
        and user not in between
        and user.op_type not in binary.between_sign_and_layer
    ]
    if signs.is_graph_output() or strangers:
        what = f"{strangers[0]} reads" if strangers else "the model gives out"
        yield Reason(
            node=binarize.name or "",
            layer=layer.name,
            code="operator-between",
            message=f"{what} the signs themselves; {context.title} has them inside binary layers alone",
            remedy="let it read what is in front of the sign",
        )


def _shift_within_a_channel(layer: BinaryLayer, binarize: ir.Node, context: Context) -> Iterator[Finding]:
    """A threshold or direction a feature of a flattened map, where the map is not moved."""
    if not context.capabilities.operators.conditions.flatten_only:
        return
    source = flattened_map(binarize.inputs[0])
    if source is None:
        return
    channels, area = source[0], size(source[1:])
    for array in (Step.of(binarize).threshold, Step.of(binarize).direction):
        if array.size == channels * area and _varies(array.reshape(channels, area)):
            yield Reason(
                node=binarize.name or "",
                layer=layer.name,
                code="mean-shift",
                message=f"its sign's shift varies over the flattened map of {by(source[1:])}; "
                f"{context.title} takes one a channel",
                remedy="put the sign in front of the flattening",
            )


def _sign_of_zero(layer: BinaryLayer, binarize: ir.Node, context: Context) -> Iterator[Finding]:
    engine_value = float(context.capabilities.sign.at_zero)
    common = zero_is_common(binarize)
    node = binarize.name or ""
    if context.allowed.sign_zero == engine_value:
        where = common or "wherever it is met"
        yield Change(
            node, layer.name, "sign-zero", f"sign(0) becomes {number(engine_value)} instead of 0: {where}"
        )
    elif common is None:
        yield Note(
            node,
            layer.name,
            "sign-zero",
            f"the model's sign of exactly 0 is 0, a value that no bit can hold; {context.title} gives "
            f"{number(engine_value)}; verification on real data tells whether it ever happens",
        )
    else:
        yield Reason(
            node=node,
            layer=layer.name,
            code="sign-zero",
            message=f"the model's sign of exactly 0 is 0, a value that no bit can hold, and zeros are common "
            f"here: {common}",
            remedy="train with x >= 0 ? 1 : −1 instead of torch.sign, or put a batch-norm before the sign",
            allow=f"sign-zero={engine_value:+g}",
        )


def _form(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    """Spatial axes, groups and dilation."""
    binary = context.capabilities.binary
    if not layer.is_conv:
        return
    kernel = layer.signs.shape[2:]
    if len(kernel) not in binary.spatial_axes:
        yield layer_reason(
            layer,
            code="rank",
            message=f"is a {len(kernel)}-D convolution; {context.title} takes "
            + " and ".join(f"{axes}-D" for axes in binary.spatial_axes),
            remedy="use Conv2d" if len(kernel) == 1 else "this model can't run there",
        )
    if layer.group > 1:
        yield from _groups(layer, context)
    if not binary.dilation and any(dilation > 1 for dilation in layer.dilations):
        yield layer_reason(
            layer,
            code="dilation",
            message=f"has dilation {by(layer.dilations)}; {context.title} computes dilation 1 only",
            remedy="train with dilation 1",
        )
    for what, sizes in (("kernel", kernel), ("stride", layer.strides)):
        if binary.square_only and len(set(sizes)) > 1:
            yield layer_reason(
                layer,
                code="kernel",
                message=f"its {what} is {by(sizes)}; {context.title} is right for square {what}s only",
                remedy=f"train with a square {what}",
            )
    spatial = shape(layer.node.inputs[0])[2:]
    moves = size(kernel) > 1 or size(layer.strides) > 1 or layer.pad_value is not None
    if binary.square_only and len(set(spatial)) > 1 and moves:
        yield layer_reason(
            layer,
            code="square-map",
            message=f"its input map is {by(spatial)}; {context.title} is wrong on maps that are not square",
            remedy="crop or resize the model's input to a square",
        )


def _groups(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    binary = context.capabilities.binary
    if binary.groups == "none":
        yield layer_reason(
            layer,
            code="group",
            message=f"has {layer.group} groups; {binary.groups_note}",
            remedy="train without groups, or keep this layer float",
        )
    elif binary.groups_note:
        yield Note(layer.node.name or "", layer.name, "group", binary.groups_note)


def _padding(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    binary = context.capabilities.binary
    value = layer.pad_value
    if value is None:
        return
    if binary.symmetric_padding_only and len({side for pair in layer.pads for side in pair}) > 1:
        yield layer_reason(
            layer,
            code="asymmetric-padding",
            message=f"pads {' and '.join(map(str, layer.pads))}; {context.title} pads all sides alike",
            remedy="train with PyTorch's padding=1 instead of TensorFlow's SAME, or an odd input size",
        )
        return
    form = binary.pad_form(value)
    node = layer.node.name or ""
    allowed = context.allowed.padding
    exact = [each.value for each in binary.padding if each.value is not None]
    if form is None and allowed in exact:
        yield Change(node, layer.name, "padding", f"pads {number(allowed)} instead of {number(value)}")
    elif form is None:
        native = next((each.value for each in binary.padding if each.how == "native"), None) or exact[0]
        yield layer_reason(
            layer,
            code="pad-value",
            message=f"pads {number(value)}; {context.title} computes {', '.join(map(number, exact))} only",
            remedy=f"train with padding value {number(native)}",
            allow=f"padding={native:+g}",
        )
    elif form.shortcut is not None and form.shortcut == allowed:
        yield Change(node, layer.name, "padding", f"pads {number(form.shortcut)} instead of {number(value)}")
    elif form.note:
        yield Note(node, layer.name, "padding", form.note)


def _pad_how(layer: BinaryLayer, context: Context) -> str:
    """How a layer's padding is computed; empty without padding."""
    value = layer.pad_value
    form = None if value is None else context.capabilities.binary.pad_form(value)
    return form.how if form is not None else ""


def _linear(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    rank = len(shape(layer.node.inputs[0]))
    ranks = context.capabilities.binary.linear_ranks
    if rank not in ranks:
        yield layer_reason(
            layer,
            code="rank",
            message=f"is a linear layer on a {rank}-D tensor; {context.title} takes "
            + " and ".join(f"{each}-D" for each in ranks),
            remedy="reshape so that the layer sees (N, C)",
        )
        return
    source = flattened_map(layer.node.inputs[0])
    if context.capabilities.binary.square_only and source is not None and len(set(source[1:])) > 1:
        yield layer_reason(
            layer,
            code="square-map",
            message=f"it reads a flattened map of {by(source[1:])}; {context.title} is wrong on maps that are "
            "not square",
            remedy="crop or resize the model's input to a square, or pool globally",
        )
    yield from depth_findings(layer, context)


def is_part_of_binary_layer(node: ir.Node) -> bool:
    """Whether a node is judged by the rules of this module rather than as a float operator."""
    return is_binarize(node) or is_binary_layer(node)
