"""Fusion: everything per-channel around a binary layer becomes its one multiplier and bias.

Exact in real arithmetic. In float32 the result differs from the unfused graph by rounding: the constants are
combined in float64 and rounded once.

    binary layer:  m·dot + b, then ·s, +t, −t, /s, batch-norm      →  m'·dot + b'
    float layer:   conv(x, W) + b, then batch-norm, ·s, +t          →  conv(x, W') + b'
    batch-norm that stands alone                                    →  Mul and Add
"""

from __future__ import annotations

from dataclasses import replace as replaced

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass

from bibench_deploy.graph import BinaryGraph, constant, is_binary_layer
from bibench_deploy.graph.edit import add_constant, is_constant, replace, static_shape
from bibench_deploy.graph.ops import BINARY_CONV

Doubles = npt.NDArray[np.float64]


def fuse(graph: BinaryGraph) -> BinaryGraph:
    """The fused form of a recognised graph: a new graph; the one given is left alone."""
    model = graph.model.clone()
    for node in list(model.graph):
        if node.graph is None:
            continue  # absorbed by a layer before it
        if is_binary_layer(node):
            _fuse_binary(model.graph, node)
        elif node.domain == "" and node.op_type in ("Conv", "Gemm", "MatMul") and is_constant(node.inputs[1]):
            _fuse_float(model.graph, node)
    for node in list(model.graph):
        if node.op_type == "BatchNormalization" and node.domain == "":
            _expand_batch_norm(model.graph, node)
    RemoveUnusedNodesPass()(model)
    NameFixPass()(model)
    return replaced(graph, model=model)


# Affine successors


def _affine(node: ir.Node, index: int, rank: int) -> tuple[Doubles, Doubles] | None:
    """(scale, shift) of a node as a function of its input number ``index``, without the batch axis.

    Both broadcast to one sample of the value, whose rank (with the batch) is given.
    """
    if node.domain != "":
        return None
    if node.op_type == "BatchNormalization":
        return _batch_norm(node, rank) if index == 0 else None
    if node.op_type == "Neg":
        return np.asarray(-1.0), np.asarray(0.0)
    if node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    other = node.inputs[1 - index]
    if other is None or other.const_value is None:
        return None
    array = other.const_value.numpy().astype(np.float64)
    if array.ndim > rank or (array.ndim == rank and array.shape[0] != 1):
        return None
    while array.ndim and array.shape[0] == 1:
        array = array[0]
    one, zero = np.asarray(1.0), np.asarray(0.0)
    if node.op_type == "Add":
        return one, array
    if node.op_type == "Sub":
        return (one, -array) if index == 0 else (-one, array)
    if node.op_type == "Mul":
        return array, zero
    if index == 0 and (array != 0).all():
        return 1.0 / array, zero
    return None


def _batch_norm(node: ir.Node, rank: int) -> tuple[Doubles, Doubles] | None:
    """Its channels are axis 1, also behind a linear layer over a sequence, whose own are the last axis."""
    if not all(is_constant(value) for value in node.inputs[1:5]):
        return None
    gamma, beta, mean, variance = (constant(node, i).astype(np.float64) for i in range(1, 5))
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
    scale = gamma / np.sqrt(variance + epsilon)
    shape = (-1,) + (1,) * (rank - 2)
    return scale.reshape(shape), (beta - mean * scale).reshape(shape)


def _successor(value: ir.Value) -> tuple[ir.Node, Doubles, Doubles] | None:
    """The only consumer of a value, if it is affine with constants and keeps the value's shape."""
    users = list(value.uses())
    shape = static_shape(value)
    if len(users) != 1 or value.is_graph_output() or shape is None:
        return None
    node, index = users[0]
    affine = _affine(node, index, len(shape))
    if affine is None or static_shape(node.outputs[0]) != shape:
        return None
    return node, *affine


def _absorb(graph: ir.Graph, value: ir.Value, node: ir.Node) -> None:
    """Drop an affine node behind a value that now computes its result."""
    replace(node.outputs[0], value, inherit_name=True)
    graph.remove(node, safe=True)


# Binary layers


def _fuse_binary(graph: ir.Graph, node: ir.Node) -> None:
    output = node.outputs[0]
    sample = (static_shape(output) or ())[1:]
    multiplier = constant(node, 2).astype(np.float64)
    bias = constant(node, 3).astype(np.float64)
    sources = list(node.attributes["sources"].as_strings())
    absorbed = False
    while (found := _successor(output)) is not None:
        user, scale, shift = found
        if not _fits(np.broadcast_shapes(scale.shape, shift.shape, multiplier.shape), sample, node):
            break
        multiplier = multiplier * scale
        bias = bias * scale + shift
        sources.append(user.name or "")
        _absorb(graph, output, user)
        absorbed = True
    if not absorbed:
        return
    channel = (len(constant(node, 2)),) + (1,) * (len(constant(node, 2).shape) - 1)
    for index, array, label in ((2, multiplier, "multiplier"), (3, bias, "bias")):
        full = np.broadcast_shapes(array.shape, channel)
        array = np.broadcast_to(array, channel if full == channel else sample).astype(np.float32)
        node.replace_input_with(index, add_constant(graph, f"{_layer(node)}.fused_{label}", array))
    node.attributes["sources"] = ir.AttrStrings("sources", [name for name in dict.fromkeys(sources) if name])


