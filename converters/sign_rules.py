"""Rules about the sign in front of a binary layer: its shift, its value at equality, who reads it."""

from __future__ import annotations

from collections.abc import Iterator

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
    node_reason,
    number,
    size,
    varies,
)
from .sign_zero import zero_is_common


def _source_steps(layer: BinaryLayer) -> tuple[list[ir.Node], list[ir.Node]]:
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


def sign_findings(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    """Everything to say about the signs that a layer reads."""
    binarizes, between = _source_steps(layer)
    takes = context.capabilities.binary.between_sign_and_layer
    for node in between:
        # An operator that isn't taken at all is reported as such by the operator's own rules.
        if node.op_type not in takes and node.op_type in context.capabilities.operators.taken:
            yield layer_reason(
                layer,
                at=node,
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
            yield layer_reason(
                layer,
                at=binarize,
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
        yield layer_reason(layer, at=binarize, code="operator-between", **_no_values(what, context))


def _no_values(what: str, context: Context) -> dict[str, str]:
    """Message and remedy about signs that are read as numbers."""
    return {
        "message": f"{what} the signs themselves; {context.title} has them inside binary layers alone",
        "remedy": "let it read what is in front of the sign",
    }


#: How exporters spell a sign.
_SPELLING = frozenset({
    "Cast", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Sign", "Where",
})  # fmt: skip


def spelled_sign(node: ir.Node, context: Context) -> Reason | None:
    """The reason for a node that spells a binary layer's sign and stays, since something else reads that sign."""
    layer = context.layer_of.get(node.name or "", "")
    if context.capabilities.binary.signs_are_values or node.op_type not in _SPELLING:
        return None
    if layer not in {each.name for each in context.graph.binary_layers}:
        return None
    for value in node.outputs:
        users = [user for user in value.consumers() if context.layer_of.get(user.name or "") != layer]
        if users or value.is_graph_output():
            what = f"{users[0].op_type} reads" if users else "the model gives out"
            return node_reason(node, context, "operator-between", **_no_values(what, context))
        for user in value.consumers():
            if (found := spelled_sign(user, context)) is not None:
                return found
    return None


def _shift_within_a_channel(layer: BinaryLayer, binarize: ir.Node, context: Context) -> Iterator[Finding]:
    """A threshold or direction a feature of a flattened map, where the map is not moved."""
    if not context.capabilities.operators.conditions.flatten_only:
        return
    source = flattened_map(binarize.inputs[0])
    if source is None:
        return
    channels, area = source[0], size(source[1:])
    for array in (Step.of(binarize).threshold, Step.of(binarize).direction):
        if array.size == channels * area and varies(array.reshape(channels, area)):
            yield layer_reason(
                layer,
                at=binarize,
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
        yield layer_reason(
            layer,
            at=binarize,
            code="sign-zero",
            message=f"the model's sign of exactly 0 is 0, a value that no bit can hold, and zeros are common "
            f"here: {common}",
            remedy="train with x >= 0 ? 1 : −1 instead of torch.sign, or put a batch-norm before the sign",
            allow=f"sign-zero={engine_value:+g}",
        )
