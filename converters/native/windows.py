"""Pools, reductions and softmax."""

from __future__ import annotations

import onnx_ir as ir

from ..nodes import integer, ints, name_of, operand, optional_constant, refusal, shape_of, text
from .bbm import Op
from .elementwise import BINARY, UNARY
from .layout import Held, axis_in_dims, has_spatial_form
from .lowering import Lowering
from .movement import reshaped

_MEAN, _SUM, _MAX, _MIN = range(4)
REDUCTIONS = {"ReduceMean": _MEAN, "ReduceSum": _SUM, "ReduceMax": _MAX, "ReduceMin": _MIN}
_HEIGHT_AND_WIDTH = 2 | 4


def pool(low: Lowering, node: ir.Node) -> None:
    """MaxPool and AveragePool over one or two axes."""
    value = low.get(operand(node, 0))
    if not has_spatial_form(value.shape) or len(node.outputs) > 1:
        raise refusal(node, "it pools over more than two axes or gives indices")
    if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise refusal(node, "it has auto_pad", "export the model with explicit padding")
    held, axes = low.spatial(value), len(value.shape) - 2
    kernel = ints(node, "kernel_shape", ())
    strides, dilations = (ints(node, key, (1,) * axes) for key in ("strides", "dilations"))
    pads = ints(node, "pads", (0,) * (2 * axes))
    shape = shape_of(node.outputs[0])
    average = node.op_type == "AveragePool"
    counted = average and any(pads) and integer(node, "count_include_pad", 0) == 1
    floor = tuple(
        (held.shape[2 + i] + pads[i] + pads[axes + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i in range(axes)
    )
    if counted and floor != shape[2:]:
        raise refusal(node, "it counts padding in windows that leave the map", "use ceil_mode=False")
    attributes = (
        *_two(kernel, 1), *_two(strides, 1), *_two(dilations, 1), *_two(pads[:axes], 0), *_two(pads[axes:], 0),
        int(counted),
    )  # fmt: skip
    result = Held(shape, "spatial")
    op = Op.AVGPOOL if average else Op.MAXPOOL
    tensor = low.emit(op, name_of(node.outputs[0]), [low.float_of(held)], result.dims, attributes)
    low.put(node.outputs[0], result.of(tensor))


def _two(values: tuple[int, ...], missing: int) -> tuple[int, int]:
    """One entry per spatial axis as (for H, for W)."""
    return (missing, values[0]) if len(values) == 1 else (values[0], values[1])


def global_pool(low: Lowering, node: ir.Node) -> None:
    """GlobalAveragePool and GlobalMaxPool."""
    value = low.get(operand(node, 0))
    if not has_spatial_form(value.shape):
        raise refusal(node, "it pools over more than two axes")
    held, result = low.spatial(value), Held(shape_of(node.outputs[0]), "spatial")
    kind = _MEAN if node.op_type == "GlobalAveragePool" else _MAX
    out = low.emit(
        Op.REDUCE, name_of(node.outputs[0]), [low.float_of(held)], result.dims, [_HEIGHT_AND_WIDTH, kind]
    )
    low.put(node.outputs[0], result.of(out))


def reduce(low: Lowering, node: ir.Node) -> None:
    """ReduceMean, ReduceSum, ReduceMax, ReduceMin over constant axes."""
    held = low.get(operand(node, 0))
    given = optional_constant(node, 1)
    rank = len(held.shape)
    axes = (
        [int(axis) % rank for axis in given.ravel()]
        if given is not None and given.size
        else list(range(rank))
    )
    if (given is None or not given.size) and integer(node, "noop_with_empty_axes", 0):
        axes = []
    if held.form == "flat":
        # Over whole rows the order is all the same; anything else needs ONNX's.
        held = low.plain(held)
    if rank > 4:
        raise refusal(node, f"it reduces a value of {rank} axes")
    shape = tuple(1 if i in axes else size for i, size in enumerate(held.shape))
    mask = sum(1 << axis_in_dims(held, axis) for axis in axes)
    result = Held(shape, held.form)
    name = name_of(node.outputs[0])
    x = low.float_of(held)
    tensor = low.emit(Op.REDUCE, name, [x], result.dims, [mask, REDUCTIONS[node.op_type]]) if mask else x
    low.put(node.outputs[0], reshaped(low, result.of(tensor), shape_of(node.outputs[0]), f"{name}/squeezed"))


def softmax(low: Lowering, node: ir.Node) -> None:
    """Softmax, and LogSoftmax in the form that doesn't underflow."""
    held = low.get(operand(node, 0))
    if held.form == "flat":
        held = low.plain(held)
    rank = len(held.shape)
    if rank > 4:
        raise refusal(node, f"its input has {rank} axes")
    axis = axis_in_dims(held, integer(node, "axis", -1) % rank)
    x, name, dims = low.float_of(held), name_of(node.outputs[0]), held.dims
    if node.op_type == "Softmax":
        low.put(node.outputs[0], held.of(low.emit(Op.SOFTMAX, name, [x], dims, [axis])))
        return
    n, h, w, c = (1 if i == axis else size for i, size in enumerate(dims))
    narrow = (n, h, w, c)
    top = low.emit(Op.REDUCE, f"{name}/max", [x], narrow, [1 << axis, _MAX])
    shifted = low.emit(Op.BINARY, f"{name}/shifted", [x, top], dims, [BINARY["Sub"]])
    powers = low.emit(Op.UNARY, f"{name}/exp", [shifted], dims, [UNARY["Exp"]])
    total = low.emit(Op.REDUCE, f"{name}/sum", [powers], narrow, [1 << axis, _SUM])
    logarithm = low.emit(Op.UNARY, f"{name}/log", [total], narrow, [UNARY["Log"]])
    low.put(node.outputs[0], held.of(low.emit(Op.BINARY, name, [shifted, logarithm], dims, [BINARY["Sub"]])))
