"""Elementwise regions: the nodes between a value and the real tensors that it is computed from, point by point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import helper

from bibench_deploy.graph.edit import is_constant, static_shape

from .evaluate import session
from .load import GRAPH_IR_VERSION
from .steps import Floats, Function

ELEMENTWISE = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "BitwiseAnd",
        "Cast",
        "CastLike",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "IsInf",
        "IsNaN",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "ThresholdedRelu",
        "Where",
        "Xor",
    ]
)
#: A surrogate gradient left in evaluation mode is about a dozen nodes; far beyond that nothing is a sign.
MAX_REGION = 64


@dataclass(frozen=True)
class Region:
    """Nodes that compute ``output`` from ``input`` and constants, elementwise, in execution order."""

    input: ir.Value
    output: ir.Value
    nodes: tuple[ir.Node, ...]


def regions(value: ir.Value, position: Mapping[ir.Node, int]) -> Iterator[Region]:
    """Regions that end in a value, from the smallest: each begins at one real tensor that all paths pass.

    Args:
        position: execution order of the graph's nodes.
    """
    frontier = {value}
    inside: list[ir.Node] = []
    while len(inside) < MAX_REGION:
        latest = max(frontier, key=lambda v: position.get(v.producer(), -1))  # type: ignore[arg-type]
        producer = latest.producer()
        if producer is None or producer.op_type not in ELEMENTWISE or producer.domain != "":
            return
        if producer not in position:
            return
        frontier.remove(latest)
        inside.append(producer)
        frontier.update(v for v in producer.inputs if v is not None and not is_constant(v))
        if not frontier:
            return
        if len(frontier) == 1:
            (source,) = frontier
            if source.dtype == ir.DataType.FLOAT:
                ordered = sorted(inside, key=lambda node: position[node])
                yield Region(source, value, tuple(ordered))


@dataclass(frozen=True)
class Compiled:
    """A region as a function of one number per channel.

    Attributes:
        function: (G, C) → (G, C).
        axis: the channel axis of the region's input; None if all channels are treated alike.
        channels: C, 1 if all channels are treated alike.
        constants: the numbers in the region, for the evaluation grid.
    """

    function: Function
    axis: int | None
    channels: int
    constants: tuple[float, ...]


def compile_region(region: Region, opset: int) -> Compiled | str:
    """Make a region executable on a grid, or say why it can't be (its constants vary over locations)."""
    shape = static_shape(region.input)
    if shape is None:
        return "the activation's shape is not known"
    constants = _constants(region)
    axes = {axis for array in constants.values() for axis in _varying(array, len(shape))}
    if len(axes) > 1 or any(axis < 0 for axis in axes):
        return "the threshold varies over locations, not only over channels"
    axis = next(iter(axes), None)
    channels = shape[axis] if axis is not None else 1
    reduced = {name: _reduce(array, len(shape), axis) for name, array in constants.items()}
    function = _build(region, reduced, opset)
    numbers = {float(x) for array in reduced.values() if array.dtype.kind in "fi" for x in array.ravel()}
    return Compiled(function, axis, channels, tuple(sorted(numbers)))


def _constants(region: Region) -> dict[str, npt.NDArray[np.generic]]:
    found: dict[str, npt.NDArray[np.generic]] = {}
    for node in region.nodes:
        for value in node.inputs:
            if value is not None and value.const_value is not None and value.name:
                found[value.name] = value.const_value.numpy()
    return found


def _varying(array: npt.NDArray[np.generic], rank: int) -> Iterator[int]:
    """Axes, in the rank of the region's input, along which a constant really varies; −1 if it has more axes."""
    offset = rank - array.ndim
    for axis in range(array.ndim):
        first = np.take(array, [0], axis=axis)
        if array.shape[axis] > 1 and not np.array_equal(np.broadcast_to(first, array.shape), array):
            yield axis + offset if offset >= 0 else -1


def _reduce(array: npt.NDArray[np.generic], rank: int, axis: int | None) -> npt.NDArray[np.generic]:
    """A constant as () or (1, C): what is left of it when only the channel axis counts."""
    offset = rank - array.ndim
    own = axis - offset if axis is not None else -1
    index = tuple(slice(None) if i == own else 0 for i in range(array.ndim))
    reduced = np.asarray(array[index])
    return reduced.reshape(1, -1) if reduced.size > 1 else reduced.reshape(())


def _build(region: Region, constants: Mapping[str, npt.NDArray[np.generic]], opset: int) -> Function:
    graph = onnx.GraphProto(name="region")
    graph.node.extend(ir.to_proto(node) for node in region.nodes)
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    name = region.input.name or ""
    output = region.output.name or ""
    graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["G", "C"]))
    kind = int(region.output.dtype) if region.output.dtype is not None else onnx.TensorProto.FLOAT
    graph.output.append(helper.make_tensor_value_info(output, kind, None))
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=GRAPH_IR_VERSION
    )
    runner = session(proto, optimize=False)

    def function(x: Floats) -> Floats:
        result = np.asarray(runner.run([output], {name: x})[0], np.float32)
        return np.broadcast_to(result, x.shape)

    return function
