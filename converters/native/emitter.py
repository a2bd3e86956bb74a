"""The binary graph as a ``.bbm`` file: lowering, audit, probe."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import onnx_ir as ir

from bibench_deploy.graph import DOMAIN, BinaryGraph

from ..engine import Emitted, Probe, TensorView, check_binary_operators
from ..nodes import inputs_of, leads_to, name_of, nothing_twice, refusal, require_float, shape_of
from . import bbm, elementwise, layers, movement, windows
from .layout import Held
from .lowering import Lowering

Handler = Callable[[Lowering, ir.Node], None]
SUFFIX = ".bbm"

#: Every operator that can be lowered.
HANDLERS: Mapping[tuple[str, str], Handler] = {
    (DOMAIN, "Binarize"): layers.step,
    (DOMAIN, "BinaryConv"): layers.binary_conv,
    (DOMAIN, "BinaryLinear"): layers.binary_linear,
    ("", "Conv"): layers.conv,
    ("", "Gemm"): layers.gemm,
    ("", "MatMul"): layers.matmul,
    **{
        ("", op): elementwise.fusible
        for op in ("Add", "Sub", "Mul", "Div", "Relu", "Clip", "PRelu", "LeakyRelu")
    },
    **{("", op): elementwise.arithmetic for op in ("Min", "Max", "Pow")},
    **{("", op): elementwise.unary for op in elementwise.UNARY},
    ("", "Elu"): elementwise.elu,
    ("", "Gelu"): elementwise.gelu,
    ("", "HardSigmoid"): elementwise.hard_sigmoid,
    ("", "LayerNormalization"): elementwise.layer_norm,
    **{("", op): elementwise.identity for op in ("Cast", "Identity")},
    ("", "MaxPool"): windows.pool,
    ("", "AveragePool"): windows.pool,
    ("", "GlobalAveragePool"): windows.global_pool,
    ("", "GlobalMaxPool"): windows.global_pool,
    **{("", op): windows.reduce for op in windows.REDUCTIONS},
    ("", "Softmax"): windows.softmax,
    ("", "LogSoftmax"): windows.softmax,
    **{("", op): movement.reshape for op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")},
    ("", "Transpose"): movement.transpose,
    ("", "Concat"): movement.concat,
    ("", "Slice"): movement.slice_,
    ("", "Split"): movement.split,
    ("", "Pad"): movement.pad,
    ("", "Expand"): movement.expand,
}
#: A 3-D input is held spatially where one of these leads it to a convolution.
_TRANSPARENT = {
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Relu",
    "Clip",
    "PRelu",
    "LeakyRelu",
    "Pad",
    "Binarize",
    *elementwise.UNARY,
}
_WINDOWED = {"Conv", "BinaryConv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}


def emit(graph: BinaryGraph) -> Emitted:
    """See ``converters.engine.Engine.emit``."""
    low = lower(graph)
    data = bbm.write(low.model)
    artefact = bbm.parse(data)
    count = sum(operator.op == bbm.Op.BCONV for operator in artefact.operators)
    check_binary_operators(count, graph)
    inputs = tuple(low.held[value].view(name_of(value)) for value in inputs_of(low.graph))
    outputs = tuple(low.held[value].view(name_of(value)) for value in low.graph.outputs)
    return Emitted(data, SUFFIX, inputs, outputs, count, forms=low.forms, probe=probe(low, outputs))


def lower(graph: BinaryGraph) -> Lowering:
    """The records of a graph.

    Args:
        graph: fused.

    Raises:
        NotDeployableError: it holds something that the engine can't compute.
    """
    low = Lowering(nothing_twice(graph.model), _node)
    for value in inputs_of(low.graph):
        _input(low, value)
    for node in low.graph:
        _node(low, node)
    for value in low.graph.outputs:
        _output(low, value)
    return low


def _node(low: Lowering, node: ir.Node) -> None:
    """One node, unless an earlier one took it along."""
    handler = HANDLERS.get((node.domain, node.op_type))
    if handler is None:
        raise refusal(node, f"it has no operator {node.op_type}")
    if not low.is_done(node):
        low.skip(node)
        handler(low, node)


def probe(low: Lowering, outputs: tuple[TensorView, ...]) -> Probe:
    """The artefact with every inner value as a further output: floats as they are, bits expanded to ±1."""
    model = copy.copy(low.model)
    model.tensors, model.operators = list(model.tensors), list(model.operators)
    model.outputs = list(model.outputs)
    points = dict(enumerate(outputs))
    known = {view.name for view in (*outputs, *(low.held[v].view(name_of(v)) for v in inputs_of(low.graph)))}
    taken = {*model.outputs, *model.inputs}
    for node in low.graph:
        for value in node.outputs:
            held = low.held.get(value)
            if held is None or name_of(value) in known:
                continue
            tensor = held.tensor
            if tensor is None:
                bits = next(iter(held.bits.values()))
                tensor = len(model.tensors)
                name = f"{model.tensors[bits].name}/probe"
                model.tensors.append(bbm.Tensor(name, bbm.DType.FLOAT, held.dims))
                model.operators.append(bbm.Operator(bbm.Op.EXPAND_BITS, name, (bits,), (tensor,)))
            if tensor in taken:
                continue  # a reshape that moved nothing: the same tensor under another name
            taken.add(tensor)
            known.add(name_of(value))
            points[len(model.outputs)] = held.view(name_of(value))
            model.outputs.append(tensor)
    return Probe(bbm.write(model), points)


def _input(low: Lowering, value: ir.Value) -> None:
    """A model input: NHWC for pictures and for sequences that lead to a convolution.

    Raises:
        NotDeployableError: its numbers are not float32.
    """
    shape = shape_of(value)
    require_float(value)
    spatial = len(shape) == 4 or (len(shape) == 3 and leads_to(value, _is_windowed, _TRANSPARENT))
    held = Held(shape, "spatial" if spatial else "plain")
    tensor = low.activation(name_of(value), held.dims)
    low.model.inputs.append(tensor)
    low.put(value, held.of(tensor))


def _is_windowed(node: ir.Node) -> bool:
    return node.op_type in _WINDOWED


def _output(low: Lowering, value: ir.Value) -> None:
    """A model output: a float tensor of its own, in NHWC or ONNX's order."""
    held = low.get(value)
    tensor = low.float_of(low.plain(held) if held.form == "flat" else held)
    if held.form == "flat":
        held = low.plain(held)
    record = low.model.tensors[tensor]
    if record.data is not None or tensor in low.model.inputs or tensor in low.model.outputs:
        tensor = low.emit(bbm.Op.MAP, f"{name_of(value)}/out", [tensor], held.dims)
    low.held[value] = held.of(tensor)
    low.model.outputs.append(tensor)
