"""Small ONNX models as an exporter would hand them over, written in ONNX's text form, and their execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper, parser

Array = npt.NDArray[np.generic]


def make_model(
    body: str,
    constants: Mapping[str, npt.ArrayLike] | None = None,
    *,
    inputs: str = "float[1, 4, 6, 6] x",
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    ir_version: int = 8,
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model from the text of its nodes; every node is named after its first output.

    Args:
        body: nodes such as ``y = Relu (x)``.
        constants: initializers; those that no node names are left out.
        inputs: their declarations.
        outputs: names; of float, without a shape.
        domains: further operator sets.
    """
    imports = ", ".join(f'"{name}": {version}' for name, version in {"": opset, **(domains or {})}.items())
    declared = ", ".join(f"float {name}" for name in outputs)
    model = parser.parse_model(
        f"<ir_version: {ir_version}, opset_import: [{imports}]> m ({inputs}) => ({declared}) {{ {body} }}"
    )
    for node in model.graph.node:
        node.name = f"/{node.output[0]}/{node.op_type}"
    used = {name for node in model.graph.node for name in node.input} | set(outputs)
    for name, array in (constants or {}).items():
        if name in used:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def save(path: Path, model: onnx.ModelProto) -> Path:
    """Write a model; returns the path."""
    path.write_bytes(model.SerializeToString())
    return path


def execute(
    model: onnx.ModelProto, feeds: Mapping[str, Array], names: Sequence[str] | None = None
) -> dict[str, Array]:
    """What onnxruntime computes: the outputs, or any values by their names."""
    model = _with_outputs(model, names) if names is not None else model
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    wanted = [value.name for value in session.get_outputs()]
    return dict(zip(wanted, session.run(wanted, dict(feeds)), strict=True))


def float_values(model: onnx.ModelProto) -> set[str]:
    """Names of what a model's nodes compute in float32, the types inferred."""
    inferred = onnx.shape_inference.infer_shapes(model)
    values = [*inferred.graph.value_info, *inferred.graph.output]
    floats = {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    return floats & {name for node in model.graph.node for name in node.output}


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model)
    del wanted.graph.output[:]
    wanted.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return wanted
