"""What an epilogue may take in: along a node's only consumers, as long as what is found fits its form.

A Binarize that reads a value in front of a clip is served from behind it where the clip can't move the value across
the threshold.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import Step, is_binarize

from ..nodes import constant_of, number, shape_of, users
from .epilogue import CLIP, NONE, PRELU, RELU, Epilogue
from .steps import LARGEST, Doubles, clip_bounds, is_vector, one_affine, per_channel


def grow(epilogue: Epilogue) -> None:
    """Take in what follows."""
    while (found := _next(epilogue)) is not None:
        node, steps = found
        taken = take(epilogue, node)
        if not taken:
            taken = not steps and _take_rprelu(epilogue, node)
        if not taken:
            return
        if steps:
            epilogue.late += steps
            return  # they read what is stored: nothing may be added to it any more


def _next(epilogue: Epilogue) -> tuple[ir.Node, list[ir.Node]] | None:
    """The only consumer of the value that is no Binarize, and the Binarizes beside it, if it may be taken."""
    if epilogue.value.is_graph_output():
        return None
    readers = users(epilogue.value)
    steps = [user for user in readers if is_binarize(user)]
    others = [user for user in readers if not is_binarize(user)]
    if len(others) != 1:
        return None
    if steps and not _commute(epilogue, others[0], steps):
        return None
    return others[0], steps


def _commute(epilogue: Epilogue, node: ir.Node, steps: list[ir.Node]) -> bool:
    """Whether steps give the same behind a clip as before it: low < threshold <= high."""
    bounds = clip_bounds(node)
    if bounds is None:
        return False
    if not all(per_channel(step, epilogue.held) for step in steps):
        return False
    thresholds = np.concatenate([Step.of(step).threshold for step in steps])
    return bool((thresholds > bounds[0]).all() and (thresholds <= bounds[1]).all())


def take(epilogue: Epilogue, node: ir.Node) -> bool:
    """Take a node that reads the value into the epilogue; False if it doesn't fit."""
    if node.domain != "":
        return False
    if node.op_type in ("Add", "Sub", "Mul", "Div"):
        taken = _arithmetic(epilogue, node)
    elif (bounds := clip_bounds(node)) is not None:
        taken = _clip(epilogue, *bounds)
    elif node.op_type in ("PRelu", "LeakyRelu"):
        taken = _prelu(epilogue, node)
    else:
        taken = False
    if taken:
        epilogue.advance(node)
    return taken


def _arithmetic(epilogue: Epilogue, node: ir.Node) -> bool:
    index = 0 if node.inputs[0] is epilogue.value else 1
    other = node.inputs[1 - index]
    if other is None or shape_of(node.outputs[0]) != epilogue.held.shape:
        return False
    array = constant_of(other)
    if array is None:
        return _computed(epilogue, node.op_type, other)
    number_of_each = epilogue.held.constant(array).astype(np.float64)
    if number_of_each.shape[0] != 1:
        return False
    scale, shift = one_affine(node.op_type, index, number_of_each)
    if scale is None or shift is None:
        return False
    return _affine(epilogue, scale, shift)


def _affine(epilogue: Epilogue, scale: Doubles, shift: Doubles) -> bool:
    if epilogue.residual is None and epilogue.activation == NONE:
        epilogue.multiplier = scale if epilogue.multiplier is None else epilogue.multiplier * scale
        epilogue.bias = shift if epilogue.bias is None else epilogue.bias * scale + shift
        if not epilogue.bias.any():
            epilogue.bias = None
        return True
    last = epilogue.residual is None or not epilogue.activation_first
    if epilogue.activation == PRELU and last and (scale == 1).all() and is_vector(shift):
        epilogue.shift_out = shift if epilogue.shift_out is None else epilogue.shift_out + shift
        return True
    return False


def _computed(epilogue: Epilogue, op: str, other: ir.Value) -> bool:
    """An operation with another computed value: a residual, or a factor with one channel."""
    if not epilogue.low.demand(other):
        return False
    held = epilogue.low.get(other)
    if op == "Add":
        if epilogue.residual is not None or held.shape != epilogue.held.shape:
            return False
        same = epilogue.low.as_form(held, epilogue.held)
        if same is None:
            return False
        epilogue.residual = epilogue.low.float_of(same)
        epilogue.activation_first = epilogue.activation != NONE
        return True
    if (
        op != "Mul"
        or epilogue.factor is not None
        or epilogue.residual is not None
        or epilogue.activation != NONE
    ):
        return False
    if epilogue.bias is not None or len(held.shape) != len(epilogue.held.shape):
        return False
    same = epilogue.low.as_form(held, epilogue.held)
    if same is None or same.dims[3] != 1:
        return False
    if any(a not in (1, b) for a, b in zip(same.dims, epilogue.held.dims, strict=True)):
        return False
    epilogue.factor = epilogue.low.float_of(same)
    return True


def _clip(epilogue: Epilogue, low: float, high: float) -> bool:
    if epilogue.activation != NONE:
        return False
    if low == 0 and high >= LARGEST:
        epilogue.activation = RELU
    else:
        epilogue.activation, epilogue.low_bound, epilogue.high_bound = CLIP, low, high
    return True


def _prelu(epilogue: Epilogue, node: ir.Node) -> bool:
    if epilogue.activation != NONE or node.inputs[0] is not epilogue.value:
        return False
    if node.op_type == "LeakyRelu":
        epilogue.activation, epilogue.slope = PRELU, np.full((1, 1, 1, 1), number(node, "alpha", 0.01))
        return True
    slope = constant_of(node.inputs[1])
    if slope is None:
        return False
    array = epilogue.held.constant(slope).astype(np.float64)
    if not is_vector(array):
        return False
    epilogue.activation, epilogue.slope = PRELU, array
    return True


def _take_rprelu(epilogue: Epilogue, node: ir.Node) -> bool:
    """RPReLU behind a residual: an Add of a constant a channel, then PRelu."""
    if node.domain != "" or node.op_type not in ("Add", "Sub") or epilogue.residual is None:
        return False
    uses = list(node.outputs[0].uses())
    if epilogue.activation != NONE or len(uses) != 1 or node.outputs[0].is_graph_output():
        return False
    after = uses[0].node
    index = 0 if node.inputs[0] is epilogue.value else 1
    array = constant_of(node.inputs[1 - index])
    if array is None or after.op_type not in ("PRelu", "LeakyRelu") or after.domain != "":
        return False
    if shape_of(node.outputs[0]) != epilogue.held.shape or (node.op_type == "Sub" and index == 1):
        return False
    shift = epilogue.held.constant(array).astype(np.float64)
    if not is_vector(shift):
        return False
    before = epilogue.value
    epilogue.value = node.outputs[0]
    if not _prelu(epilogue, after):
        epilogue.value = before
        return False
    epilogue.shift_in = -shift if node.op_type == "Sub" else shift
    epilogue.absorbed.append(node)
    epilogue.advance(after)
    return True
