"""Operators that only move data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from ..nodes import (
    constant_of,
    integer,
    ints,
    name_of,
    operand,
    padding,
    portions,
    refusal,
    shape_of,
    sliced,
    text,
)
from .bbm import Op
from .layout import Held, axis_in_dims, has_spatial_form, one_pixel, plain_dims, spatial_dims
from .lowering import Lowering, transpose_ints

_CONCAT_INPUTS = 12
_PAD_MODES = {"constant": 0, "edge": 1, "reflect": 2}


def reshape(low: Lowering, node: ir.Node) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze: all the same once shapes are static."""
    out = node.outputs[0]
    low.put(out, reshaped(low, low.get(operand(node, 0)), shape_of(out), name_of(out)))


def reshaped(low: Lowering, held: Held, shape: tuple[int, ...], name: str) -> Held:
    """A value in another shape, without moving data where the form allows."""
    if shape == held.shape:
        return held
    if held.form == "spatial":
        n, c, *_ = held.shape
        if has_spatial_form(shape) and shape[:2] == (n, c):  # H and W are joined, split or renamed
            return _redimensioned(low, held, shape, "spatial", spatial_dims(shape), name)
        if shape == (n, math.prod(held.shape[1:])):
            if one_pixel(held.shape):
                return _redimensioned(low, held, shape, "plain", plain_dims(shape), name)
            return Held(shape, "flat", held.shape, held.tensor, held.bits)
    if held.form == "flat" and shape == held.source:
        return Held(shape, "spatial", (), held.tensor, held.bits)
    held = low.plain(held)
    if has_spatial_form(shape) and one_pixel(shape):  # (N, C) as (N, C, 1, 1): the same in both forms
        return _redimensioned(low, held, shape, "spatial", spatial_dims(shape), name)
    return _redimensioned(low, held, shape, "plain", plain_dims(shape), name)


def _redimensioned(
    low: Lowering, held: Held, shape: tuple[int, ...], form: str, dims: tuple[int, int, int, int], name: str
) -> Held:
    """The same memory under another shape; bits stay bits where the dims stay."""
    assert form in ("spatial", "plain")
    made = Held(shape, "spatial" if form == "spatial" else "plain")
    if held.dims == dims:
        return made.of(held.tensor, held.bits)
    return made.of(low.reshaped(held, dims, name))


def transpose(low: Lowering, node: ir.Node) -> None:
    """Transpose, joined with the way from NHWC where the input is spatial."""
    held, out = low.get(operand(node, 0)), node.outputs[0]
    if held.form == "flat":
        held = low.plain(held)
    rank = len(held.shape)
    if rank > 6:
        raise refusal(node, f"it has {rank} axes")
    perm = ints(node, "perm", tuple(reversed(range(rank))))
    result, x, name = Held(shape_of(out), "plain"), low.float_of(held), name_of(out)
    view: Sequence[int] = held.shape
    if held.form == "spatial":
        view = held.dims
        order = [axis_in_dims(held, axis) for axis in perm]
        perm = (*order, *(axis for axis in range(4) if axis not in order))
    low.put(out, result.of(low.emit(Op.TRANSPOSE, name, [x], result.dims, transpose_ints(view, perm))))


def concat(low: Lowering, node: ir.Node) -> None:
    """Concat."""
    values = [operand(node, i) for i in range(len(node.inputs))]
    out, shape = node.outputs[0], shape_of(node.outputs[0])
    if len(shape) > 4:
        raise refusal(node, f"it joins values of {len(shape)} axes")
    computed = [low.get(value) for value in values if constant_of(value) is None]
    spatial = has_spatial_form(shape) and any(held.form == "spatial" for held in computed)
    like = Held(shape, "spatial" if spatial else "plain")
    tensors = [_part(low, value, like) for value in values]
    place = axis_in_dims(like, integer(node, "axis", 0) % len(shape))
    name = name_of(out)
    while len(tensors) > 1:
        joined, rest = tensors[:_CONCAT_INPUTS], tensors[_CONCAT_INPUTS:]
        sizes = [low.model.tensors[t].dims for t in joined]
        total = sum(size[place] for size in sizes)
        n, h, w, c = (total if i == place else size for i, size in enumerate(sizes[0]))
        label = f"{name}/{len(rest)}" if rest else name
        tensors = [low.emit(Op.CONCAT, label, joined, (n, h, w, c), [place, len(joined)]), *rest]
    low.put(out, like.of(tensors[0]))


