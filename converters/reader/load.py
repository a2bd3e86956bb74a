"""From a file to the reference model: read, check, and pin down what deployment needs to be static.

Everything refused here is refused with the file, the node or input it is about, and a way out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, numpy_helper, shape_inference, version_converter

from bibench_deploy.errors import ModelFileError, UnsupportedModelError
from bibench_deploy.graph import MIN_OPSET, Source

from . import qonnx
from .model_file import read_model

#: Oldest operator set that the two torch exporters and common tools still write.
OLDEST_OPSET = 11
STANDARD_DOMAINS = ("", "ai.onnx")
#: IR version 8 introduced model-local functions as the binary graph uses them; 10 is what torch writes.
GRAPH_IR_VERSION = 10

_NETWORK_INPUT_TYPES = {TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
#: All inputs but the first are trained numbers. An infinity elsewhere may be a mask or an open limit.
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "PRelu"}
_TENSOR_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
_UNSUPPORTED_FLOATS: dict[int, str] = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
}


def load(path: Path) -> Source:
    """Read an ONNX file as the reference model.

    A free batch size becomes 1; an output that is listed twice is listed once; operator sets below 18 are raised
    to 18; model-local functions are inlined; QONNX's BipolarQuant is given its definition in standard operators.
    Nothing else changes.

    Raises:
        ModelFileError: no such file, not an ONNX file, truncated, or its external data is missing or
            lies outside the model's folder.
        UnsupportedModelError: operator set too old or too new, a dynamic dimension other than the batch,
            operators of another domain, exported in training mode, floats that are not float32, NaN or infinite
            weights.
    """
    proto, digest = read_model(path)
    where = str(path)
    _check_opset(proto, where)
    proto = onnx.inliner.inline_local_functions(proto) if proto.functions else proto
    qonnx.expand(proto, where)
    _check_domains(proto, where)
    _check_mode(proto, where)
    _check_weights(proto, where)
    _fix_batch(proto, where)
    _list_once(proto)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    return Source(
        path=path, sha256=digest, proto=_infer(_raise_opset(proto, where), where), metadata=metadata
    )


def _check_opset(proto: onnx.ModelProto, where: str) -> None:
    newest = onnx.defs.onnx_opset_version()
    for entry in proto.opset_import:
        if entry.domain in STANDARD_DOMAINS:
            if entry.version > newest:
                raise UnsupportedModelError(
                    f"operator set {entry.version} is newer than the installed onnx knows ({newest})",
                    where=where,
                    remedy=f"export with opset_version={newest} or lower, or install a newer onnx",
                )
            if entry.version < OLDEST_OPSET:
                raise UnsupportedModelError(
                    f"operator set {entry.version} is older than {OLDEST_OPSET}",
                    where=where,
                    remedy="export the model again with opset_version=17",
                )
            return
    raise UnsupportedModelError(
        "it imports no standard operator set", where=where, remedy="export the model again"
    )


def _check_domains(proto: onnx.ModelProto, where: str) -> None:
    for node in _all_nodes(proto.graph):
        if node.domain not in STANDARD_DOMAINS:
            raise UnsupportedModelError(
                f"node {node.name or node.output[0]}: "
                f"operator {node.domain}.{node.op_type} is not standard ONNX",
                where=where,
                remedy="export the model with standard operators only",
            )


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Those in branches and loops too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _all_nodes(inner)


def _check_mode(proto: onnx.ModelProto, where: str) -> None:
    """Refuse a batch-norm that normalizes each batch by itself: every row's result would depend on the others'."""
    for node in _all_nodes(proto.graph):
        mode = next((entry.i for entry in node.attribute if entry.name == "training_mode"), 0)
        if node.op_type == "BatchNormalization" and mode:
            raise UnsupportedModelError(
                f"node {node.name or node.output[0]}: a batch-norm in training mode",
                where=where,
                remedy="call model.eval() before the export, and leave torch.onnx.export's training= out",
            )


def _check_weights(proto: onnx.ModelProto, where: str) -> None:
    weights = {
        name for node in proto.graph.node if node.op_type in _WEIGHTED for name in node.input[1:] if name
    }
    initializers = {tensor.name for tensor in proto.graph.initializer}
    for tensor in _constants(proto.graph):
        if tensor.name in initializers and tensor.data_type in _UNSUPPORTED_FLOATS:
            raise UnsupportedModelError(
                f"tensor {tensor.name} is {_UNSUPPORTED_FLOATS[tensor.data_type]}",
                where=where,
                remedy="export the model in float32 (model.float())",
            )
        if tensor.data_type not in _TENSOR_TYPES:
            raise ModelFileError(
                f"tensor {tensor.name} is damaged (there is no type {tensor.data_type})",
                where=where,
                remedy="export the model again",
            )
        try:
            array = numpy_helper.to_array(tensor)
        except ValueError as error:
            raise ModelFileError(
                f"tensor {tensor.name} is damaged ({error})", where=where, remedy="export the model again"
            ) from error
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise UnsupportedModelError(
                f"tensor {tensor.name} holds {int(np.isnan(array).sum())} NaN of {array.size} numbers",
                where=where,
                remedy="the training diverged: take an earlier checkpoint",
            )
        if tensor.name in weights and array.dtype.kind == "f" and np.isinf(array).any():
            raise UnsupportedModelError(
                f"tensor {tensor.name} holds {int(np.isinf(array).sum())} infinite of {array.size} numbers",
                where=where,
                remedy="the training diverged: take an earlier checkpoint",
            )


def _constants(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Initializers, and the tensors of Constant nodes under the name of the node's result."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                tensor = TensorProto()
                tensor.CopyFrom(attribute.t)
                tensor.name = node.output[0]
                yield tensor


def _fix_batch(proto: onnx.ModelProto, where: str) -> None:
    """Set a free first dimension of every network input to 1; refuse any other free dimension."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if not inputs:
        raise UnsupportedModelError("it has no input", where=where, remedy="export the model again")
    for value in inputs:
        tensor = value.type.tensor_type
        if tensor.elem_type in _UNSUPPORTED_FLOATS:
            raise UnsupportedModelError(
                f"input {value.name} is {_UNSUPPORTED_FLOATS[tensor.elem_type]}",
                where=where,
                remedy="export the model in float32 (model.float())",
            )
        if tensor.elem_type not in _NETWORK_INPUT_TYPES or not tensor.HasField("shape"):
            raise UnsupportedModelError(
                f"input {value.name} is not a tensor of known type and rank",
                where=where,
                remedy="export with an example input",
            )
        for axis, dim in enumerate(tensor.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            if axis > 0:
                raise UnsupportedModelError(
                    f"axis {axis} of input {value.name} is free ('{dim.dim_param or '?'}'); "
                    "only the batch may be",
                    where=where,
                    remedy="export with fixed sizes (dynamic_axes or dynamic_shapes for axis 0 alone)",
                )
            dim.dim_value = 1
    # Shapes that were stored for a free batch would contradict the fixed one.
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")


def _list_once(proto: onnx.ModelProto) -> None:
    """Drop outputs that stand in the list again: they are the same numbers under the same name."""
    outputs = {value.name: value for value in reversed(proto.graph.output)}
    kept = [outputs[name] for name in dict.fromkeys(value.name for value in proto.graph.output)]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)


def _raise_opset(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    version = next(entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS)
    if version < MIN_OPSET:
        inferred = _infer(proto, where)  # the converter's adapters want ranks
        try:
            proto = version_converter.convert_version(inferred, MIN_OPSET)
        except (RuntimeError, version_converter.ConvertError) as error:
            raise UnsupportedModelError(
                f"operator set {version} can't be raised to {MIN_OPSET} ({_first_line(error)})",
                where=where,
                remedy=f"export the model again with opset_version={MIN_OPSET}",
            ) from error
    proto.ir_version = max(proto.ir_version, GRAPH_IR_VERSION)
    return proto


def _infer(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    try:
        return shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise UnsupportedModelError(
            f"its shapes don't fit together ({_first_line(error)})",
            where=where,
            remedy="check that the model runs in onnxruntime",
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
