"""What follows a layer and is computed before its result is stored: factors, bias, activation, residual, bits.

An operator with an epilogue (MAP, BCONV, CONV, DWCONV) computes per element

    v = multiplier·dot·factor + bias,  activation,  + residual  (or the last two exchanged)

and stores v as float32, its sign as bits, or both. ``growth.py`` fills it in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import is_binarize

from ..nodes import name_of, users
from .bbm import DType, Op
from .layout import Held
from .lowering import Lowering
from .steps import (
    LARGEST,
    Doubles,
    binarize,
    groups_of,
    is_vector,
    outer_product,
    per_channel,
    same_step,
    shrunk,
    step_constants,
)

NONE, RELU, CLIP, PRELU = 0, 1, 2, 3


@dataclass
class Epilogue:
    """An epilogue that grows, until it is emitted.

    Attributes:
        low: the lowering.
        value: the graph's value that is computed so far.
        held: how it will be held (without tensors).
        multiplier, bias: constants of four axes; None for 1 and 0.
        factor, residual: float tensors.
        activation: which; low_bound, high_bound, slope, shift_in, shift_out belong to it.
        activation_first: whether it comes before the residual.
        steps: Binarize nodes that are served by the bits output, all of one threshold and direction.
        late: further Binarize nodes on values that are not stored.
        absorbed: nodes whose work is done here.
        started: values that are being computed: nothing may be computed first that needs them.
    """

    low: Lowering
    value: ir.Value
    held: Held
    multiplier: Doubles | None = None
    bias: Doubles | None = None
    factor: int | None = None
    residual: int | None = None
    activation: int = NONE
    low_bound: float = -LARGEST
    high_bound: float = LARGEST
    slope: Doubles | None = None
    shift_in: Doubles | None = None
    shift_out: Doubles | None = None
    activation_first: bool = False
    late: list[ir.Node] = field(default_factory=list)
    absorbed: list[ir.Node] = field(default_factory=list)
    started: list[ir.Value] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._start(self.value)

    def _start(self, value: ir.Value) -> None:
        self.low.in_progress.add(value)
        self.started.append(value)

    def advance(self, node: ir.Node) -> None:
        """Say that a node that reads the value was taken in: its output is what is computed now."""
        self.absorbed.append(node)
        self.value = node.outputs[0]
        self._start(self.value)

    def end(self) -> None:
        """Say that it is emitted, or given up."""
        self.low.in_progress.difference_update(self.started)

    # --- emitting ------------------------------------------------------------------------------------

    def emit(
        self, op: Op, x: int, filters: int | None = None, ints: tuple[int, ...] = (), pad: float = 0.0
    ) -> None:
        """Write the operator, say how its values are held, and mark what was absorbed as done.

        Args:
            x, filters: its first inputs.
            ints: attributes 0 to 8.
            pad: padding value of BCONV.
        """
        low, dims = self.low, self.held.dims
        steps = self._steps()
        served = steps[0] if steps else None
        group = [step for step in steps if served is not None and same_step(step, served, self.held)]
        rest = [step for step in steps if step not in group]
        readers = users(self.value)
        stored = (
            self.value.is_graph_output()
            or bool(rest)
            or any(user not in group for user in readers)
            or not group
        )
        name = name_of(self.value)
        out = low.activation(name, dims) if stored else None
        bits: int | None = None
        groups = 1
        threshold = direction = None
        if served is not None:
            groups = groups_of(served, self.held)
            bits = low.activation(name_of(served.outputs[0]), dims, DType.BITS, groups)
            threshold, direction = step_constants(self.low, served, self.held)
        multiplier, factor = self._factors()
        inputs = [
            x,
            filters,
            self._optional(multiplier, neutral=1),
            self._optional(self.bias, neutral=0),
            factor,
            self.residual,
            self._channel(self.slope),
            self._channel(self.shift_in),
            self._channel(self.shift_out),
            threshold,
            direction,
        ]
        attributes = [*ints, *[0] * (9 - len(ints)), self.activation, int(self.activation_first)]
        bounds = (self.low_bound, self.high_bound) if self.activation == CLIP else (0.0, 0.0)
        low.add(op, name, inputs, [out, bits], attributes, [pad, *bounds])
        for node in self.absorbed:
            low.skip(node)
        self.end()
        if out is not None:
            low.put(self.value, self.held.of(out))
        for step in group:
            assert bits is not None
            low.put(step.outputs[0], self.held.of(None, {groups: bits}))
            low.skip(step)
        for step in rest:
            # On a clipped value that is not stored: the same behind the clip, see ``_commute``.
            if step in self.late:
                binarize(low, step, self.held.of(out))

    def describe(self) -> str:
        """What was fused, in words, for the manifest."""
        parts = []
        if self.factor is not None:
            parts.append("run-time factor")
        if self.residual is not None:
            parts.append("residual")
        if self.activation != NONE:
            parts.append({RELU: "relu", CLIP: "clip", PRELU: "prelu"}[self.activation])
        if self._steps():
            parts.append("sign")
        return " + ".join(["fused", *parts]) if parts else "plain"

    def _steps(self) -> list[ir.Node]:
        here = [user for user in users(self.value) if is_binarize(user)]
        wanted = dict.fromkeys([*here, *self.late])
        return [step for step in wanted if per_channel(step, self.held) and not self.low.is_done(step)]

    def _factors(self) -> tuple[Doubles | None, int | None]:
        """Multiplier and factor: a map of factors goes as channel ⊗ map where it is one (XNOR++)."""
        if self.factor is not None or self.multiplier is None:
            return self.multiplier, self.factor
        multiplier = shrunk(self.multiplier)
        product = None if is_vector(multiplier) else outer_product(multiplier)
        if product is None:
            return multiplier, None
        channel, plane = product
        return channel, self.low.constant(plane)

    def _optional(self, array: Doubles | None, neutral: float) -> int | None:
        if array is None or (array == neutral).all():
            return None
        dims, array = self.held.dims, shrunk(array)
        if is_vector(array):
            return self.low.vector(array, dims[3])
        return self.low.constant(np.broadcast_to(array, (1, *dims[1:])))

    def _channel(self, array: Doubles | None) -> int | None:
        return None if array is None else self.low.vector(array, self.held.dims[3])