def _part(low: Lowering, value: ir.Value, like: Held) -> int:
    """One input of a Concat in the form of the result."""
    array = constant_of(value)
    if array is not None:
        alone = Held(array.shape, like.form)
        return low.constant(alone.constant(array.astype(np.float32)))
    held = low.get(value)
    return low.float_of(low.spatial(held) if like.form == "spatial" else low.plain(held))


def slice_(low: Lowering, node: ir.Node) -> None:
    """Slice with constant bounds."""
    held = low.get(operand(node, 0))
    low.put(node.outputs[0], part(low, node, held, sliced(node), name_of(node.outputs[0])))


def part(low: Lowering, node: ir.Node, held: Held, taken: list[range], name: str) -> Held:
    """A part of a value: a range of indices for each of its axes."""
    shape = tuple(len(indices) for indices in taken)
    if held.form == "flat":
        held = low.plain(held)
    if len(shape) > 4 or 0 in shape:
        raise refusal(node, f"it cuts {shape} out of {held.shape}")
    starts, steps = [0] * 4, [1] * 4
    for axis, indices in enumerate(taken):
        place = axis_in_dims(held, axis)
        starts[place], steps[place] = indices.start, indices.step
    result = Held(shape, held.form)
    return result.of(low.emit(Op.SLICE, name, [low.float_of(held)], result.dims, [*starts, *steps]))


def split(low: Lowering, node: ir.Node) -> None:
    """Split, as one SLICE an output."""
    held = low.get(operand(node, 0))
    for out, taken in zip(node.outputs, portions(node), strict=True):
        low.put(out, part(low, node, held, taken, name_of(out)))


def pad(low: Lowering, node: ir.Node) -> None:
    """Pad with a the edge or a reflection."""
    value, out = operand(node, 0), node.outputs[0]
    mode = text(node, "mode", "constant")
    if mode not in _PAD_MODES:
        raise refusal(node, f"its mode is {mode}")
    held = low.get(value)
    if held.form == "flat":
        held = low.plain(held)
    pairs, fill = padding(node)
    if len(pairs) > 4 or min(map(min, pairs), default=0) < 0:
        raise refusal(node, "it pads more than four axes or crops", "crop with Slice")
    before, after = [0] * 4, [0] * 4
    for axis, (b, a) in enumerate(pairs):
        place = axis_in_dims(held, axis)
        before[place], after[place] = b, a
    result = Held(shape_of(out), held.form)
    attributes = [*before, *after, _PAD_MODES[mode]]
    tensor = low.emit(Op.PAD, name_of(out), [low.float_of(held)], result.dims, attributes, [fill])
    low.put(out, result.of(tensor))


def expand(low: Lowering, node: ir.Node) -> None:
    """Expand, as a product with ones."""
    held, out = low.plain(low.get(operand(node, 0))), node.outputs[0]
    shape = shape_of(out)
    if len(shape) > 4:
        raise refusal(node, f"it expands to {len(shape)} axes")
    raised = Held((1,) * (len(shape) - len(held.shape)) + held.shape, "plain")
    x = low.reshaped(held, raised.dims, f"{name_of(out)}/ranked")
    result = Held(shape, "plain")
    ones = low.constant(np.ones(result.dims, np.float32))
    low.put(out, result.of(low.emit(Op.BINARY, name_of(out), [x, ones], result.dims, [2])))
