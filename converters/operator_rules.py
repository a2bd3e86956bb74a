"""Rules about float operators: which an engine takes, and in which form."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import onnx_ir as ir

from bibench_deploy.graph import is_binarize, is_binary_layer

from .findings import (
    Code,
    Context,
    Finding,
    Note,
    Reason,
    by,
    flattened_map,
    integer,
    ints,
    is_constant,
    shape,
    size,
)

_POOLS = ("MaxPool", "AveragePool")
_GLOBAL_POOLS = ("GlobalAveragePool", "GlobalMaxPool")
_MATRIX = ("Gemm", "MatMul")
_SCALAR_MATH = ("Add", "Sub", "Mul", "Div")


def operator_findings(node: ir.Node, context: Context) -> Iterator[Finding]:
    """Everything to say about one node that isn't part of a binary layer."""
    operators = context.capabilities.operators
    if node.domain not in ("", "ai.onnx") or node.op_type not in operators.taken:
        remedy = operators.remedies.get(
            node.op_type,
            f"use another operator, or cut it off the model and compute it outside {context.title}",
        )
        yield _reason(node, context, "operator", f"{context.title} has no {node.op_type}", remedy)
        return
    if node.op_type in operators.emulated:
        yield Note(
            node.name or "",
            context.layer_of.get(node.name or "", ""),
            "emulated-operator",
            f"{node.op_type} is computed with several operators, since {context.title} has none",
        )
    computed = _computed_input(node, context)
    if computed is not None:
        yield _form(node, context, f"whose input {computed} is computed at run time", "make it a constant")
    elif node.op_type == "Conv":
        yield from _convolution(node, context)
    elif node.op_type in _POOLS:
        yield from _pool(node, context)
    elif node.op_type in _GLOBAL_POOLS:
        yield from _square_map(node, context)
    elif node.op_type in _MATRIX:
        yield from _matrix(node, context)
    elif node.op_type in _SCALAR_MATH:
        yield from _arithmetic(node, context)
    elif node.op_type in ("Reshape", "Flatten", "Squeeze"):
        yield from _flatten(node, context)
    elif node.op_type == "ReduceMean":
        yield from _mean(node, context)
    elif node.op_type == "Concat":
        yield from _concat(node, context)
    yield from _multiples(node, context)


def _reason(node: ir.Node, context: Context, code: Code, message: str, remedy: str) -> Reason:
    name = node.name or ""
    return Reason(name, context.layer_of.get(name, ""), code, message, remedy)


def _form(node: ir.Node, context: Context, what: str, remedy: str) -> Reason:
    return _reason(node, context, "operator-form", f"{context.title} has no {node.op_type} {what}", remedy)


def _computed_input(node: ir.Node, context: Context) -> int | None:
    """Number of the first input that must be a constant and isn't."""
    for index in context.capabilities.operators.conditions.constant_inputs.get(node.op_type, ()):
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is not None and not is_constant(value):
            return index
    return None


