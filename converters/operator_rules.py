"""Rules about float operators: which an engine takes, and in which form."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import onnx_ir as ir

from bibench_deploy.graph import is_binarize, is_binary_layer
from bibench_deploy.graph.edit import is_constant

from .findings import Context, Finding, Note, by, flattened_map, form_reason, node_reason, shape, size
from .nodes import integer
from .sign_rules import spelled_sign
from .window_rules import convolution, pool, square_map

_POOLS = ("MaxPool", "AveragePool")
_GLOBAL_POOLS = ("GlobalAveragePool", "GlobalMaxPool")
_MATRIX = ("Gemm", "MatMul")
_SCALAR_MATH = ("Add", "Sub", "Mul", "Div")


def operator_findings(node: ir.Node, context: Context) -> Iterator[Finding]:
    """Everything to say about one node that isn't part of a binary layer."""
    operators = context.capabilities.operators
    if node.domain not in ("", "ai.onnx") or node.op_type not in operators.taken:
        if (sign := spelled_sign(node, context)) is not None:
            yield sign
            return
        remedy = operators.remedies.get(
            node.op_type,
            f"use another operator, or cut it off the model and compute it outside {context.title}",
        )
        yield node_reason(node, context, "operator", f"{context.title} has no {node.op_type}", remedy)
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
        yield form_reason(
            node, context, f"whose input {computed} is computed at run time", "make it a constant"
        )
    elif node.op_type == "Conv":
        yield from convolution(node, context)
    elif node.op_type in _POOLS:
        yield from pool(node, context)
    elif node.op_type in _GLOBAL_POOLS:
        yield from square_map(node, context)
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


def _computed_input(node: ir.Node, context: Context) -> int | None:
    """Number of the first input that must be a constant and isn't."""
    for index in context.capabilities.operators.conditions.constant_inputs.get(node.op_type, ()):
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is not None and not is_constant(value):
            return index
    return None


def _matrix(node: ir.Node, context: Context) -> Iterator[Finding]:
    if 1 not in context.capabilities.operators.conditions.constant_inputs.get("MatMul", ()):
        return
    if len(shape(node.inputs[0])) != 2 or integer(node, "transA", 0):
        yield form_reason(node, context, "on anything but (N, C)", "reshape so that the layer sees (N, C)")
        return
    source = flattened_map(node.inputs[0])
    if context.capabilities.operators.conditions.square_only and source and len(set(source[1:])) > 1:
        yield node_reason(
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
            yield form_reason(node, context, "of a constant by an activation", "use another formula")
        elif shape(other) != result:
            yield form_reason(node, context, "that broadcasts its input", "use equal shapes")
        elif not _per_channel(shape(constant), result) and node.op_type not in ("Add", "Sub"):
            yield form_reason(
                node, context, "by anything but one constant a channel", "use one number a channel"
            )
        return
    if node.op_type != "Add":
        yield form_reason(
            node, context, "of two activations", "multiplying or gating activations can't run there"
        )
    elif shape(left) != shape(right):
        yield form_reason(node, context, "of two shapes", "add equal shapes")


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
        yield form_reason(
            node, context, f"from {before} to {after}", "reshape to (N, C) in front of a linear layer only"
        )
    elif not all(_takes_flat(user) for user, _ in node.outputs[0].uses()):
        yield form_reason(
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
        yield form_reason(
            node, context, "over anything but height and width", "average over height and width only"
        )
    else:
        yield from square_map(node, context)


def _concat(node: ir.Node, context: Context) -> Iterator[Finding]:
    conditions = context.capabilities.operators.conditions
    shapes = [shape(value) for value in node.inputs]
    if conditions.concat_inputs is not None and len(shapes) != conditions.concat_inputs:
        what = f"of {len(shapes)} inputs ({conditions.concat_inputs} only)"
        yield form_reason(node, context, what, "concatenate in pairs of equal width")
    elif conditions.concat_channel_axis and integer(node, "axis", 1) % len(shapes[0]) != 1:
        yield form_reason(node, context, "along anything but channels", "concatenate channels")
    elif conditions.concat_equal_channels and any(a[1] != b[1] for a, b in pairwise(shapes)):
        yield form_reason(
            node, context, "of unequal numbers of channels", "concatenate equal numbers of channels"
        )


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
            yield node_reason(
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
