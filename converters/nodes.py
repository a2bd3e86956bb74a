"""Reading nodes of the fused graph, and refusing them: what every engine's lowering needs of onnx-ir.

A refusal speaks of "the engine"; ``conversion.py`` says which one.
"""

from __future__ import annotations

from collections.abc import Callable, Container

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, DeduplicateInitializersPass

from bibench_deploy.errors import NotDeployableError

Array = npt.NDArray[np.generic]
CANT = "the engine can't execute it"
REMEDY = "keep this operation out of the deployed graph, or use an engine that has it"


def name_of(value: ir.Value) -> str:
    """A value's name."""
    return value.name or "value"


def label(node: ir.Node) -> str:
    """What an error calls a node."""
    return f"node {node.name or name_of(node.outputs[0])} ({node.op_type})"


def refusal(node: ir.Node, why: str, remedy: str = REMEDY) -> NotDeployableError:
    """The error for a node that the engine can't compute."""
    return NotDeployableError(f"{CANT}: {why}", where=label(node), remedy=remedy)


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """A value's static shape.

    Raises:
        NotDeployableError: it has none.
    """
    shape = value.shape
    if shape is None or not all(isinstance(size, int) for size in shape):
        raise NotDeployableError(
            f"{CANT}: its shape is not static ({shape})",
            where=f"value {value.name}",
            remedy="export the model with a fixed input size",
        )
    return tuple(int(size) for size in shape.numpy())


def constant_of(value: ir.Value | None) -> Array | None:
    """A value's constant, None where it is computed."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


def nothing_twice(model: ir.Model) -> ir.Graph:
    """A copy in which no constant and no node stands twice: either would be in the way of fusing the other."""
    model = model.clone()
    DeduplicateInitializersPass()(model)
    CommonSubexpressionEliminationPass()(model)
    return model.graph


def inputs_of(graph: ir.Graph) -> list[ir.Value]:
    """What is given to a graph: its inputs, constants left out."""
    return [value for value in graph.inputs if constant_of(value) is None]


def require_float(value: ir.Value) -> None:
    """Refuse an input of other numbers.

    Raises:
        NotDeployableError: its numbers are not float32.
    """
    if value.dtype != ir.DataType.FLOAT:
        raise NotDeployableError(
            f"{CANT}: its type is {value.dtype}, not float32",
            where=f"input {name_of(value)}",
            remedy="export the model with float32 inputs",
        )


def leads_to(value: ir.Value, wanted: Callable[[ir.Node], bool], through: Container[str]) -> bool:
    """Whether some node that reads a value is wanted, or leads there through operators of some types alone."""
    return any(
        wanted(node) or (node.op_type in through and leads_to(node.outputs[0], wanted, through))
        for node in users(value)
    )


def operand(node: ir.Node, index: int) -> ir.Value:
    """An input that must be there.

    Raises:
        NotDeployableError: it is absent.
    """
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise refusal(node, f"its input {index} is absent")
    return value


def constant(node: ir.Node, index: int) -> Array:
    """An input that must be a constant.

    Raises:
        NotDeployableError: it is computed.
    """
    array = constant_of(operand(node, index))
    if array is None:
        raise refusal(node, f"its input {index} is computed, not constant")
    return array


def optional_constant(node: ir.Node, index: int) -> Array | None:
    """A constant input, None where it is absent."""
    if index >= len(node.inputs) or node.inputs[index] is None:
        return None
    return constant(node, index)


def ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """An attribute of integers."""
    attribute = node.attributes.get(name)
    return default if attribute is None else tuple(int(i) for i in attribute.as_ints())


def integer(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute."""
    attribute = node.attributes.get(name)
    return default if attribute is None else int(attribute.as_int())


def number(node: ir.Node, name: str, default: float) -> float:
    """A float attribute."""
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.as_float())


def text(node: ir.Node, name: str, default: str) -> str:
    """A string attribute."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()


def users(value: ir.Value) -> list[ir.Node]:
    """Nodes that read a value, one entry a use."""
    return [use.node for use in value.uses()]


def sliced(node: ir.Node) -> list[range]:
    """What a Slice with constant bounds takes of its input: a range of indices for each axis.

    Raises:
        NotDeployableError: its bounds are computed.
    """
    shape = shape_of(operand(node, 0))
    starts, ends = (constant(node, i).astype(np.int64).ravel().tolist() for i in (1, 2))
    axes, steps = optional_constant(node, 3), optional_constant(node, 4)
    places = range(len(starts)) if axes is None else [int(a) % len(shape) for a in axes.ravel()]
    strides = [1] * len(starts) if steps is None else [int(s) for s in steps.ravel()]
    taken = [range(size) for size in shape]
    for place, start, end, step in zip(places, starts, ends, strides, strict=True):
        # ONNX's "to the very beginning", when going backwards, is any number below -size.
        stop = None if step < 0 and end < -shape[place] else end
        taken[place] = range(shape[place])[start:stop:step]
    return taken


def portions(node: ir.Node) -> list[list[range]]:
    """What each output of a Split takes of its input: a range of indices for each axis."""
    shape = shape_of(operand(node, 0))
    axis = integer(node, "axis", 0) % len(shape)
    parts, begin = [], 0
    for out in node.outputs:
        end = begin + shape_of(out)[axis]
        parts.append([range(begin, end) if i == axis else range(n) for i, n in enumerate(shape)])
        begin = end
    return parts


def padding(node: ir.Node) -> tuple[list[tuple[int, int]], float]:
    """What a Pad adds (or, below zero, crops) before and behind each axis, and the constant that it fills with.

    Raises:
        NotDeployableError: its amounts or its constant are computed.
    """
    rank = len(shape_of(operand(node, 0)))
    amounts = [int(i) for i in constant(node, 1).ravel()]
    fill, axes = optional_constant(node, 2), optional_constant(node, 3)
    places = list(range(rank)) if axes is None else [int(a) % rank for a in axes.ravel()]
    pairs = [(0, 0)] * rank
    for i, place in enumerate(places):
        pairs[place] = (amounts[i], amounts[len(places) + i])
    return pairs, 0.0 if fill is None or not fill.size else float(fill.reshape(()))


def image(node: ir.Node, index: int = 0) -> tuple[int, ...]:
    """Shape of an input that must have one or two spatial axes.

    Raises:
        NotDeployableError: it has another rank.
    """
    shape = shape_of(operand(node, index))
    if len(shape) not in (3, 4):
        raise refusal(node, f"its input has rank {len(shape)}; only 1-D and 2-D convolutions and pools are")
    return shape
