"""Step 1 of recognition: every subgraph over constants becomes a constant.

``mean|w|·sign(w)``, ReCU's standardization and quantiles, pads built by ConstantOfShape … Cast, ``Shape`` of a
static shape: onnxruntime computes them once.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bibench_deploy.graph.edit import SOURCES, add_constant, is_constant, replace, static_shape

from .evaluate import run_nodes

#: Operators that are constant in their inputs but not functions of them.
_NOT_FOLDABLE = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli"}
#: Operators that broadcast either operand.
_BROADCASTING = {"Add", "Sub", "Mul", "Div"}


def fold_constants(model: ir.Model) -> bool:
    """Fold what depends on constants alone, in place; whether anything was."""
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


def shrink_constants(graph: ir.Graph) -> None:
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