def _fits(shape: tuple[int, ...], sample: tuple[int, ...], node: ir.Node) -> bool:
    """A multiplier or bias may be per channel or, behind a convolution, per channel and location."""
    if node.op_type != BINARY_CONV:
        return len(shape) <= 1
    return len(shape) <= len(sample) and np.broadcast_shapes(shape, sample) == sample


def _layer(node: ir.Node) -> str:
    return node.attributes["layer"].as_string()


# Float layers


def _fuse_float(graph: ir.Graph, node: ir.Node) -> None:
    if node.op_type == "Gemm" and not _plain_gemm(node):
        return
    axis = 1 if node.op_type == "Conv" else -1
    output = node.outputs[0]
    weight = constant(node, 1).astype(np.float64)
    channels = weight.shape[-1] if _inputs_first(node) else weight.shape[0]
    bias = _bias(node, channels)
    if bias is None:
        return
    if node.op_type == "MatMul" and (weight.ndim != 2 or len(static_shape(output) or ()) != 2):
        return
    scales, shifts = np.ones(channels), bias
    absorbed = False
    while (found := _successor(output)) is not None:
        user, scale, shift = found
        rank = len(static_shape(output) or ()) - 1
        if not (_channels_only(scale, axis, rank) and _channels_only(shift, axis, rank)):
            break
        scales, shifts = scales * scale.ravel(), shifts * scale.ravel() + shift.ravel()
        _absorb(graph, output, user)
        absorbed = True
    if not absorbed:
        return
    _set_float(graph, node, weight, scales, shifts)


def _plain_gemm(node: ir.Node) -> bool:
    names = {"alpha": 1.0, "beta": 1.0}
    return all(node.attributes[k].as_float() == v for k, v in names.items() if k in node.attributes) and not (
        "transA" in node.attributes and node.attributes["transA"].as_int()
    )


def _bias(node: ir.Node, channels: int) -> Doubles | None:
    """What a layer adds, (O,); None if that is computed at run time or (Gemm) varies over samples."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None:
        return np.zeros(channels)
    if value.const_value is None:
        return None
    array = value.const_value.numpy().astype(np.float64)
    if array.ndim > 1 and array.shape[0] != 1:
        return None
    return np.broadcast_to(array.ravel(), (channels,))


def _inputs_first(node: ir.Node) -> bool:
    """Whether the weight is (C, O) rather than (O, C, ...)."""
    transposed = "transB" in node.attributes and node.attributes["transB"].as_int() == 1
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not transposed)


def _channels_only(array: Doubles, axis: int, rank: int) -> bool:
    """Whether an array that broadcasts to one sample (of this rank) varies over its channel axis at most."""
    shape = (1,) * (rank - array.ndim) + array.shape
    return array.size == shape[0 if axis == 1 else -1]


def _set_float(graph: ir.Graph, node: ir.Node, weight: Doubles, scales: Doubles, shifts: Doubles) -> None:
    shape = (1, -1) if _inputs_first(node) else (-1,) + (1,) * (weight.ndim - 1)
    stem = node.inputs[1].name if node.inputs[1] is not None else node.name
    new_weight = add_constant(graph, f"{stem}.fused", (weight * scales.reshape(shape)).astype(np.float32))
    new_bias = add_constant(graph, f"{stem}.fused_bias", shifts.astype(np.float32))
    if node.op_type == "MatMul":
        gemm = ir.node("Gemm", [node.inputs[0], new_weight, new_bias], name=node.name)
        gemm.outputs[0].name = f"{node.outputs[0].name}_gemm"
        gemm.outputs[0].shape = node.outputs[0].shape
        gemm.outputs[0].type = node.outputs[0].type
        graph.insert_before(node, gemm)
        replace(node.outputs[0], gemm.outputs[0], inherit_name=True)
        graph.remove(node, safe=True)
        return
    node.resize_inputs(3)
    node.replace_input_with(1, new_weight)
    node.replace_input_with(2, new_bias)


def _expand_batch_norm(graph: ir.Graph, node: ir.Node) -> None:
    shape = static_shape(node.inputs[0])
    affine = _batch_norm(node, len(shape)) if shape is not None else None
    if affine is None or node.inputs[0] is None:
        return
    value = node.inputs[0]
    for op, array in (("Mul", affine[0]), ("Add", affine[1])):
        other = add_constant(graph, f"{node.name}.{op.lower()}", array.astype(np.float32))
        new = ir.node(op, [value, other], name=f"{node.name}/{op}")
        new.outputs[0].name = f"{node.name}/{op}_output"
        new.outputs[0].shape = ir.Shape(shape or ())
        new.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        graph.insert_before(node, new)
        value = new.outputs[0]
    replace(node.outputs[0], value, inherit_name=True)
    graph.remove(node, safe=True)
