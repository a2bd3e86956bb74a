"""Executing a few nodes of a graph: constant subgraphs, and elementwise subgraphs on a grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as refusals

from bibench_deploy.errors import UnsupportedModelError
from bibench_deploy.graph import DOMAIN

from .load import GRAPH_IR_VERSION

Array = npt.NDArray[np.generic]
_REFUSALS = (
    refusals.Fail,
    refusals.InvalidArgument,
    refusals.InvalidGraph,
    refusals.InvalidProtobuf,
    refusals.NotImplemented,
    refusals.RuntimeException,
)
#: torch's own exporters write files now and then that onnxruntime does not take (2.13: a Clip without its bound,
#: unless optimize=False).
_OTHER_EXPORT = (
    "export it in another way: torch.onnx.export(…, optimize=False), "
    "or torch's other exporter (dynamo=False or True)"
)


#: onnxruntime's fusions of what follows a layer into its weights. A sum of ±1 that is exactly 0 stays 0 when it is
#: multiplied, but a sum of ±0.7 is rounded to one side of it: the sign behind it would be another one than the
#: model's. (Of ResNet18 they save 3 % of the time.)
FUSIONS_INTO_WEIGHTS = ("ConvMulFusion", "ConvBNFusion", "MatmulBNFusion", "ConvAddFusion")


def session(proto: onnx.ModelProto, threads: int = 1, optimize: bool = True) -> ort.InferenceSession:
    """An onnxruntime session on the CPU, quiet, with a fixed number of threads; sums are the model's own."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # its errors are raised; its own log would say them twice
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(
        proto.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=FUSIONS_INTO_WEIGHTS,
    )


def check_executes(proto: onnx.ModelProto, where: str) -> None:
    """Let onnxruntime, the reference of every verification, execute a model once, on zeros.

    Raises:
        UnsupportedModelError: it can't.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    try:
        feeds = {
            value.name: np.zeros(
                [dim.dim_value for dim in value.type.tensor_type.shape.dim],
                helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
            )
            for value in proto.graph.input
            if value.name not in weights
        }
        session(proto, optimize=False).run(None, feeds)
    except (*_REFUSALS, MemoryError) as error:
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UnsupportedModelError(
            f"onnxruntime can't execute it ({line})", where=where, remedy=_OTHER_EXPORT
        ) from error


def run_nodes(
    nodes: Sequence[ir.Node],
    outputs: Sequence[ir.Value],
    opset: int,
    feeds: Mapping[str, Array] | None = None,
) -> list[Array]:
    """Execute nodes (in execution order) and return the outputs named.

    Args:
        feeds: arrays for inner values by name; they need not have the values' shapes.
    """
    feeds = feeds or {}
    produced = {value.name for node in nodes for value in node.outputs}
    graph = onnx.GraphProto(name="part")
    graph.node.extend(ir.to_proto(node) for node in nodes)
    for value in _constants(nodes):
        if value.name not in feeds and value.name not in produced and value.const_value is not None:
            tensor = ir.to_proto(value.const_value)
            tensor.name = value.name or ""
            graph.initializer.append(tensor)
    for name, array in feeds.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    for value in outputs:
        element = int(value.dtype) if value.dtype is not None else onnx.TensorProto.UNDEFINED
        graph.output.append(helper.make_tensor_value_info(value.name or "", element, None))
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=GRAPH_IR_VERSION
    )
    assert not any(node.domain == DOMAIN for node in nodes)
    results: list[Array] = session(proto, optimize=False).run(None, dict(feeds))
    return results


def _constants(nodes: Iterable[ir.Node]) -> list[ir.Value]:
    seen: dict[str, ir.Value] = {}
    for node in nodes:
        for value in node.inputs:
            if value is not None and value.name and value.const_value is not None:
                seen[value.name] = value
    return list(seen.values())
