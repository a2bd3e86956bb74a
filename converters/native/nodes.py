"""Reading nodes of the binary graph, and refusing them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.errors import NotDeployableError

Array = npt.NDArray[np.generic]
REMEDY = "keep this operation out of the deployed graph, or use an engine that has it"


def name_of(value: ir.Value) -> str:
    """A value's name."""
    return value.name or "value"


def label(node: ir.Node) -> str:
    """What an error calls a node."""
    return f"node {node.name or name_of(node.outputs[0])} ({node.op_type})"


def refusal(node: ir.Node, why: str, remedy: str = REMEDY) -> NotDeployableError:
    """The error for a node that the engine can't compute."""
    return NotDeployableError(f"bibench native can't execute it: {why}", where=label(node), remedy=remedy)


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """A value's static shape.

    Raises:
        NotDeployableError: it has none.
    """
    shape = value.shape
    if shape is None or not all(isinstance(size, int) for size in shape):
        raise NotDeployableError(
            f"bibench native can't execute it: its shape is not static ({shape})",
            where=f"value {value.name}",
            remedy="export the model with a fixed input size",
        )
    return tuple(int(size) for size in shape.numpy())


def constant_of(value: ir.Value | None) -> Array | None:
    """A value's constant, None where it is computed."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


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