def _square_map(node: ir.Node, context: Context) -> Iterator[Finding]:
    spatial = shape(node.inputs[0])[2:]
    if context.capabilities.operators.conditions.square_only and len(set(spatial)) > 1:
        yield _reason(
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
        yield _reason(node, context, "rank", message, "use the 2-D operator")
        return
    if conditions.square_only and len(set(kernel)) > 1:
        yield _reason(
            node,
            context,
            "kernel",
            f"its kernel is {by(kernel)}; {context.title} is right for square kernels only",
            "train with a square kernel",
        )
    strides = ints(node, "strides", (1,))
    if conditions.square_only and len(set(strides)) > 1 and len(set(kernel)) == 1:
        message = f"its stride is {by(strides)}; {context.title} is right for square strides only"
        yield _reason(node, context, "kernel", message, "train with a square stride")
    if conditions.symmetric_padding_only and len(set(_pads(node, kernel))) > 1:
        yield _reason(
            node,
            context,
            "asymmetric-padding",
            f"pads {_pads(node, kernel)}; {context.title} pads all sides alike",
            "train with the same padding on all sides",
        )
    if size(kernel) > 1 or size(strides) > 1 or any(_pads(node, kernel)):
        yield from _square_map(node, context)


def _pads(node: ir.Node, kernel: tuple[int, ...]) -> tuple[int, ...]:
    return ints(node, "pads", (0,) * (2 * len(kernel)))


def _convolution(node: ir.Node, context: Context) -> Iterator[Finding]:
    conditions = context.capabilities.operators.conditions
    yield from _window(node, context, shape(node.inputs[1])[2:])
    groups = integer(node, "group", 1)
    if groups > 1 and not conditions.groups:
        message = f"has {groups} groups; {context.title} computes as if there were none"
        yield _reason(node, context, "group", message, "train without groups")
    if not conditions.dilation and any(each > 1 for each in ints(node, "dilations", ())):
        message = f"is dilated; {context.title} computes dilation 1 only"
        yield _reason(node, context, "dilation", message, "train with dilation 1")


def _pool(node: ir.Node, context: Context) -> Iterator[Finding]:
    conditions = context.capabilities.operators.conditions
    kernel = ints(node, "kernel_shape", ())
    strides = ints(node, "strides", (1,) * len(kernel))
    pads = _pads(node, kernel)
    yield from _window(node, context, kernel)
    if not conditions.pool_dilation and any(each > 1 for each in ints(node, "dilations", ())):
        message = f"is dilated; {context.title} computes dilation 1 only"
        yield _reason(node, context, "dilation", message, "use dilation 1")
    if conditions.floor_pools and integer(node, "ceil_mode", 0):
        # ceil_mode that rounds nothing is harmless: compare with what rounding down gives.
        floor = tuple(
            (extent + pads[axis] + pads[axis + len(kernel)] - kernel[axis]) // strides[axis] + 1
            for axis, extent in enumerate(shape(node.inputs[0])[2:])
        )
        if floor != shape(node.outputs[0])[2:]:
            remedy = "use ceil_mode=False, or an input size whose maps divide evenly"
            yield _form(node, context, "that rounds its output size up (ceil_mode)", remedy)
    if node.op_type == "AveragePool" and not conditions.count_include_pad and any(pads):
        included = integer(node, "count_include_pad", 0) == 1
        # daBNN's 2x2 kernel at stride 2 is the one that counts the padding.
        if included != (kernel == (2, 2) and strides == (2, 2)):
            remedy = "average without padding"
            yield _form(node, context, "that counts its padding this way (count_include_pad)", remedy)
    channels = shape(node.inputs[0])[1]
    if channels % conditions.pool_channel_multiple:
        multiple = conditions.pool_channel_multiple
        yield _reason(
            node,
            context,
            "channel-multiple",
            f"pools {channels} channels; {context.title} is silently wrong but for multiples of {multiple}",
            f"train with channels in multiples of {multiple}",
        )


def _matrix(node: ir.Node, context: Context) -> Iterator[Finding]:
    if 1 not in context.capabilities.operators.conditions.constant_inputs.get("MatMul", ()):
        return
    if len(shape(node.inputs[0])) != 2 or integer(node, "transA", 0):
        yield _form(node, context, "on anything but (N, C)", "reshape so that the layer sees (N, C)")
        return
    source = flattened_map(node.inputs[0])
    if context.capabilities.operators.conditions.square_only and source and len(set(source[1:])) > 1:
        yield _reason(
            node,
            context,
            "square-map",
            f"it reads a flattened map of {by(source[1:])}; {context.title} is wrong on maps that are not square",
            "crop or resize the model's input to a square, or pool globally",
        )


def _arithmetic(node: ir.Node, context: Context) -> Iterator[Finding]:
    """Add, Sub, Mul, Div: by a constant a channel, or Add of two equal shapes."""
    if not context.capabilities.operators.conditions.channel_affine:
        return
    left, right = node.inputs[0], node.inputs[1]
    result = shape(node.outputs[0])
    if is_constant(left) or is_constant(right):
        constant, other = (left, right) if is_constant(left) else (right, left)
        if node.op_type == "Div" and constant is left:
            yield _form(node, context, "of a constant by an activation", "use another formula")
        elif shape(other) != result:
            yield _form(node, context, "that broadcasts its input", "use equal shapes")
        elif not _per_channel(shape(constant), result) and node.op_type not in ("Add", "Sub"):
            yield _form(node, context, "by anything but one constant a channel", "use one number a channel")
        return
    if node.op_type != "Add":
        yield _form(node, context, "of two activations", "multiplying or gating activations can't run there")
    elif shape(left) != shape(right):
        yield _form(node, context, "of two shapes", "add equal shapes")


def _per_channel(dims: tuple[int, ...], result: tuple[int, ...]) -> bool:
    """Whether a constant has one number, or one for each channel of a (N, C, ...) result."""
    aligned = (1,) * (len(result) - len(dims)) + dims
    return all(dim == 1 for axis, dim in enumerate(aligned) if axis != 1)


def _flatten(node: ir.Node, context: Context) -> Iterator[Finding]:
    if not context.capabilities.operators.conditions.flatten_only:
        return
    before, after = shape(node.inputs[0]), shape(node.outputs[0])
    single = size(before[2:]) == 1
    if single and after[:2] == before[:2] and size(after[2:]) == 1:
        return
    if len(after) != 2 or after[0] != before[0]:
        yield _form(
            node, context, f"from {before} to {after}", "reshape to (N, C) in front of a linear layer only"
        )
    elif not all(_takes_flat(user) for user, _ in node.outputs[0].uses()):
        yield _form(
            node,
            context,
            "in front of anything but a linear layer",
            "let a linear layer follow the flattening directly",
        )


def _takes_flat(node: ir.Node) -> bool:
    """Whether a node reads flattened features in an order that weights can absorb."""
    if is_binarize(node):
        return all(is_binary_layer(user) for user, _ in node.outputs[0].uses())
    if is_binary_layer(node) or node.op_type in _MATRIX:
        return True
    # What acts on every number alike may as well come before the flattening.
    alike = node.op_type in ("Relu", "Clip") or (
        node.op_type in _SCALAR_MATH
        and any(
            value.const_value is not None and value.const_value.size == 1
            for value in node.inputs
            if value is not None
        )
    )
    return alike and all(_takes_flat(user) for user, _ in node.outputs[0].uses())


def _mean(node: ir.Node, context: Context) -> Iterator[Finding]:
    if not context.capabilities.operators.conditions.spatial_mean_only:
        return
    axes = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
    rank = len(shape(node.inputs[0]))
    wanted = set(range(2, rank))
    if axes is None or {int(axis) % rank for axis in axes.numpy().ravel()} != wanted:
        yield _form(node, context, "over anything but height and width", "average over height and width only")
    else:
        yield from _square_map(node, context)


def _concat(node: ir.Node, context: Context) -> Iterator[Finding]:
    conditions = context.capabilities.operators.conditions
    shapes = [shape(value) for value in node.inputs]
    if conditions.concat_inputs is not None and len(shapes) != conditions.concat_inputs:
        what = f"of {len(shapes)} inputs ({conditions.concat_inputs} only)"
        yield _form(node, context, what, "concatenate in pairs of equal width")
    elif conditions.concat_channel_axis and integer(node, "axis", 1) % len(shapes[0]) != 1:
        yield _form(node, context, "along anything but channels", "concatenate channels")
    elif conditions.concat_equal_channels and any(a[1] != b[1] for a, b in pairwise(shapes)):
        yield _form(node, context, "of unequal numbers of channels", "concatenate equal numbers of channels")


def _multiples(node: ir.Node, context: Context) -> Iterator[Finding]:
    """Rows that must fill whole vectors: of what is read and of what is written."""
    conditions = context.capabilities.operators.conditions
    name = "Affine" if _is_affine(node) else node.op_type
    if name not in conditions.row_operators:
        return
    multiple = conditions.row_multiple
    for dims in (shape(node.inputs[0]), shape(node.outputs[0])):
        row = (dims[1] * dims[-1] if len(dims) > 2 else dims[-1]) if dims else 1
        # A single number is exempt.
        if row % multiple and size(dims) != 1:
            yield _reason(
                node,
                context,
                "channel-multiple",
                f"works on rows of {row} numbers; {context.title}'s {name} needs multiples of {multiple}",
                f"train with channels in multiples of {multiple}",
            )
            return


def _is_affine(node: ir.Node) -> bool:
    """Arithmetic with one constant a channel."""
    constants = [value for value in node.inputs if is_constant(value)]
    return (
        node.op_type in _SCALAR_MATH
        and bool(constants)
        and _per_channel(shape(constants[0]), shape(node.outputs[0]))
    )
