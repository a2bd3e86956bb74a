"""Operators that work element by element, in whatever form their input is held."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..nodes import constant_of, name_of, number, operand, optional_constant, refusal, shape_of
from .layout import Held, can_be_spatial
from .lowering import Lowering

#: ONNX operators that TensorFlow has under a name, of one input and no attribute.
UNARY = {
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Exp": "Exp",
    "Log": "Log",
    "Sqrt": "Sqrt",
    "Abs": "Abs",
    "Neg": "Neg",
    "Floor": "Floor",
    "Ceil": "Ceil",
    "Sin": "Sin",
    "Cos": "Cos",
    "Sign": "Sign",
    "Round": "Round",
    "Elu": "Elu",
    "Softsign": "Softsign",
    "Softplus": "Softplus",
}
BINARY = {
    "Add": "AddV2",
    "Sub": "Sub",
    "Mul": "Mul",
    "Div": "RealDiv",
    "Pow": "Pow",
    "Max": "Maximum",
    "Min": "Minimum",
}
#: For these the operands may be exchanged.
_COMMUTATIVE = ("AddV2", "Mul", "Maximum", "Minimum")


def unary(low: Lowering, node: ir.Node) -> None:
    """Relu, Sigmoid, Tanh, Exp and the like."""
    if node.op_type == "Elu" and number(node, "alpha", 1.0) != 1.0:
        raise refusal(node, "alpha is not 1")
    if node.op_type in ("Softplus", "Softsign"):
        return _composed(low, node)
    op = UNARY[node.op_type]
    return map_one(low, node, lambda x, name: low.builder.unary(op, x, name))


def _composed(low: Lowering, node: ir.Node) -> None:
    """Softplus and Softsign, which TFLite lacks."""
    g = low.builder

    def softsign(x: str, name: str) -> str:
        below = g.binary("AddV2", g.unary("Abs", x, f"{name}/abs"), 1.0, f"{name}/below")
        return g.binary("RealDiv", x, below, name)

    def softplus(x: str, name: str) -> str:
        # log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), which doesn't overflow
        e = g.unary("Exp", g.unary("Neg", g.unary("Abs", x, f"{name}/abs"), f"{name}/neg"), f"{name}/exp")
        tail = g.unary("Log", g.binary("AddV2", e, 1.0, f"{name}/sum"), f"{name}/log")
        return g.binary("AddV2", g.unary("Relu", x, f"{name}/relu"), tail, name)

    map_one(low, node, softplus if node.op_type == "Softplus" else softsign)


def map_one(low: Lowering, node: ir.Node, emit: Callable[[str, str], str]) -> None:
    """Apply a function of one tensor, form kept."""
    held = low.get(operand(node, 0))
    out = node.outputs[0]
    low.put(out, held.moved(emit(held.node, name_of(out)), held.shape))


def leaky_relu(low: Lowering, node: ir.Node) -> None:
    """LeakyRelu."""
    alpha = number(node, "alpha", 0.01)
    map_one(low, node, lambda x, name: low.builder.unary("LeakyRelu", x, name, alpha=alpha))


def reciprocal(low: Lowering, node: ir.Node) -> None:
    """1/x."""
    one = low.builder.const(np.float32(1))
    map_one(low, node, lambda x, name: low.builder.binary("RealDiv", one, x, name))


def hard_sigmoid(low: Lowering, node: ir.Node) -> None:
    """max(0, min(1, alpha*x + beta))."""
    g, alpha, beta = low.builder, number(node, "alpha", 0.2), number(node, "beta", 0.5)

    def emit(x: str, name: str) -> str:
        line = g.binary("AddV2", g.binary("Mul", x, alpha, f"{name}/mul"), beta, f"{name}/add")
        return g.binary("Maximum", g.binary("Minimum", line, 1.0, f"{name}/min"), 0.0, name)

    map_one(low, node, emit)


def hard_swish(low: Lowering, node: ir.Node) -> None:
    """x * relu6(x + 3) / 6, in the form that TFLite has an operator for."""
    g = low.builder

    def emit(x: str, name: str) -> str:
        gate = g.unary("Relu6", g.binary("AddV2", x, 3.0, f"{name}/add"), f"{name}/relu6")
        return g.binary("Mul", g.binary("Mul", x, gate, f"{name}/mul"), np.float32(1 / 6), name)

    map_one(low, node, emit)


def clip(low: Lowering, node: ir.Node) -> None:
    """Clip with constant bounds; Hardtanh and ReLU6 become operators of their own in TFLite."""
    g, low_bound, high_bound = low.builder, optional_constant(node, 1), optional_constant(node, 2)
    lower = -np.inf if low_bound is None else float(low_bound.reshape(()))
    upper = np.inf if high_bound is None else float(high_bound.reshape(()))

    def emit(x: str, name: str) -> str:
        if lower == 0:
            if upper == 6:
                return g.unary("Relu6", x, name)
            x = g.unary("Relu", x, f"{name}/min" if np.isfinite(upper) else name)
            return g.binary("Minimum", x, upper, name) if np.isfinite(upper) else x
        if np.isfinite(upper):
            x = g.binary("Minimum", x, upper, f"{name}/min" if np.isfinite(lower) else name)
        return g.binary("Maximum", x, lower, name) if np.isfinite(lower) else x

    map_one(low, node, emit)


def prelu(low: Lowering, node: ir.Node) -> None:
    """PRelu as relu(x) + relu(-x) * (-a), a of shape (1, 1, C): the spelling that becomes one operator."""
    g, slope = low.builder, constant_of(operand(node, 1))
    if slope is None:
        raise refusal(node, "its slope is computed, not constant")
    held = low.get(operand(node, 0))
    if held.form == "plain" and can_be_spatial(held.shape):
        held = low.spatial(held)
    slopes = -low.layout.constant(held, slope)
    if held.form == "spatial" and slopes.ndim <= 1:
        slopes = np.broadcast_to(slopes, (held.shape[1],)).reshape(1, 1, -1)
    name = name_of(node.outputs[0])
    negative = g.unary("Relu", g.unary("Neg", held.node, f"{name}/neg"), f"{name}/below")
    scaled = g.binary("Mul", negative, slopes, f"{name}/scaled")
    positive = g.unary("Relu", held.node, f"{name}/above")
    low.put(node.outputs[0], held.moved(g.binary("AddV2", positive, scaled, name), held.shape))


def arithmetic(low: Lowering, node: ir.Node) -> None:
    """Add, Sub, Mul, Div, Pow, Max, Min of tensors and constants, with ONNX's broadcasting."""
    op = BINARY[node.op_type]
    values = [operand(node, i) for i in range(len(node.inputs))]
    name, shape = name_of(node.outputs[0]), shape_of(node.outputs[0])
    result: ir.Value | Held = values[0]
    for index, value in enumerate(values[1:]):
        last = index == len(values) - 2
        result = _pair(low, op, result, value, name if last else f"{name}/{index}")
    held = low.get(result) if isinstance(result, ir.Value) else result
    if held.shape != shape:
        raise refusal(node, f"its output is declared {shape} but broadcasting gives {held.shape}")
    low.put(node.outputs[0], held)


