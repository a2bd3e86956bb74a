"""Operators that work element by element."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..nodes import constant_of, name_of, number, operand, refusal, shape_of, text
from .bbm import Array, Op
from .epilogue import Epilogue
from .growth import grow, take
from .layout import Held
from .lowering import Lowering
from .steps import LARGEST, clip_bounds

#: ONNX operator → kind of UNARY, for those without attributes.
UNARY = {
    "Abs": 2, "Neg": 3, "Sigmoid": 4, "Tanh": 5, "Exp": 6, "Log": 7, "Sqrt": 8, "Reciprocal": 9, "Erf": 12,
    "HardSwish": 15, "Softplus": 16, "Floor": 17, "Ceil": 18, "Round": 19, "Sign": 20, "Sin": 21, "Cos": 22,
}  # fmt: skip
#: ONNX operator → kind of BINARY.
BINARY = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3, "Min": 4, "Max": 5, "Pow": 6}
_CLIP, _LEAKY_RELU, _ELU, _GELU, _HARD_SIGMOID = 1, 10, 11, 13, 14


def fusible(low: Lowering, node: ir.Node) -> None:
    """Arithmetic, clips and PReLU: MAP with what follows where it fits, else an operator of their own."""
    for index, value in enumerate(node.inputs[:2]):
        if value is None or constant_of(value) is not None or not low.is_ready(value):
            continue
        if index == 1 and node.op_type not in ("Add", "Sub", "Mul"):
            break
        if _mapped(low, node, value):
            return
    if node.op_type == "PRelu":
        _prelu(low, node)
    elif node.op_type in BINARY:
        arithmetic(low, node)
    elif node.op_type == "LeakyRelu":
        unary_kind(low, node, _LEAKY_RELU, number(node, "alpha", 0.01))
    else:
        bounds = clip_bounds(node)
        if bounds is None:
            raise refusal(node, "its bounds are computed, not constant")
        unary_kind(low, node, _CLIP, *bounds)


def _mapped(low: Lowering, node: ir.Node, value: ir.Value) -> bool:
    """A node and what follows as one MAP; False where the node itself doesn't fit."""
    held = low.get(value)
    if held.shape != shape_of(node.outputs[0]) or len(held.shape) > 4:
        return False
    epilogue = Epilogue(low, value, held.of(None))
    if not take(epilogue, node):
        epilogue.end()
        return False
    grow(epilogue)
    epilogue.emit(Op.MAP, low.float_of(held))
    return True


def arithmetic(low: Lowering, node: ir.Node) -> None:
    """Add, Sub, Mul, Div, Min, Max, Pow with ONNX's broadcasting."""
    kind = BINARY[node.op_type]
    name, shape = name_of(node.outputs[0]), shape_of(node.outputs[0])
    values = [operand(node, i) for i in range(len(node.inputs))]
    like = _like(low, values, shape)
    result = _operand(low, values[0], like)
    if len(values) == 1:
        result = low.emit(Op.BINARY, name, [result, low.constant(np.zeros((1,) * 4))], like.dims, [0])
    sizes = low.model.tensors[result].dims
    for index, value in enumerate(values[1:]):
        other = _operand(low, value, like)
        sizes = _broadcast(sizes, low.model.tensors[other].dims)
        label = name if index == len(values) - 2 else f"{name}/{index}"
        result = low.emit(Op.BINARY, label, [result, other], sizes, [kind])
    if sizes != like.dims:
        raise refusal(node, f"its operands broadcast to {sizes}, not to {like.dims}")
    low.put(node.outputs[0], like.of(result))


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, int, int, int]:
    n, h, w, c = np.broadcast_shapes(a, b)
    return n, h, w, c


def _like(low: Lowering, values: list[ir.Value], shape: tuple[int, ...]) -> Held:
    """The form of a result: that of the first operand that has its shape."""
    for value in values:
        if constant_of(value) is None and low.get(value).shape == shape:
            return low.get(value).of(None)
    spatial = any(low.get(v).form == "spatial" for v in values if constant_of(v) is None)
    return Held(shape, "spatial" if spatial and len(shape) in (3, 4) else "plain")


def _operand(low: Lowering, value: ir.Value, like: Held) -> int:
    """A float tensor that broadcasts to the form of a result."""
    array = constant_of(value)
    if array is not None:
        return low.constant(like.constant(array.astype(np.float32)))
    held = low.get(value)
    if held.shape == like.shape:
        same = low.as_form(held, like)
        if same is not None:
            return low.float_of(same)
    return low.float_of(_ranked(low, low.plain(held), like, value))


def _ranked(low: Lowering, held: Held, like: Held, value: ir.Value) -> Held:
    """A plain value with leading axes of size 1 up to a rank, in a form."""
    shape = (1,) * (len(like.shape) - len(held.shape)) + held.shape
    raised = Held(shape, "plain")
    raised = raised.of(low.reshaped(held, raised.dims, f"{name_of(value)}/ranked"))
    if like.form == "flat":
        raise AssertionError("a flattened value is broadcast with another")
    return low.spatial(raised) if like.form == "spatial" else raised


