"""The windows of every convolution and pooling of a graph, and whether to rotate the network."""

from __future__ import annotations

import math

import onnx_ir as ir

from bibench_deploy.graph import BinaryGraph, BinaryLayer, is_binary_layer
from bibench_deploy.graph.ops import BINARY_CONV

from ..nodes import constant, image, integer, ints, operand, optional_constant, refusal, shape_of, text
from .padding import POINT, Axis, Plan, axis, plan_binary, plan_padded, plan_real

POOLS = ("MaxPool", "AveragePool")
FLATTENERS = ("Flatten", "Reshape")


def kernel_shape(node: ir.Node) -> tuple[int, ...]:
    """Kernel sizes per spatial axis of a convolution or pooling."""
    if node.op_type in POOLS:
        return ints(node, "kernel_shape", ())
    return shape_of(operand(node, 1))[2:]


def padded_before(node: ir.Node) -> tuple[ir.Value, tuple[tuple[int, int], ...]]:
    """What a Conv reads once a zero Pad before it is taken as its own padding, and that padding.

    LCE's converter rewrites a symmetric Pad and a VALID convolution of stride 2 to SAME, which reads other
    pixels; so a Pad that is left to it must never stand directly before a convolution.

    Returns:
        The value, and (before, after) per spatial axis; the Conv's own input and zeros where there is no Pad.

    Raises:
        NotDeployableError: the Pad also pads batch or channels.
    """
    value = operand(node, 0)
    rank = len(shape_of(value))
    none = tuple((0, 0) for _ in range(rank - 2))
    producer = value.producer()
    if node.op_type != "Conv" or producer is None or (producer.domain, producer.op_type) != ("", "Pad"):
        return value, none
    fill, axes = optional_constant(producer, 2), optional_constant(producer, 3)
    if text(producer, "mode", "constant") != "constant" or (fill is not None and fill.reshape(()) != 0):
        return value, none
    flat = constant(producer, 1).ravel()
    places = list(range(rank)) if axes is None else [int(a) % rank for a in axes.ravel()]
    pairs = {place: (int(flat[i]), int(flat[len(places) + i])) for i, place in enumerate(places)}
    if any(pairs.get(axis, (0, 0)) != (0, 0) for axis in (0, 1)):
        raise refusal(producer, "it pads channels with zeros directly before a convolution")
    return operand(producer, 0), tuple(pairs.get(axis, (0, 0)) for axis in range(2, rank))


def axes_of(node: ir.Node) -> tuple[Axis, Axis]:
    """The windows of a Conv, BinaryConv, MaxPool or AveragePool, upright; a missing height is ``POINT``.

    Raises:
        NotDeployableError: more than two spatial axes.
    """
    image(node)
    source, extra = padded_before(node)
    sizes = shape_of(source)[2:]
    rank = len(sizes)
    kernel = kernel_shape(node)
    strides, dilations = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank)
    ceil = bool(integer(node, "ceil_mode", 0))
    if node.op_type == BINARY_CONV:
        pads = BinaryLayer(node).pads
    else:
        flat = ints(node, "pads", (0,) * (2 * rank))
        pads = tuple((flat[i], flat[rank + i]) for i in range(rank))
    auto = text(node, "auto_pad", "NOTSET")
    found = []
    for size, k, s, d, (before, after), more in zip(
        sizes, kernel, strides, dilations, pads, extra, strict=True
    ):
        if auto.startswith("SAME"):
            whole = size + sum(more)
            total = max((-(-whole // s) - 1) * s + (k - 1) * d + 1 - whole, 0)
            before = (total + (auto == "SAME_LOWER")) // 2
            after = total - before
        elif auto == "VALID":
            before = after = 0
        found.append(axis(size, k, s, d, before + more[0], after + more[1], ceil))
    return (found[0], found[1]) if rank == 2 else (POINT, found[0])


def counts_padding(node: ir.Node) -> bool:
    """Whether an AveragePool divides by the whole window, padding included."""
    return bool(integer(node, "count_include_pad", 0))


def plan_of(node: ir.Node, rotated: bool) -> Plan:
    """How a windowed operator is emitted in the upright or the rotated network.

    Raises:
        NotDeployableError: more than two spatial axes, or windows that read nothing but padding.
    """
    upright = axes_of(node)
    axes = [a.rotated for a in upright] if rotated else list(upright)
    if any(-a.before >= a.size for a in axes):
        raise refusal(node, "none of its windows reads the image", "make its padding smaller than its input")
    if node.op_type == BINARY_CONV:
        return plan_binary(axes, BinaryLayer(node).pad_value)
    if node.op_type == "AveragePool" and counts_padding(node):
        return plan_padded(axes)
    return plan_real(axes)


def is_windowed(node: ir.Node) -> bool:
    """Whether a node is a convolution or pooling with windows."""
    return (is_binary_layer(node) and node.op_type == BINARY_CONV) or (
        node.domain == "" and node.op_type in ("Conv", *POOLS)
    )


def should_rotate(graph: BinaryGraph) -> bool:
    """Whether lowering the network rotated by 180 degrees is better.

    First, fewer binary convolutions that need more than SAME; then, fewer elements moved by pads, crops,
    maps and by reversing inputs and spatial outputs. Upright where nothing speaks against it.
    """
    return _cost(graph, rotated=True) < _cost(graph, rotated=False)


def _cost(graph: BinaryGraph, rotated: bool) -> tuple[int, int]:
    inexact = moved = 0
    for node in graph.model.graph:
        if is_windowed(node):
            plan = plan_of(node, rotated)
            if not plan.exact_alone:
                moved += math.prod(shape_of(operand(node, 0))) + math.prod(shape_of(node.outputs[0]))
                inexact += is_binary_layer(node)
        elif rotated and node.domain == "" and node.op_type in (*FLATTENERS, "Transpose"):
            moved += _reversed_by(node)
    if rotated:
        for value in (*graph.model.graph.inputs, *graph.model.graph.outputs):
            moved += _elements_of_image(shape_of(value))
    return inexact, moved


def _reversed_by(node: ir.Node) -> int:
    """Elements to reverse before a node of a rotated network; a Flatten into a layer permutes weights."""
    value = operand(node, 0)
    consumers = [use.node for use in node.outputs[0].uses()]
    if len(shape_of(node.outputs[0])) == 2 and consumers:
        return 0
    return _elements_of_image(shape_of(value))


def _elements_of_image(shape: tuple[int, ...]) -> int:
    """Elements of a value with spatial extent, 0 for others."""
    return math.prod(shape) if len(shape) in (3, 4) and math.prod(shape[2:]) > 1 else 0
