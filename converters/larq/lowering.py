"""The state of one lowering: which node of the GraphDef holds which value of the binary graph, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bibench_deploy.errors import ConversionError

from ..engine import TensorView
from ..nodes import constant_of, name_of, shape_of
from .graphdef import GraphBuilder
from .layout import Held, Layout, nhwc


@dataclass(frozen=True)
class Point:
    """A node of the GraphDef that holds a value of the binary graph."""

    value: str
    held: Held


@dataclass
class Lowering:
    """What the operators' lowerings read and write.

    Attributes:
        builder: receives the nodes.
        layout: converts between forms.
        points: values that are held by a float node, for the probe.
        forms: layer name → form used for it.
        binary: layer name → nodes of its binary convolutions (several for a split group).
        bools: nodes that hold comparisons, the only ones that are not float32.
        inputs, outputs: node → how it is seen as the model's, in the model's order.
    """

    builder: GraphBuilder
    layout: Layout
    points: dict[str, Point] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)
    binary: dict[str, list[str]] = field(default_factory=dict)
    bools: set[str] = field(default_factory=set)
    inputs: dict[str, TensorView] = field(default_factory=dict)
    outputs: dict[str, TensorView] = field(default_factory=dict)
    _held: dict[ir.Value, Held] = field(default_factory=dict)
    _converted: dict[tuple[str, str, tuple[int, ...]], Held] = field(default_factory=dict)
    _steps: dict[str, str] = field(default_factory=dict)
    _done: set[ir.Node] = field(default_factory=set)

    # --- values ----------------------------------------------------------------------------------------

    def put(self, value: ir.Value, held: Held) -> None:
        """Say how a value is held.

        Raises:
            ConversionError: what was emitted has another shape than the graph declares.
        """
        found = self.builder.shapes[held.node]
        declared = nhwc(shape_of(value)) if held.form == "spatial" else shape_of(value)
        if found != declared:
            raise ConversionError(
                f"it is declared with shape {declared} (as Larq holds it) but has {found}",
                where=f"value {name_of(value)}",
                remedy="let onnx infer the model's shapes again; a pool with ceil_mode is a known cause",
            )
        self._held[value] = held
        if not held.pending:
            self.points.setdefault(held.node, Point(name_of(value), held))

    def raw(self, value: ir.Value) -> Held:
        """How a value is held, its step possibly pending; a constant becomes a plain one."""
        if value not in self._held:
            array = constant_of(value)
            if array is None:
                raise AssertionError(f"{value.name} is used before it is computed")
            node = self.builder.const(array.astype(np.float32), name_of(value))
            self._held[value] = Held(node, array.shape)
        return self._held[value]

    def get(self, value: ir.Value) -> Held:
        """How a value is held, its step emitted."""
        held = self.raw(value)
        if not held.pending:
            return held
        return Held(self.step(held.node), held.shape, held.form, held.source)

    def is_bool(self, value: ir.Value | None) -> bool:
        """Whether a value is held as a comparison's result."""
        return value in self._held and self._held[value].node in self.bools

    def step(self, node: str) -> str:
        """The step of a node, emitted once."""
        if node not in self._steps:
            self._steps[node] = self.builder.step(node, f"{node}/sign")
        return self._steps[node]

    def plain(self, held: Held) -> Held:
        """In ONNX's layout, converted once."""
        return self._once(held, "plain", self.layout.plain)

    def spatial(self, held: Held) -> Held:
        """In spatial form, converted once."""
        return self._once(held, "spatial", self.layout.spatial)

    def _once(self, held: Held, form: str, convert: Callable[[Held], Held]) -> Held:
        if held.form == form:
            return held
        key = (held.node, form, held.shape)
        if key not in self._converted:
            self._converted[key] = convert(held)
        return self._converted[key]

    # --- nodes -----------------------------------------------------------------------------------------

    def skip(self, node: ir.Node) -> None:
        """Say that a node was lowered together with an earlier one."""
        self._done.add(node)

    def is_done(self, node: ir.Node) -> bool:
        """Whether a node was lowered together with an earlier one."""
        return node in self._done