def unary(low: Lowering, node: ir.Node) -> None:
    """Abs, Exp, Sigmoid and the like."""
    unary_kind(low, node, UNARY[node.op_type])


def elu(low: Lowering, node: ir.Node) -> None:
    """Elu."""
    unary_kind(low, node, _ELU, number(node, "alpha", 1.0))


def gelu(low: Lowering, node: ir.Node) -> None:
    """Gelu by the error function."""
    if text(node, "approximate", "none") != "none":
        raise refusal(node, "it is approximated by tanh", "export Gelu without approximation")
    unary_kind(low, node, _GELU)


def hard_sigmoid(low: Lowering, node: ir.Node) -> None:
    """HardSigmoid."""
    unary_kind(low, node, _HARD_SIGMOID, number(node, "alpha", 0.2), number(node, "beta", 0.5))


def unary_kind(low: Lowering, node: ir.Node, kind: int, *parameters: float) -> None:
    """One UNARY operator, form kept."""
    held = low.get(operand(node, 0))
    out = node.outputs[0]
    tensor = low.emit(Op.UNARY, name_of(out), [low.float_of(held)], held.dims, [kind], parameters)
    low.put(out, held.of(tensor))


def _prelu(low: Lowering, node: ir.Node) -> None:
    """PRelu whose slope is computed or varies over pixels: max(x, 0) + slope·min(x, 0)."""
    held, out = low.get(operand(node, 0)), node.outputs[0]
    x, name = low.float_of(held), name_of(out)
    slope = _operand(low, operand(node, 1), held.of(None))
    above = low.emit(Op.UNARY, f"{name}/above", [x], held.dims, [_CLIP], [0.0, LARGEST])
    below = low.emit(Op.UNARY, f"{name}/below", [x], held.dims, [_CLIP], [-LARGEST, 0.0])
    scaled = low.emit(Op.BINARY, f"{name}/scaled", [below, slope], held.dims, [BINARY["Mul"]])
    low.put(out, held.of(low.emit(Op.BINARY, name, [above, scaled], held.dims, [BINARY["Add"]])))


def identity(low: Lowering, node: ir.Node) -> None:
    """Identity, and Cast from float32 to float32."""
    if node.op_type == "Cast" and node.outputs[0].dtype != ir.DataType.FLOAT:
        raise refusal(node, f"it gives {node.outputs[0].dtype}, and everything is float32 here")
    low.put(node.outputs[0], low.get(operand(node, 0)))


def layer_norm(low: Lowering, node: ir.Node) -> None:
    """LayerNormalization over the last axis, from reductions and arithmetic."""
    rank = len(shape_of(node.outputs[0]))
    attribute = node.attributes.get("axis")
    if (attribute.as_int() if attribute is not None else -1) % rank != rank - 1 or rank > 4:
        raise refusal(node, "it normalises over more than the last axis")
    held = low.plain(low.get(operand(node, 0)))
    x, name, dims = low.float_of(held), name_of(node.outputs[0]), held.dims
    narrow = (*dims[:3], 1)

    def constant(index: int, neutral: float) -> Array:
        array = constant_of(node.inputs[index]) if index < len(node.inputs) else None
        return np.full((1,) * 4, neutral) if array is None else held.constant(array)

    if any(v is not None and constant_of(v) is None for v in node.inputs[1:]):
        raise refusal(node, "its scale or bias is computed, not constant")
    epsilon = low.constant(np.full((1,) * 4, number(node, "epsilon", 1e-5)))
    mean = low.emit(Op.REDUCE, f"{name}/mean", [x], narrow, [8, 0])
    centred = low.emit(Op.BINARY, f"{name}/centred", [x, mean], dims, [BINARY["Sub"]])
    squared = low.emit(Op.BINARY, f"{name}/squared", [centred, centred], dims, [BINARY["Mul"]])
    variance = low.emit(Op.REDUCE, f"{name}/variance", [squared], narrow, [8, 0])
    safe = low.emit(Op.BINARY, f"{name}/safe", [variance, epsilon], narrow, [BINARY["Add"]])
    deviation = low.emit(Op.UNARY, f"{name}/deviation", [safe], narrow, [UNARY["Sqrt"]])
    normal = low.emit(Op.BINARY, f"{name}/normal", [centred, deviation], dims, [BINARY["Div"]])
    scale, shift = low.constant(constant(1, 1.0)), low.constant(constant(2, 0.0))
    scaled = low.emit(Op.BINARY, f"{name}/scaled", [normal, scale], dims, [BINARY["Mul"]])
    low.put(node.outputs[0], held.of(low.emit(Op.BINARY, name, [scaled, shift], dims, [BINARY["Add"]])))
