"""Operators that only move data: reshapes, transposes, slices, pads, concatenations. A step stays pending."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from ..nodes import integer, ints, name_of, operand, padding, portions, refusal, shape_of, sliced, text
from .layout import Held, can_be_spatial, nhwc, spatial_axis
from .lowering import Lowering


def reshape(low: Lowering, node: ir.Node) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze: all the same once shapes are static."""
    out = node.outputs[0]
    held, shape = low.raw(operand(node, 0)), shape_of(out)
    if held.form == "spatial" and _shuffle(low, node, held):
        return
    low.put(out, reshaped(low, held, shape, name_of(out)))


def identity(low: Lowering, node: ir.Node) -> None:
    """Identity: what stands between two outputs that are equal."""
    low.put(node.outputs[0], low.raw(operand(node, 0)))


def reshaped(low: Lowering, held: Held, shape: tuple[int, ...], name: str) -> Held:
    """A value in another shape, without moving data where the form allows."""
    g = low.builder
    if held.form == "spatial":
        n, c, *_ = held.shape
        if can_be_spatial(shape) and shape[:2] == (n, c):  # H and W are joined, split or renamed
            return held.moved(g.reshape(held.node, nhwc(shape), name), shape)
        if shape == (n, math.prod(held.shape[1:])):
            if math.prod(held.shape[2:]) == 1:
                return held.moved(g.reshape(held.node, shape, name), shape, "plain")
            return Held(g.reshape(held.node, shape, name), shape, "flat", held.shape, held.pending)
        if c == 1 and not low.layout.rotated:
            return held.moved(g.reshape(held.node, shape, name), shape, "plain")
    if held.form == "flat":
        if shape == held.shape:
            return held
        if shape == held.source:
            return Held(g.reshape(held.node, nhwc(shape), name), shape, "spatial", (), held.pending)
    plain = low.plain(held)
    if can_be_spatial(shape) and math.prod(shape[2:]) == 1:  # (N, C) as (N, C, 1, 1): the same in both forms
        return Held(g.reshape(plain.node, nhwc(shape), name), shape, "spatial", (), held.pending)
    return plain.moved(g.reshape(plain.node, shape, name), shape)


def _shuffle(low: Lowering, node: ir.Node, held: Held) -> bool:
    """A channel shuffle (Reshape, Transpose, Reshape) over the last axis, if a node begins one.

    (N, C, H, W) → (N, g, C/g, H, W) → (N, C/g, g, H, W) → (N, C, H, W).
    """
    first = shape_of(node.outputs[0])
    n, c, *spatial = held.shape
    rank = len(held.shape)
    if len(first) != rank + 1 or first[0] != n or list(first[3:]) != spatial or first[1] * first[2] != c:
        return False
    transposed = _sole_consumer(node, "Transpose")
    swap = (0, 2, 1, *range(3, rank + 1))
    if transposed is None or ints(transposed, "perm", ()) != swap:
        return False
    last = _sole_consumer(transposed, "Reshape")
    if last is None or shape_of(last.outputs[0]) != held.shape:
        return False
    g, name = low.builder, name_of(last.outputs[0])
    four = nhwc(held.shape)
    split = g.reshape(held.node, (*four[:3], first[1], first[2]), f"{name}/split")
    swapped = g.transpose(split, (0, 1, 2, 4, 3), f"{name}/swap")
    low.put(last.outputs[0], held.moved(g.reshape(swapped, four, name), held.shape))
    low.skip(transposed)
    low.skip(last)
    return True


def _sole_consumer(node: ir.Node, op: str) -> ir.Node | None:
    """The one node that consumes a node's output, where it is of an operator."""
    value = node.outputs[0]
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != op:
        return None
    return uses[0].node


def transpose(low: Lowering, node: ir.Node) -> None:
    """Transpose, joined with the way from NHWC where the input is spatial."""
    held, out = low.raw(operand(node, 0)), node.outputs[0]
    rank = len(held.shape)
    perm = ints(node, "perm", tuple(reversed(range(rank))))
    shape, name = shape_of(out), name_of(out)
    g = low.builder
    if held.form == "spatial":
        upright = low.layout.upright(held)
        direct = [spatial_axis(rank, axis) for axis in perm]
        direct += [axis for axis in range(4) if axis not in direct]  # the height that a 3-D value lacks
        moved = g.transpose(upright, direct, f"{name}/perm" if rank == 3 else name)
        low.put(out, held.moved(g.reshape(moved, shape, name), shape, "plain"))
        return
    plain = low.plain(held)
    low.put(out, plain.moved(g.transpose(plain.node, perm, name), shape))


