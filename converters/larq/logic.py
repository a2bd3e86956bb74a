"""Comparisons and selections, and other operators that only float parts of a network use."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from ..nodes import (
    constant,
    constant_of,
    integer,
    name_of,
    number,
    operand,
    optional_constant,
    refusal,
    shape_of,
    text,
)
from .elementwise import map_one, ranked
from .layout import Form, Held, nhwc, spatial_axis
from .lowering import Lowering
from .movement import part, reshaped

COMPARISONS = {
    "Greater": "Greater",
    "GreaterOrEqual": "GreaterEqual",
    "Less": "Less",
    "LessOrEqual": "LessEqual",
    "Equal": "Equal",
}
#: What takes the result of a comparison; nothing else can, as everything else moves float32.
TAKES_BOOL = ("Not", "And", "Or", "Where", "Cast")


def aligned(low: Lowering, values: list[ir.Value], shape: tuple[int, ...]) -> tuple[list[str], Held]:
    """Operands in one form, and a template of the result that has that form.

    Args:
        low: the lowering.
        values: tensors and constants.
        shape: of the result.
    """
    held = {value: low.get(value) for value in values if constant_of(value) is None}
    first = next(iter(held.values()))
    form: Form = "plain"
    if len(shape) in (3, 4) and any(h.form == "spatial" for h in held.values()):
        form = "spatial"
        held = {value: low.spatial(ranked(low, h, len(shape))) for value, h in held.items()}
    elif first.form == "flat" and all((h.form, h.source) == ("flat", first.source) for h in held.values()):
        form = "flat"
    else:
        held = {value: low.plain(h) for value, h in held.items()}
    template = Held("", shape, form, first.source if form == "flat" else ())
    nodes = []
    for value in values:
        array = constant_of(value)
        if array is None:
            nodes.append(held[value].node)
        else:
            nodes.append(low.builder.const(low.layout.constant(template, array), name_of(value)))
    return nodes, template


def compare(low: Lowering, node: ir.Node) -> None:
    """Greater, Less, Equal and their kin."""
    out = node.outputs[0]
    shape, name = shape_of(out), name_of(out)
    nodes, template = aligned(low, [operand(node, 0), operand(node, 1)], shape)
    held = nhwc(shape) if template.form == "spatial" else shape
    extra = {"incompatible_shape_error": True} if node.op_type == "Equal" else {}
    y = low.builder.node(COMPARISONS[node.op_type], nodes, held, name, T="float", **extra)
    low.bools.add(y)
    low.put(out, template.moved(y, shape))


def logical(low: Lowering, node: ir.Node) -> None:
    """Not, And, Or of comparisons."""
    out = node.outputs[0]
    nodes, template = aligned(low, [operand(node, i) for i in range(len(node.inputs))], shape_of(out))
    if not set(nodes) <= low.bools:
        raise refusal(node, "an operand is not a comparison")
    shape = np.broadcast_shapes(*(low.builder.shapes[n] for n in nodes))
    y = low.builder.node(f"Logical{node.op_type}", nodes, shape, name_of(out))
    low.bools.add(y)
    low.put(out, template.moved(y, shape_of(out)))


def where(low: Lowering, node: ir.Node) -> None:
    """Where, of a comparison."""
    out = node.outputs[0]
    shape, name = shape_of(out), name_of(out)
    nodes, template = aligned(low, [operand(node, i) for i in range(3)], shape)
    if nodes[0] not in low.bools:
        raise refusal(node, "its condition is not a comparison of tensors")
    held = nhwc(shape) if template.form == "spatial" else shape
    low.put(out, template.moved(low.builder.node("SelectV2", nodes, held, name, T="float"), shape))


def cast(low: Lowering, node: ir.Node) -> None:
    """Cast of a comparison to float32, as 1 and 0; of float32 to itself."""
    if integer(node, "to", 0) != ir.DataType.FLOAT.value:
        raise refusal(node, "Larq's artefacts hold float32 only")
    held, out, g = low.get(operand(node, 0)), node.outputs[0], low.builder
    if held.node not in low.bools:
        low.put(out, held)
        return
    one, zero = g.const(np.float32(1)), g.const(np.float32(0))
    y = g.node("SelectV2", [held.node, one, zero], g.shapes[held.node], name_of(out), T="float")
    low.put(out, held.moved(y, held.shape))


def erf(low: Lowering, node: ir.Node) -> None:
    """Erf, which TFLite lacks, by Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7."""
    g = low.builder
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)

    def emit(x: str, name: str) -> str:
        size = g.unary("Abs", x, f"{name}/abs")
        below = g.binary("AddV2", g.binary("Mul", size, 0.3275911, f"{name}/p"), 1.0, f"{name}/below")
        t = g.binary("RealDiv", g.const(np.float32(1)), below, f"{name}/t")
        tail = g.binary("Mul", t, terms[0], f"{name}/a5")
        for i, term in enumerate(terms[1:]):
            tail = g.binary("Mul", g.binary("AddV2", tail, term, f"{name}/s{i}"), t, f"{name}/t{i}")
        square = g.unary("Neg", g.unary("Square", x, f"{name}/sq"), f"{name}/neg")
        gone = g.binary("Mul", tail, g.unary("Exp", square, f"{name}/exp"), f"{name}/gone")
        left = g.binary("Sub", g.const(np.float32(1)), gone, f"{name}/left")
        return g.binary("Mul", left, g.unary("Sign", x, f"{name}/sign"), name)

    map_one(low, node, emit)


def gelu(low: Lowering, node: ir.Node) -> None:
    """Gelu: in the spelling that becomes TFLite's operator, or by tanh."""
    g, by_tanh = low.builder, text(node, "approximate", "none") == "tanh"

    def emit(x: str, name: str) -> str:
        if by_tanh:
            cube = g.binary("Mul", g.unary("Square", x, f"{name}/sq"), x, f"{name}/cube")
            line = g.binary("AddV2", g.binary("Mul", cube, 0.044715, f"{name}/c"), x, f"{name}/line")
            bent = g.binary("Mul", line, math.sqrt(2 / math.pi), f"{name}/bent")
            gate = g.binary("AddV2", g.unary("Tanh", bent, f"{name}/tanh"), 1.0, f"{name}/gate")
            return g.binary("Mul", g.binary("Mul", gate, 0.5, f"{name}/share"), x, name)
        gate = g.unary("Erf", g.binary("Mul", x, math.sqrt(0.5), f"{name}/scaled"), f"{name}/erf")
        half = g.binary("Mul", x, 0.5, f"{name}/half")
        return g.binary("Mul", half, g.binary("AddV2", gate, 1.0, f"{name}/gate"), name)

    map_one(low, node, emit)


