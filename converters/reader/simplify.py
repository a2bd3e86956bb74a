"""Steps 1 and 2 of recognition: constants are folded, and exact identities remove what training left behind.

Every rewrite here keeps the function in real arithmetic; ``u − v + v → u`` and ``0·u → 0`` differ from float
arithmetic only by rounding and by infinities, which is the point: they are the straight-through residue
``(sign(x) − clip(x)) + clip(x)`` and dead noise branches of training code left in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    IdentityEliminationPass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from .evaluate import run_nodes

#: Operators that are constant in their inputs but not functions of them.
_NOT_FOLDABLE = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli"}
#: Operators that broadcast either operand.
_BROADCASTING = {"Add", "Sub", "Mul", "Div"}
#: Names of the nodes that a folded constant came from, in the value's ``meta``.
SOURCES = "bibench.sources"


def simplify(model: ir.Model) -> None:
    """Fold constants and apply the identities until nothing changes, in place."""
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ShapeInferencePass(check_type=False, strict_mode=False)(model)
    changed = True
    while changed:
        changed = _fold(model)
        IdentityEliminationPass()(model)
        CommonSubexpressionEliminationPass()(model)
        changed |= _apply_identities(model)
        _shrink_constants(model.graph)
        RemoveUnusedNodesPass()(model)
        if changed:
            ShapeInferencePass(check_type=False, strict_mode=False)(model)


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """A value's shape, None unless every axis is known."""
    if value is None or value.shape is None:
        return None
    dims = tuple(value.shape)
    return tuple(int(d) for d in dims) if all(isinstance(d, int) for d in dims) else None  # type: ignore[arg-type]


def is_constant(value: ir.Value | None) -> bool:
    """Whether a value's numbers are known."""
    return value is not None and value.const_value is not None


def add_constant(graph: ir.Graph, name: str, array: npt.NDArray[Any]) -> ir.Value:
    """A new initializer with a name made unique from the one given."""
    unique = name
    counter = 0
    while unique in graph.initializers:
        counter += 1
        unique = f"{name}_{counter}"
    tensor = ir.tensor(np.asarray(array, order="C"), name=unique)  # ascontiguousarray makes () to (1,)
    value = ir.Value(
        name=unique, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def replace(old: ir.Value, new: ir.Value, *, inherit_name: bool = False) -> None:
    """Let every consumer of one value, the graph's outputs included, use another.

    Args:
        inherit_name: the new value takes the old one's name. A name means the same number at every stage, from
            the ONNX file to the fused graph: that is what lets verification compare any two stages at every
            value that both have. An output's name is always inherited.
    """
    graph = old.graph
    is_output = old.is_graph_output() and graph is not None
    if is_output and (new.is_graph_output() or new.is_graph_input() or new.is_initializer()):
        raise ValueError(f"output {old.name} can't become {new.name}")
    if is_output or inherit_name:
        name = old.name
        old.name = f"{name}_replaced"
        new.name = name
    if is_output and graph is not None:
        for index, value in enumerate(graph.outputs):
            if value is old:
                graph.outputs[index] = new
    ir.convenience.replace_all_uses_with(old, new)


# Constants


def _fold(model: ir.Model) -> bool:
    graph = model.graph
    folded: list[ir.Node] = []
    inside: set[ir.Value] = set()
    for node in list(graph):
        if node.op_type in ("Shape", "Size") and static_shape(node.inputs[0]) is not None:
            _fold_shape(graph, node)
        elif node.op_type == "CastLike" and node.domain == "":
            _plain_cast(graph, node)
    for node in graph:
        known = all(value is None or is_constant(value) or value in inside for value in node.inputs)
        if known and node.domain == "" and _foldable(node):
            folded.append(node)
            inside.update(node.outputs)
    if not folded:
        return False
    wanted = [
        value
        for node in folded
        for value in node.outputs
        if value.is_graph_output() or any(user not in folded for user, _ in value.uses())
    ]
    results = run_nodes(folded, wanted, model.opset_imports[""]) if wanted else []
    for value, array in zip(wanted, results, strict=True):
        sources = _sources(value)
        if value.is_graph_output():
            continue  # a network whose output is constant is kept as it is
        constant = add_constant(graph, f"{value.name}_folded", np.asarray(array))
        constant.meta[SOURCES] = sources
        replace(value, constant)
    RemoveUnusedNodesPass()(model)
    return any(not value.is_graph_output() for value in wanted)


def _shrink_constants(graph: ir.Graph) -> None:
    """Undo ``bias.expand_as(x)``: a constant that only repeats itself along an axis keeps one number there."""
    for node in graph:
        if node.op_type not in _BROADCASTING or node.domain != "":
            continue
        for index in (0, 1):
            value, other = node.inputs[index], node.inputs[1 - index]
            shape = static_shape(other)
            if value is None or value.const_value is None or is_constant(other):
                continue
            if shape is None or shape != static_shape(node.outputs[0]):
                continue
            array = value.const_value.numpy()
            small = array
            for axis in range(array.ndim):
                first = small.take([0], axis=axis)
                if small.shape[axis] > 1 and bool((small == first).all()):
                    small = first
            if small.size < array.size:
                constant = add_constant(graph, f"{value.name}_once", small)
                constant.meta[SOURCES] = value.meta.get(SOURCES, ())
                node.replace_input_with(index, constant)


def _foldable(node: ir.Node) -> bool:
    return node.op_type not in _NOT_FOLDABLE and not any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for attribute in node.attributes.values()
    )


def _fold_shape(graph: ir.Graph, node: ir.Node) -> None:
    shape = static_shape(node.inputs[0])
    assert shape is not None
    if node.op_type == "Size":
        array = np.asarray(int(np.prod(shape)), np.int64)
    else:
        start = node.attributes["start"].as_int() if "start" in node.attributes else None
        end = node.attributes["end"].as_int() if "end" in node.attributes else None
        array = np.asarray(shape[start:end], np.int64)
    if not node.outputs[0].is_graph_output():
        replace(node.outputs[0], add_constant(graph, f"{node.outputs[0].name}_folded", array))


def _plain_cast(graph: ir.Graph, node: ir.Node) -> None:
    """CastLike reads the type of its second input and not its numbers: torch's zero biases are made with it."""
    like, output = node.inputs[1], node.outputs[0]
    if like is None or like.dtype is None or output.is_graph_output():
        return
    cast = ir.node("Cast", [node.inputs[0]], {"to": int(like.dtype)}, name=node.name)
    cast.outputs[0].name, cast.outputs[0].shape = f"{output.name}_cast", output.shape
    cast.outputs[0].type = ir.TensorType(like.dtype)
    graph.insert_before(node, cast)
    replace(output, cast.outputs[0])
    graph.remove(node, safe=True)


def _sources(value: ir.Value) -> tuple[str, ...]:
    """Names of the nodes above a value that depend on constants alone."""
    names: dict[str, None] = {}
    stack = [value]
    while stack:
        current = stack.pop()
        names.update(dict.fromkeys(current.meta.get(SOURCES, ())))
        producer = current.producer()
        if producer is not None and producer.name not in names:
            names[producer.name or ""] = None
            stack.extend(v for v in producer.inputs if v is not None)
    return tuple(names)


# Identities

Rule = Callable[[ir.Graph, ir.Node], "ir.Value | None"]


def _apply_identities(model: ir.Model) -> bool:
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
    "Concat": _single,
    "Sum": _single,
    "ScatterND": _scatter,
}