def concat(low: Lowering, node: ir.Node) -> None:
    """Concat; steps stay pending where all inputs are."""
    values = [operand(node, i) for i in range(len(node.inputs))]
    out, shape = node.outputs[0], shape_of(node.outputs[0])
    axis = integer(node, "axis", 0) % len(shape)
    held = [low.raw(value) for value in values]
    if not all(h.pending for h in held):
        held = [low.get(value) for value in values]
    if can_be_spatial(shape) and any(h.form == "spatial" for h in held):
        held = [low.spatial(h) for h in held]
        place = spatial_axis(len(shape), axis)
        nodes = [h.node for h in held]
        if low.layout.rotated and axis >= 2:
            nodes.reverse()
    else:
        held = [low.plain(h) for h in held]
        place, nodes = axis, [h.node for h in held]
    low.put(out, held[0].moved(low.builder.concat(nodes, place, name_of(out)), shape))


def slice_(low: Lowering, node: ir.Node) -> None:
    """Slice with constant bounds and positive steps."""
    taken = sliced(node)
    if any(indices.step < 1 for indices in taken):
        raise refusal(node, "it reverses an axis")
    low.put(node.outputs[0], part(low, low.raw(operand(node, 0)), taken, name_of(node.outputs[0])))


def part(low: Lowering, held: Held, taken: list[range], name: str) -> Held:
    """A part of a value, a range of indices per ONNX axis."""
    shape = tuple(len(r) for r in taken)
    if held.form == "flat":
        held = low.plain(held)
    if held.form == "plain":
        begin, end, step = zip(*((r.start, r.stop, r.step) for r in taken), strict=True)
        return held.moved(low.builder.slice(held.node, begin, end, step, name), shape)
    four = [range(1)] * 4
    for axis, r in enumerate(taken):
        if low.layout.rotated and axis >= 2 and len(r):
            size = held.shape[axis]
            r = range(size - 1 - r[-1], size - r[0], r.step)
        four[spatial_axis(len(taken), axis)] = r
    begin, end, step = zip(*((r.start, r.stop, r.step) for r in four), strict=True)
    return held.moved(low.builder.slice(held.node, begin, end, step, name), shape)


def split(low: Lowering, node: ir.Node) -> None:
    """Split, as one slice per output."""
    held = low.raw(operand(node, 0))
    for out, taken in zip(node.outputs, portions(node), strict=True):
        low.put(out, part(low, held, taken, name_of(out)))


def pad(low: Lowering, node: ir.Node) -> None:
    """Pad with a constant or by reflection; a constant of ±1 moves before a pending step, another can't."""
    value, out = operand(node, 0), node.outputs[0]
    mode = text(node, "mode", "constant")
    shape, name = shape_of(value), name_of(out)
    pairs, fill = padding(node)
    held = low.raw(value)
    if held.pending and mode == "constant" and abs(fill) != 1:
        held = low.get(value)
    if held.form == "flat":
        held = low.plain(held)
    cut = [range(max(-b, 0), size - max(-a, 0)) for size, (b, a) in zip(shape, pairs, strict=True)]
    held = part(low, held, cut, f"{name}/cut")
    grown = [(max(b, 0), max(a, 0)) for b, a in pairs]
    if held.form == "spatial":
        four = [(0, 0)] * 4
        for axis, pair in enumerate(grown):
            turned = low.layout.rotated and axis >= 2
            four[spatial_axis(len(shape), axis)] = pair[::-1] if turned else pair
        grown = four
    if mode == "constant":
        low.put(out, held.moved(low.builder.pad(held.node, grown, fill, name), shape_of(out)))
        return
    if mode != "reflect":
        raise refusal(node, f"its mode is {mode}")
    g = low.builder
    sizes = [n + b + a for n, (b, a) in zip(g.shapes[held.node], grown, strict=True)]
    amounts_node = g.const(np.asarray(grown, np.int32))
    y = g.node(
        "MirrorPad", [held.node, amounts_node], sizes, name, T="float", Tpaddings="int32", mode=b"REFLECT"
    )
    low.put(out, held.moved(y, shape_of(out)))
