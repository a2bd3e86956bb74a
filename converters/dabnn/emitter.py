"""The binary graph as a ``.dab`` file: lowering, audit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from bibench_deploy.errors import NotDeployableError
from bibench_deploy.graph import DOMAIN, BinaryGraph

from ..engine import Emitted, TensorView, check_binary_operators
from ..nodes import inputs_of, name_of, nothing_twice, refusal, shape_of
from . import binary, elementwise, floats
from .dab import Kind, Model, parse, write
from .holding import Blob, Held
from .limits import ViolationError, shapes
from .lowering import Handler, Lowering
from .probe import probe
from .sizes import size_of
from .wishes import plain

SUFFIX = ".dab"

#: Every operator that can be lowered.
HANDLERS: Mapping[tuple[str, str], Handler] = {
    (DOMAIN, "Binarize"): binary.step,
    (DOMAIN, "BinaryConv"): binary.conv,
    (DOMAIN, "BinaryLinear"): binary.linear,
    ("", "Conv"): floats.conv,
    ("", "Gemm"): floats.gemm,
    ("", "MatMul"): floats.gemm,
    ("", "MaxPool"): floats.max_pool,
    ("", "AveragePool"): floats.average_pool,
    ("", "GlobalAveragePool"): floats.global_pool,
    ("", "GlobalMaxPool"): floats.global_pool,
    ("", "ReduceMean"): floats.global_pool,
    ("", "Concat"): floats.concat,
    **{("", op): elementwise.arithmetic for op in ("Add", "Sub", "Mul", "Div")},
    ("", "Relu"): elementwise.relu,
    ("", "PRelu"): elementwise.prelu,
    ("", "Clip"): elementwise.clip,
    **{("", op): elementwise.flatten for op in ("Flatten", "Identity", "Reshape", "Squeeze")},
}


def emit(graph: BinaryGraph) -> Emitted:
    """See ``converters.engine.Engine.emit``."""
    low = lower(graph)
    try:
        shapes(low.model)
    except ViolationError as found:
        raise NotDeployableError(
            f"daBNN would not compute it: {found.message}",
            where=f"layer {found.layer}",
            remedy="'bibench-deploy check' says what to change in the model",
        ) from found
    data = write(low.model)
    count = sum(layer.kind == Kind.BIN_CONV for layer in parse(data).layers)
    check_binary_operators(count, graph)
    inputs = tuple(view(value, low.model.shape) for value in inputs_of(low.graph))
    outputs = tuple(view(value, low.held[value].blob.shape) for value in low.graph.outputs)
    return Emitted(data, SUFFIX, inputs, outputs, count, forms=low.forms, probe=probe(low, outputs, view))


def lower(graph: BinaryGraph) -> Lowering:
    """The records of a graph.

    Args:
        graph: fused.

    Raises:
        NotDeployableError: it holds something that the engine can't compute.
    """
    low = _start(nothing_twice(graph.model))
    for node in low.graph:
        handler = HANDLERS.get((node.domain, node.op_type))
        if handler is None:
            raise refusal(node, f"daBNN has no operator {node.op_type}")
        low.node = node
        low.sizes[node.outputs[0]] = size_of(node, low.sizes)
        handler(low, node)
        low.finish(node)
    low.node = None
    finished: set[Blob] = set()
    for value in low.graph.outputs:
        _output(low, value, finished)
    return low


def view(value: ir.Value, shape: tuple[int, int, int]) -> TensorView:
    """How a blob (H, W, C) is seen as a value (N, C, H, W), or flattened."""
    return TensorView(name_of(value), shape_of(value), (1, *shape), (0, 3, 1, 2))


def _start(graph: ir.Graph) -> Lowering:
    inputs = inputs_of(graph)
    if len(inputs) != 1 or inputs[0].dtype != ir.DataType.FLOAT:
        raise NotDeployableError(
            "daBNN takes one input of float32",
            where=f"{len(inputs)} inputs",
            remedy="join the inputs into one",
        )
    value = inputs[0]
    dims = shape_of(value)
    if len(dims) not in (2, 4) or dims[0] != 1:
        raise NotDeployableError(
            f"daBNN takes one picture (1, C, H, W) or row (1, C), not {dims}",
            where=f"input {name_of(value)}",
            remedy="export the model with batch 1",
        )
    shape = (*dims[2:], dims[1]) if len(dims) == 4 else (1, 1, dims[1])
    low = Lowering(graph, Model(name_of(value), shape))
    for each in (value, *graph.outputs):
        low.reserve(name_of(each))
    start = plain(shape[2])
    low.sizes[value] = np.ones(shape[2])
    low.put(value, Held(Blob(name_of(value), shape, own=False), start.scale, start.shift))
    return low


def _output(low: Lowering, value: ir.Value, finished: set[Blob]) -> None:
    """A model output: itself, in a blob of its own that bears its name."""
    if value in low.signs:
        raise NotDeployableError(
            "it is ±1, which daBNN has inside binary layers alone",
            where=f"output {name_of(value)}",
            remedy="let a float layer be the last",
        )
    if low.held[value].blob in finished:
        low.copied(value)
    low.rehold(value, 1.0, 0.0)
    if not low.held[value].blob.own:
        low.copied(value)
    blob = low.held[value].blob
    finished.add(blob)
    low.rename(blob, name_of(value))
