"""Rules about convolutions and pools of floats: kernel, padding, and the map that they move over."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from .findings import Context, Finding, by, form_reason, node_reason, shape, size
from .nodes import integer, ints


def convolution(node: ir.Node, context: Context) -> Iterator[Finding]:
    """Everything to say about a convolution of floats."""
    conditions = context.capabilities.operators.conditions
    yield from _window(node, context, shape(node.inputs[1])[2:])
    groups = integer(node, "group", 1)
    if groups > 1 and not conditions.groups:
        message = f"has {groups} groups; {context.title} computes as if there were none"
        yield node_reason(node, context, "group", message, "train without groups")
    if not conditions.dilation and any(each > 1 for each in ints(node, "dilations", ())):
        message = f"is dilated; {context.title} computes dilation 1 only"
        yield node_reason(node, context, "dilation", message, "train with dilation 1")


def pool(node: ir.Node, context: Context) -> Iterator[Finding]:
    """Everything to say about a pool."""
    conditions = context.capabilities.operators.conditions
    kernel = ints(node, "kernel_shape", ())
    strides = ints(node, "strides", (1,) * len(kernel))
    pads = _pads(node, kernel)
    yield from _window(node, context, kernel)
    if not conditions.pool_dilation and any(each > 1 for each in ints(node, "dilations", ())):
        message = f"is dilated; {context.title} computes dilation 1 only"
        yield node_reason(node, context, "dilation", message, "use dilation 1")
    if conditions.floor_pools and integer(node, "ceil_mode", 0):
        # ceil_mode that rounds nothing is harmless: compare with what rounding down gives.
        floor = tuple(
            (extent + pads[axis] + pads[axis + len(kernel)] - kernel[axis]) // strides[axis] + 1
            for axis, extent in enumerate(shape(node.inputs[0])[2:])
        )
        if floor != shape(node.outputs[0])[2:]:
            remedy = "use ceil_mode=False, or an input size whose maps divide evenly"
            yield form_reason(node, context, "that rounds its output size up (ceil_mode)", remedy)
    if node.op_type == "AveragePool" and not conditions.count_include_pad and any(pads):
        included = integer(node, "count_include_pad", 0) == 1
        # daBNN's 2x2 kernel at stride 2 is the one that counts the padding.
        if included != (kernel == (2, 2) and strides == (2, 2)):
            remedy = "average without padding"
            yield form_reason(node, context, "that counts its padding this way (count_include_pad)", remedy)
    channels = shape(node.inputs[0])[1]
    if channels % conditions.pool_channel_multiple:
        multiple = conditions.pool_channel_multiple
        yield node_reason(
            node,
            context,
            "channel-multiple",
            f"pools {channels} channels; {context.title} is silently wrong but for multiples of {multiple}",
            f"train with channels in multiples of {multiple}",
        )


def square_map(node: ir.Node, context: Context) -> Iterator[Finding]:
    """That an engine takes square maps alone."""
    spatial = shape(node.inputs[0])[2:]
    if context.capabilities.operators.conditions.square_only and len(set(spatial)) > 1:
        yield node_reason(
            node,
            context,
            "square-map",
            f"its input map is {by(spatial)}; {context.title} is wrong on maps that are not square",
            "crop or resize the model's input to a square",
        )


def _window(node: ir.Node, context: Context, kernel: tuple[int, ...]) -> Iterator[Finding]:
    """Kernel, padding and map of a convolution or pool."""
    conditions = context.capabilities.operators.conditions
    if len(kernel) not in conditions.spatial_axes:
        taken = " and ".join(f"{axes}-D" for axes in conditions.spatial_axes)
        message = f"is {len(kernel)}-D; {context.title} takes {taken}"
        yield node_reason(node, context, "rank", message, "use the 2-D operator")
        return
    if conditions.square_only and len(set(kernel)) > 1:
        yield node_reason(
            node,
            context,
            "kernel",
            f"its kernel is {by(kernel)}; {context.title} is right for square kernels only",
            "train with a square kernel",
        )
    strides = ints(node, "strides", (1,))
    if conditions.square_only and len(set(strides)) > 1 and len(set(kernel)) == 1:
        message = f"its stride is {by(strides)}; {context.title} is right for square strides only"
        yield node_reason(node, context, "kernel", message, "train with a square stride")
    if conditions.symmetric_padding_only and len(set(_pads(node, kernel))) > 1:
        yield node_reason(
            node,
            context,
            "asymmetric-padding",
            f"pads {_pads(node, kernel)}; {context.title} pads all sides alike",
            "train with the same padding on all sides",
        )
    if size(kernel) > 1 or size(strides) > 1 or any(_pads(node, kernel)):
        yield from square_map(node, context)


def _pads(node: ir.Node, kernel: tuple[int, ...]) -> tuple[int, ...]:
    return ints(node, "pads", (0,) * (2 * len(kernel)))
