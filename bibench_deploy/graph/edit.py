"""Small edits of a graph and questions about its values, shared by all stages that rewrite one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

#: Names of the nodes that a folded constant came from, in the value's ``meta``.
SOURCES = "bibench.sources"


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """A value's shape, None unless every axis is known."""
    if value is None or value.shape is None:
        return None
    dims = tuple(value.shape)
    return tuple(int(d) for d in dims) if all(isinstance(d, int) for d in dims) else None  # type: ignore[arg-type]


def is_constant(value: ir.Value | None) -> bool:
    """Whether a value's numbers are known."""
    return value is not None and value.const_value is not None


def add_constant(graph: ir.Graph, name: str, array: npt.NDArray[Any]) -> ir.Value:
    """A new initializer with a name made unique from the one given."""
    unique = name
    counter = 0
    while unique in graph.initializers:
        counter += 1
        unique = f"{name}_{counter}"
    tensor = ir.tensor(np.asarray(array, order="C"), name=unique)  # ascontiguousarray makes () to (1,)
    value = ir.Value(
        name=unique, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def replace(old: ir.Value, new: ir.Value, *, inherit_name: bool = False) -> None:
    """Let every consumer of one value, the graph's outputs included, use another.

    Args:
        inherit_name: the new value takes the old one's name. A name means the same number at every stage, from
            the ONNX file to the fused graph: that is what lets verification compare any two stages at every
            value that both have. An output's name is always inherited.
    """
    graph = old.graph
    is_output = old.is_graph_output() and graph is not None
    if is_output and (new.is_graph_output() or new.is_graph_input() or new.is_initializer()):
        raise ValueError(f"output {old.name} can't become {new.name}")
    if is_output or inherit_name:
        name = old.name
        old.name = f"{name}_replaced"
        new.name = name
    if is_output and graph is not None:
        for index, value in enumerate(graph.outputs):
            if value is old:
                graph.outputs[index] = new
    ir.convenience.replace_all_uses_with(old, new)