def _pair(low: Lowering, op: str, a: ir.Value | Held, b: ir.Value, name: str) -> Held:
    """One operator on two operands."""
    left = constant_of(a) if isinstance(a, ir.Value) else None
    right = constant_of(b)
    if left is None and right is not None:
        return with_constant(low, op, low.get(a) if isinstance(a, ir.Value) else a, right, name)
    if left is not None and right is None:
        return with_constant(low, op, low.get(b), left, name, first=op not in _COMMUTATIVE)
    x = low.get(a) if isinstance(a, ir.Value) else a
    return _two(low, op, x, low.get(b), name)


def with_constant(
    low: Lowering, op: str, held: Held, array: npt.NDArray[np.generic], name: str, first: bool = False
) -> Held:
    """An operator on a tensor and a constant.

    A constant that varies over H or W is added behind a reshape: LCE folds it into the bias of a binary
    convolution before it otherwise, and the artefact then can't be executed.

    Args:
        low: the lowering.
        op: TensorFlow's operator.
        held: the tensor.
        array: the constant, ONNX's shape.
        name: of the node.
        first: whether the constant is the first operand.
    """
    g = low.builder
    shape = np.broadcast_shapes(held.shape, array.shape)
    if shape != held.shape:  # the constant is the larger one: a tensor that is broadcast
        plain = low.plain(held)
        node = g.const(array.astype(np.float32), f"{name}/const")
        pair = (node, plain.node) if first else (plain.node, node)
        return Held(g.binary(op, pair[0], pair[1], name), shape)
    value = low.layout.constant(held, array)
    x = held.node
    hidden = held.form == "spatial" and value.ndim > 1 and max(value.shape[:-1]) > 1 and value.ndim < 4
    before = g.shapes[x]
    if hidden:
        value = np.broadcast_to(value, before[1:]).ravel()
        x = g.reshape(x, (before[0], value.size), f"{name}/hidden")
    constant = g.const(value, f"{name}/const")
    inner = f"{name}/sum" if hidden else name
    y = g.binary(op, constant, x, inner) if first else g.binary(op, x, constant, inner)
    if hidden:
        y = g.reshape(y, before, name)
    return Held(y, held.shape, held.form, held.source)


def _two(low: Lowering, op: str, a: Held, b: Held, name: str) -> Held:
    """An operator on two tensors, brought to one form."""
    g = low.builder
    shape = np.broadcast_shapes(a.shape, b.shape)
    if a.form == b.form == "flat" and a.source == b.source:
        return Held(g.binary(op, a.node, b.node, name), shape, "flat", a.source)
    if "spatial" in (a.form, b.form) and len(shape) in (3, 4):
        a, b = (low.spatial(ranked(low, h, len(shape))) for h in (a, b))
        return Held(g.binary(op, a.node, b.node, name), shape, "spatial")
    a, b = low.plain(a), low.plain(b)
    return Held(g.binary(op, a.node, b.node, name), shape)


def ranked(low: Lowering, held: Held, rank: int) -> Held:
    """With leading axes of size 1 up to a rank."""
    if len(held.shape) == rank:
        return held
    plain = low.plain(held)
    shape = (1,) * (rank - len(held.shape)) + held.shape
    return Held(low.builder.reshape(plain.node, shape, f"{plain.node}/ranked"), shape)
