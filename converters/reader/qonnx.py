"""QONNX's BipolarQuant, given its definition in standard operators.

``BipolarQuant(x, scale) = scale * (+1 if x >= 0 else -1)`` (QONNX specification, custom_op.general.bipolar_quant).
onnxruntime knows nothing of the domain, so the definition also makes the reference model executable.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bibench_deploy.errors import UnsupportedModelError

#: Domains under which Brevitas, QONNX and FINN have written the operator.
DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


def expand(proto: onnx.ModelProto, where: str) -> None:
    """Replace every BipolarQuant of a model in place.

    Raises:
        UnsupportedModelError: another operator of these domains (multi-bit quantization).
    """
    if not any(node.domain in DOMAINS for node in proto.graph.node):
        return
    constants = {"zero": 0.0, "one": 1.0, "minus_one": -1.0}
    names = {key: f"bipolar_quant_{key}" for key in constants}
    for key, value in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), names[key]))
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        if node.domain not in DOMAINS:
            nodes.append(node)
            continue
        name = node.name or node.output[0]
        if node.op_type != "BipolarQuant":
            raise UnsupportedModelError(
                f"node {name}: {node.domain}.{node.op_type} quantizes to more than one bit",
                where=where,
                remedy="export layers of more than one bit in float, or as QDQ nodes of standard ONNX",
            )
        nodes += [
            helper.make_node("Less", [node.input[0], names["zero"]], [f"{name}_below"], f"{name}/Less"),
            helper.make_node(
                "Where",
                [f"{name}_below", names["minus_one"], names["one"]],
                [f"{name}_sign"],
                f"{name}/Where",
            ),
            helper.make_node("Mul", [f"{name}_sign", node.input[1]], [node.output[0]], name),
        ]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    kept = [entry for entry in proto.opset_import if entry.domain not in DOMAINS]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
