"""The binary graph as a .tflite file with Larq's operators: lowering, LCE's converter, audit, probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from bibench_deploy.graph import DOMAIN, BinaryGraph

from ..engine import Emitted
from ..nodes import inputs_of, leads_to, name_of, refusal, require_float, shape_of
from . import binary, elementwise, lce, logic, movement, reductions, windows
from .audit import audit
from .flatbuffer import parse
from .geometry import is_windowed, should_rotate
from .graphdef import GraphBuilder
from .layout import Form, Held, Layout, nhwc
from .lowering import Lowering
from .probe import probe

Handler = Callable[[Lowering, ir.Node], None]

#: Every operator that can be lowered.
HANDLERS: Mapping[tuple[str, str], Handler] = {
    (DOMAIN, "Binarize"): binary.binarize,
    (DOMAIN, "BinaryConv"): binary.binary_conv,
    (DOMAIN, "BinaryLinear"): binary.binary_linear,
    **{("", op): elementwise.unary for op in elementwise.UNARY},
    **{("", op): elementwise.arithmetic for op in elementwise.BINARY},
    ("", "LeakyRelu"): elementwise.leaky_relu,
    ("", "Reciprocal"): elementwise.reciprocal,
    ("", "HardSigmoid"): elementwise.hard_sigmoid,
    ("", "HardSwish"): elementwise.hard_swish,
    ("", "Clip"): elementwise.clip,
    ("", "PRelu"): elementwise.prelu,
    ("", "Conv"): windows.conv,
    ("", "MaxPool"): windows.pool,
    ("", "AveragePool"): windows.pool,
    ("", "GlobalAveragePool"): windows.global_pool,
    ("", "GlobalMaxPool"): windows.global_pool,
    **{("", op): reductions.reduce for op in reductions.REDUCTIONS},
    ("", "Softmax"): reductions.softmax,
    ("", "LogSoftmax"): reductions.softmax,
    ("", "Gemm"): reductions.gemm,
    ("", "MatMul"): reductions.matmul,
    **{("", op): movement.reshape for op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")},
    ("", "Identity"): movement.identity,
    ("", "Transpose"): movement.transpose,
    ("", "Concat"): movement.concat,
    ("", "Slice"): movement.slice_,
    ("", "Split"): movement.split,
    ("", "Pad"): movement.pad,
    **{("", op): logic.compare for op in logic.COMPARISONS},
    **{("", op): logic.logical for op in ("Not", "And", "Or")},
    ("", "Where"): logic.where,
    ("", "Cast"): logic.cast,
    ("", "Erf"): logic.erf,
    ("", "Gelu"): logic.gelu,
    ("", "LayerNormalization"): logic.layer_norm,
    ("", "Expand"): logic.expand,
    ("", "Gather"): logic.gather,
}
#: A 3-D input is held spatially where one of these leads it to a convolution.
_TRANSPARENT = {*elementwise.UNARY, *elementwise.BINARY, "Clip", "PRelu", "LeakyRelu", "Pad", "Binarize"}


def emit(graph: BinaryGraph, rotated: bool | None = None) -> Emitted:
    """See ``converters.engine.Engine.emit``; for ``rotated`` see ``lower``."""
    lce.versions()
    where = graph.source.path.name
    low = lower(graph, rotated)
    data = lce.convert(
        low.builder.serialized(),
        [(node, low.builder.shapes[node]) for node in low.inputs],
        list(low.outputs),
        where=where,
    )
    artefact = parse(data)
    count = audit(artefact, low.binary, where)
    return Emitted(
        data,
        ".tflite",
        tuple(low.inputs[artefact.tensors[i].node] for i in artefact.inputs),
        tuple(low.outputs.values()),
        binary_ops=count,
        forms=low.forms,
        probe=probe(data, artefact, low),
    )


def lower(graph: BinaryGraph, rotated: bool | None = None) -> Lowering:
    """The GraphDef of a graph.

    Args:
        graph: fused.
        rotated: whether to lower it rotated by 180 degrees; None: what is better.

    Raises:
        NotDeployableError: Larq can't compute it.
    """
    builder = GraphBuilder()
    low = Lowering(builder, Layout(builder, should_rotate(graph) if rotated is None else rotated))
    for value in inputs_of(graph.model.graph):
        _input(low, value)
    for node in graph.model.graph:
        handler = HANDLERS.get((node.domain, node.op_type))
        if handler is None:
            raise refusal(node, f"it has no operator {node.op_type}")
        if low.is_done(node):
            continue
        if node.op_type not in logic.TAKES_BOOL and any(low.is_bool(v) for v in node.inputs):
            raise refusal(node, "it takes the result of a comparison")
        handler(low, node)
    for value in graph.model.graph.outputs:
        _output(low, value)
    return low


def _input(low: Lowering, value: ir.Value) -> None:
    """A placeholder: NHWC for pictures and for sequences that lead to a convolution.

    Raises:
        NotDeployableError: its numbers are not float32.
    """
    shape, name = shape_of(value), name_of(value)
    require_float(value)
    spatial = len(shape) == 4 or (len(shape) == 3 and leads_to(value, is_windowed, _TRANSPARENT))
    node = low.builder.placeholder(name, nhwc(shape) if spatial else shape)
    upright = Layout(low.builder, rotated=False)
    form: Form = "spatial" if spatial else "plain"
    low.inputs[node] = upright.view(Held(node, shape, form), name)
    if spatial and low.layout.rotated:
        low.put(value, Held(low.builder.reverse(node, (1, 2), f"{name}/rot"), shape, form))
    else:
        low.put(value, Held(node, shape, form))


def _output(low: Lowering, value: ir.Value) -> None:
    """An output under its own name, upright; pictures NHWC."""
    held, name = low.get(value), name_of(value)
    if held.form == "flat":
        held = low.plain(held)
    node = low.layout.upright(held) if held.form == "spatial" else held.node
    node = low.builder.unary("Identity", node, f"{name}/out")
    view = Layout(low.builder, rotated=False).view(held, name)
    low.outputs[node] = view