def layer_norm(low: Lowering, node: ir.Node) -> None:
    """LayerNormalization over the last axes, from its parts."""
    out = node.outputs[0]
    if any(value.uses() for value in node.outputs[1:]):
        raise refusal(node, "its mean or deviation is used")
    held, g, name = low.plain(low.get(operand(node, 0))), low.builder, name_of(out)
    rank = len(held.shape)
    axes = list(range(integer(node, "axis", -1) % rank, rank))
    centred = g.binary("Sub", held.node, g.reduce("Mean", held.node, axes, True, f"{name}/mean"), f"{name}/c")
    variance = g.reduce("Mean", g.unary("Square", centred, f"{name}/sq"), axes, True, f"{name}/var")
    nearby = g.binary("AddV2", variance, number(node, "epsilon", 1e-5), f"{name}/eps")
    y = g.binary("Mul", centred, g.unary("Rsqrt", nearby, f"{name}/rsqrt"), f"{name}/unit")
    y = g.binary("Mul", y, constant(node, 1).astype(np.float32), f"{name}/scaled")
    bias = optional_constant(node, 2)
    if bias is not None:
        y = g.binary("AddV2", y, bias.astype(np.float32), name)
    low.put(out, held.moved(y, held.shape))


def expand(low: Lowering, node: ir.Node) -> None:
    """Expand to a constant shape."""
    out = node.outputs[0]
    held, shape = low.get(operand(node, 0)), shape_of(out)
    if held.shape == shape:
        low.put(out, held)
        return
    held = ranked(low, held, len(shape))
    target = nhwc(shape) if held.form == "spatial" else shape
    if held.form == "flat":
        held = low.plain(held)
    amounts = low.builder.const(np.asarray(target, np.int32))
    y = low.builder.node("BroadcastTo", [held.node, amounts], target, name_of(out), T="float", Tidx="int32")
    low.put(out, Held(y, shape, held.form))


def gather(low: Lowering, node: ir.Node) -> None:
    """Gather with constant indices."""
    out, value = node.outputs[0], operand(node, 0)
    if constant_of(value) is not None:
        raise refusal(node, "it looks values up by computed indices")
    held, index = low.raw(value), constant(node, 1).astype(np.int64)
    rank = len(held.shape)
    axis = integer(node, "axis", 0) % rank
    index = np.where(index < 0, index + held.shape[axis], index)
    shape, name = shape_of(out), name_of(out)
    if index.ndim == 0:
        taken = [range(n) for n in held.shape]
        taken[axis] = range(int(index), int(index) + 1)
        low.put(out, reshaped(low, part(low, held, taken, f"{name}/one"), shape, name))
        return
    if index.ndim > 1:
        raise refusal(node, "its indices are not a list")
    spatial = held.form == "spatial" and axis == 1
    held = held if spatial else low.plain(held)
    place = spatial_axis(rank, axis) if spatial else axis
    g = low.builder
    sizes = list(g.shapes[held.node])
    sizes[place] = index.size
    inputs = [held.node, g.const(index.astype(np.int32)), g.const(np.int32(place))]
    y = g.node(
        "GatherV2", inputs, sizes, name, Tparams="float", Tindices="int32", Taxis="int32", batch_dims=0
    )
    low.put(out, held.moved(y, shape))
