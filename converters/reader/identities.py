"""Step 2 of recognition: exact identities remove what training left behind.

Every rewrite here keeps the function in real arithmetic; ``u − v + v → u`` and ``0·u → 0`` differ from float
arithmetic only by rounding and by infinities, which is the point: they are the straight-through residue
``(sign(x) − clip(x)) + clip(x)`` and dead noise branches of training code left in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph.edit import add_constant, is_constant, replace, static_shape

Rule = Callable[[ir.Graph, ir.Node], "ir.Value | None"]


def apply_identities(model: ir.Model) -> bool:
    """Apply the identities once to every node, in place; whether anything changed."""
    changed = False
    for node in list(model.graph):
        rule = _RULES.get(node.op_type)
        if (
            rule is None
            or node.domain != ""
            or (not node.outputs[0].uses() and not node.outputs[0].is_graph_output())
        ):
            continue
        better = rule(model.graph, node)
        if better is None or better is node.outputs[0]:
            continue
        if node.outputs[0].is_graph_output() and (
            better.is_graph_output() or better.is_graph_input() or better.is_initializer()
        ):
            continue
        if static_shape(better) != static_shape(node.outputs[0]):
            continue  # broadcasting made the result larger
        replace(node.outputs[0], better)
        changed = True
    return changed


def _all_equal(value: ir.Value | None, number: float) -> bool:
    return (
        value is not None
        and value.const_value is not None
        and bool(np.all(value.const_value.numpy() == number))
    )


def _producer(value: ir.Value | None, op: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op and node.domain == "" else None


def _add(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    for u, v in (node.inputs, reversed(node.inputs)):
        if _all_equal(v, 0):
            return u
        difference = _producer(u, "Sub")
        if difference is not None and difference.inputs[1] is v:  # (a − v) + v
            return difference.inputs[0]
        negated = _producer(u, "Neg")
        if negated is not None:  # (−v) + (v + a)
            total = _producer(v, "Add")
            if total is not None and negated.inputs[0] in total.inputs:
                return total.inputs[1 - total.inputs.index(negated.inputs[0])]
    return None


def _sub(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    u, v = node.inputs
    if _all_equal(v, 0):
        return u
    total = _producer(u, "Add")
    if total is not None and v in total.inputs:  # (a + v) − v
        return total.inputs[1 - total.inputs.index(v)]
    difference = _producer(v, "Sub")
    if difference is not None and difference.inputs[0] is u:  # u − (u − a)
        return difference.inputs[1]
    return None


def _mul(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    for u, v in (node.inputs, reversed(node.inputs)):
        if _all_equal(v, 1):
            return u
        shape = static_shape(node.outputs[0])
        if _all_equal(v, 0) and shape is not None and v is not None and v.dtype is not None:
            return add_constant(graph, f"{node.outputs[0].name}_zero", np.zeros(shape, v.dtype.numpy()))
    return None


def _div(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    return node.inputs[0] if _all_equal(node.inputs[1], 1) else None


def _same_shape(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    before, after = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    return node.inputs[0] if before is not None and before == after else None


def _cast(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    value = node.inputs[0]
    if value is None:
        return None
    if value.dtype is not None and value.dtype == node.outputs[0].dtype:
        return value
    inner = _producer(value, "Cast")  # float → double → float keeps every float
    if inner is not None and inner.inputs[0] is not None:
        source = inner.inputs[0]
        widened = source.dtype == ir.DataType.FLOAT and value.dtype == ir.DataType.DOUBLE
        if widened and node.outputs[0].dtype == ir.DataType.FLOAT:
            return source
    return None


def _transpose(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    perm = node.attributes["perm"].as_ints() if "perm" in node.attributes else None
    return node.inputs[0] if perm is not None and list(perm) == list(range(len(perm))) else None


def _dropout(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    return node.inputs[0] if len(node.outputs) < 2 or not node.outputs[1].uses() else None


def _single(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    return node.inputs[0] if len(node.inputs) == 1 else None


def _where(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    condition, u, v = node.inputs
    if not is_constant(condition):
        return u if u is v else None
    assert condition is not None
    assert condition.const_value is not None
    chosen = condition.const_value.numpy()
    if chosen.all():
        return u
    return None if chosen.any() else v


def _scatter(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """``y = x.clone(); y[mask] = c`` is exported as ScatterND(x, Transpose(NonZero(mask)), expand(c))."""
    data, indices, updates = node.inputs[:3]
    transpose = _producer(indices, "Transpose")
    nonzero = _producer(transpose.inputs[0], "NonZero") if transpose is not None else None
    if nonzero is None or data is None or static_shape(nonzero.inputs[0]) != static_shape(data):
        return None
    scalar = _scalar_of(updates)
    if scalar is None or data.dtype is None:
        return None
    constant = add_constant(graph, f"{node.name}_value", np.asarray(scalar, data.dtype.numpy()))
    mask = nonzero.inputs[0]
    assert mask is not None
    condition = mask
    new: list[ir.Node] = []
    if mask.dtype != ir.DataType.BOOL:
        cast = ir.node("Cast", [mask], {"to": ir.DataType.BOOL}, name=f"{node.name}/Cast")
        new.append(cast)
        condition = cast.outputs[0]
    where = ir.node("Where", [condition, constant, data], name=f"{node.name}/Where")
    new.append(where)
    for created in new:
        created.outputs[0].name = f"{created.name}_output"
        created.outputs[0].shape = data.shape
        created.outputs[0].type = ir.TensorType(ir.DataType.BOOL if created.op_type == "Cast" else data.dtype)
    graph.insert_before(node, new)
    return where.outputs[0]


def _scalar_of(value: ir.Value | None) -> float | None:
    """The number that a tensor is filled with, however its (data-dependent) size is computed."""
    while value is not None:
        if value.const_value is not None:
            numbers = np.unique(value.const_value.numpy())
            return float(numbers[0]) if numbers.size == 1 else None
        node = value.producer()
        if node is None or node.op_type not in ("Expand", "Reshape", "Slice", "Unsqueeze", "Cast", "Squeeze"):
            if node is not None and node.op_type == "ConstantOfShape":
                fill = node.attributes.get("value")
                return float(fill.as_tensor().numpy().ravel()[0]) if fill is not None else 0.0
            return None
        value = node.inputs[0]
    return None


_RULES: dict[str, Rule] = {
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Cast": _cast,
    "Where": _where,
    "Reshape": _same_shape,
    "Flatten": _same_shape,
    "Expand": _same_shape,
    "Squeeze": _same_shape,
    "Unsqueeze": _same_shape,
    "Transpose": _transpose,
    "Dropout": _dropout,
    "Identity": _single,
    "Concat": _single,
    "Sum": _single,
    "ScatterND": _scatter,
}
