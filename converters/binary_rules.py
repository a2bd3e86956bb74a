"""Rules about binary layers: what an engine demands of each, as pure functions of the fused graph."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, is_binarize, is_binary_layer

from .findings import (
    Change,
    Context,
    Finding,
    Note,
    by,
    flattened_map,
    layer_reason,
    number,
    shape,
    size,
    varies,
)
from .kernel_limits import depth_findings, kernel_findings, map_findings
from .sign_rules import sign_findings


def binary_findings(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    """Everything to say about one binary layer."""
    yield from _factor(layer, context)
    yield from sign_findings(layer, context)
    yield from _form(layer, context)
    if layer.is_conv:
        yield from _padding(layer, context)
        yield from kernel_findings(layer, context)
    else:
        yield from _linear(layer, context)
    if varies(layer.bias) or _pad_how(layer, context) == "border-constant":
        yield from map_findings(layer, context)


def _factor(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    takes = context.capabilities.factors.granularity
    if layer.scale == "input" and "input" not in takes:
        yield layer_reason(
            layer,
            code="runtime-factor",
            message=f"its scaling factor is computed at run time; {context.title} takes constants only",
            remedy="replace the run-time factor by a channel factor: train with DoReFa instead of XNOR",
        )
    elif (layer.scale == "spatial" or varies(layer.multiplier)) and "spatial" not in takes:
        yield layer_reason(
            layer,
            code="spatial-factor",
            message=f"its scaling factor varies over height or width; {context.title} takes one a channel",
            remedy="train with a factor a channel: ReCU or DoReFa instead of XNOR++",
        )
    if varies(layer.bias):
        yield Note(
            layer.node.name or "",
            layer.name,
            "spatial-bias",
            "its bias varies over height and width: kept as a constant map and one Add more",
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
