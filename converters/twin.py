"""The fp32 twin: the same architecture with its binary layers as float convolutions.

It is the baseline that speedup and compression are relative to. Its numbers are not a trained model's: a sign
becomes the hard tanh that its gradient passes through (Courbariaux 2016), binary weights stay ±α as floats. It is
verified like any artefact, against its own graph in onnxruntime.
"""

from __future__ import annotations

from dataclasses import replace as replaced

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass

from bibench_deploy.graph import DOMAIN, BinaryGraph, BinaryLayer, is_binarize, is_binary_layer
from bibench_deploy.graph.edit import add_constant, is_constant, replace

from .fusion import fuse

VARIANT = "fp32"


def fp32_twin(graph: BinaryGraph) -> BinaryGraph:
    """The twin of a fused graph. Its source is the same file; its reference model is the twin itself."""
    model = graph.model.clone()
    for node in list(model.graph):
        if is_binarize(node):
            _relax(model.graph, node)
        elif is_binary_layer(node):
            _drop_run_time_factor(model.graph, node)
            _widen(model.graph, node)
    for identifier in [key for key in model.functions if key[0] == DOMAIN]:
        del model.functions[identifier]
    del model.opset_imports[DOMAIN]
    RemoveUnusedNodesPass()(model)
    NameFixPass()(model)
    layers = tuple(
        replaced(layer, kind="float", pad_value=None, mean_shift=False) if layer.kind == "binary" else layer
        for layer in graph.layers
    )
    twin = fuse(BinaryGraph(model, graph.source, layers))  # behind a factor that went, a batch-norm was left
    return replaced(twin, source=replaced(graph.source, proto=ir.to_proto(twin.model)))


def _relax(graph: ir.Graph, node: ir.Node) -> None:
    """Binarize → hard tanh. The threshold goes too: a float network needs no shift before its activation."""
    limits = [
        add_constant(graph, f"{node.name}.{label}", np.asarray(limit, np.float32))
        for label, limit in (("low", -1.0), ("high", 1.0))
    ]
    _swap(graph, node, ir.node("Clip", [node.inputs[0], *limits], name=f"{node.name}/float"))


def _drop_run_time_factor(graph: ir.Graph, node: ir.Node) -> None:
    """XNOR's K belongs to the algorithm, not to the architecture: a float network has none."""
    if BinaryLayer(node).scale != "input":
        return
    output = node.outputs[0]
    for user, index in list(output.uses()):
        other = user.inputs[1 - index] if user.op_type == "Mul" and user.domain == "" else None
        if other is not None and not is_constant(other):
            replace(user.outputs[0], output, inherit_name=True)
            graph.remove(user, safe=True)


def _widen(graph: ir.Graph, node: ir.Node) -> None:
    """BinaryConv → Conv, BinaryLinear → Gemm or MatMul and Add, with float weights and bias."""
    layer = BinaryLayer(node)
    signs = layer.signs.astype(np.float32)
    scale = layer.multiplier.reshape(len(signs), -1).mean(axis=1)
    weights = signs * scale.reshape((-1,) + (1,) * (signs.ndim - 1))
    bias = np.broadcast_to(layer.bias.reshape(len(layer.bias), -1).mean(axis=1), (len(signs),))
    data = node.inputs[0]
    constant = add_constant(graph, f"{layer.name}.float_bias", bias.astype(np.float32))
    if layer.is_conv:
        weight = add_constant(graph, f"{layer.name}.float_weight", weights)
        attributes: dict[str, int | list[int]] = {
            "pads": [*(p[0] for p in layer.pads), *(p[1] for p in layer.pads)],
            "strides": list(layer.strides),
            "dilations": list(layer.dilations),
            "group": layer.group,
        }
        new = ir.node("Conv", [data, weight, constant], attributes, name=f"{node.name}/float")
    elif len(node.outputs[0].shape or ()) == 2:
        weight = add_constant(graph, f"{layer.name}.float_weight", weights)
        new = ir.node("Gemm", [data, weight, constant], {"transB": 1}, name=f"{node.name}/float")
    else:
        weight = add_constant(graph, f"{layer.name}.float_weight", np.ascontiguousarray(weights.T))
        product = ir.node("MatMul", [data, weight], name=f"{node.name}/float")
        _describe(product, node, f"{node.name}/product")
        graph.insert_before(node, product)
        new = ir.node("Add", [product.outputs[0], constant], name=f"{node.name}/float_bias")
    _swap(graph, node, new)


def _describe(new: ir.Node, node: ir.Node, name: str) -> None:
    new.outputs[0].name = name
    new.outputs[0].shape = node.outputs[0].shape
    new.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)


def _swap(graph: ir.Graph, node: ir.Node, new: ir.Node) -> None:
    _describe(new, node, f"{node.name}/float_output")
    graph.insert_before(node, new)
    replace(node.outputs[0], new.outputs[0], inherit_name=True)
    graph.remove(node, safe=True)
