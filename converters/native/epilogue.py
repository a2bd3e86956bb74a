"""What follows a layer and is computed before its result is stored: factors, bias, activation, residual, bits.

An operator with an epilogue (MAP, BCONV, CONV, DWCONV) computes per element

    v = multiplier·dot·factor + bias,  activation,  + residual  (or the last two exchanged)

and stores v as float32, its sign as bits, or both. ``Epilogue.grow`` walks from a node's output along its only
consumer as long as what it finds still fits that form. A Binarize that reads a value in front of a clip is
served from behind it where the clip can't move the value across the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import Step, is_binarize

from ..nodes import constant_of, name_of, number, shape_of
from .bbm import DType, Op
from .layout import Held
from .lowering import Lowering
from .steps import (
    LARGEST,
    Doubles,
    binarize,
    clip_bounds,
    groups_of,
    is_vector,
    one_affine,
    per_channel,
    same_step,
    step_constants,
)

NONE, RELU, CLIP, PRELU = 0, 1, 2, 3


@dataclass
class Epilogue:
    """An epilogue that grows.

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

    def end(self) -> None:
        """Say that it is emitted, or given up."""
        self.low.in_progress.difference_update(self.started)

    def grow(self) -> None:
        """Take in what follows."""
        while (found := self._next()) is not None:
            node, steps = found
            taken = self.take(node)
            if not taken:
                taken = not steps and self._take_rprelu(node)
            if not taken:
                return
            if steps:
                self.late += steps

    def _next(self) -> tuple[ir.Node, list[ir.Node]] | None:
        """The only consumer of the value that is no Binarize, and the Binarizes beside it, if it may be taken."""
        if self.value.is_graph_output():
            return None
        users = [use.node for use in self.value.uses()]
        steps = [user for user in users if is_binarize(user)]
        others = [user for user in users if not is_binarize(user)]
        if len(others) != 1:
            return None
        if steps and not self._commute(others[0], steps):
            return None
        return others[0], steps

    def _commute(self, node: ir.Node, steps: list[ir.Node]) -> bool:
        """Whether steps give the same behind a clip as before it: low < threshold <= high."""
        bounds = clip_bounds(node)
        if bounds is None:
            return False
        if not all(per_channel(step, self.held) for step in steps):
            return False
        thresholds = np.concatenate([Step.of(step).threshold for step in steps])
        return bool((thresholds > bounds[0]).all() and (thresholds <= bounds[1]).all())

    # --- taking nodes --------------------------------------------------------------------------------

    def take(self, node: ir.Node) -> bool:
        """Take a node that reads the value into the epilogue; False if it doesn't fit."""
        if node.domain != "":
            return False
        if node.op_type in ("Add", "Sub", "Mul", "Div"):
            taken = self._arithmetic(node)
        elif (bounds := clip_bounds(node)) is not None:
            taken = self._clip(*bounds)
        elif node.op_type in ("PRelu", "LeakyRelu"):
            taken = self._prelu(node)
        else:
            taken = False
        if taken:
            self._advance(node)
        return taken

    def _advance(self, node: ir.Node) -> None:
        self.absorbed.append(node)
        self.value = node.outputs[0]
        self._start(self.value)

    def _arithmetic(self, node: ir.Node) -> bool:
        index = 0 if node.inputs[0] is self.value else 1
        other = node.inputs[1 - index]
        if other is None or shape_of(node.outputs[0]) != self.held.shape:
            return False
        array = constant_of(other)
        if array is None:
            return self._computed(node.op_type, other)
        number_of_each = self.held.constant(array).astype(np.float64)
        if number_of_each.shape[0] != 1:
            return False
        scale, shift = one_affine(node.op_type, index, number_of_each)
        if scale is None or shift is None:
            return False
        return self._affine(scale, shift)

    def _affine(self, scale: Doubles, shift: Doubles) -> bool:
        if self.residual is None and self.activation == NONE:
            self.multiplier = scale if self.multiplier is None else self.multiplier * scale
            self.bias = shift if self.bias is None else self.bias * scale + shift
            if not self.bias.any():
                self.bias = None
            return True
        last = self.residual is None or not self.activation_first
        if self.activation == PRELU and last and (scale == 1).all() and is_vector(shift):
            self.shift_out = shift if self.shift_out is None else self.shift_out + shift
            return True
        return False

    def _computed(self, op: str, other: ir.Value) -> bool:
        """An operation with another computed value: a residual, or a factor with one channel."""
        if not self.low.demand(other):
            return False
        held = self.low.get(other)
        if op == "Add":
            if self.residual is not None or held.shape != self.held.shape:
                return False
            same = self.low.as_form(held, self.held)
            if same is None:
                return False
            self.residual = self.low.float_of(same)
            self.activation_first = self.activation != NONE
            return True
        if op != "Mul" or self.factor is not None or self.residual is not None or self.activation != NONE:
            return False
        if self.bias is not None or len(held.shape) != len(self.held.shape):
            return False
        same = self.low.as_form(held, self.held)
        if same is None or same.dims[3] != 1:
            return False
        if any(a not in (1, b) for a, b in zip(same.dims, self.held.dims, strict=True)):
            return False
        self.factor = self.low.float_of(same)
        return True

    def _clip(self, low: float, high: float) -> bool:
        if self.activation != NONE:
            return False
        if low == 0 and high >= LARGEST:
            self.activation = RELU
        else:
            self.activation, self.low_bound, self.high_bound = CLIP, low, high
        return True

    def _prelu(self, node: ir.Node) -> bool:
        if self.activation != NONE or node.inputs[0] is not self.value:
            return False
        if node.op_type == "LeakyRelu":
            self.activation, self.slope = PRELU, np.full((1, 1, 1, 1), number(node, "alpha", 0.01))
            return True
        slope = constant_of(node.inputs[1])
        if slope is None:
            return False
        array = self.held.constant(slope).astype(np.float64)
        if not is_vector(array):
            return False
        self.activation, self.slope = PRELU, array
        return True

    def _take_rprelu(self, node: ir.Node) -> bool:
        """RPReLU behind a residual: an Add of a constant a channel, then PRelu."""
        if node.domain != "" or node.op_type not in ("Add", "Sub") or self.residual is None:
            return False
        uses = list(node.outputs[0].uses())
        if self.activation != NONE or len(uses) != 1 or node.outputs[0].is_graph_output():
            return False
        after = uses[0].node
        index = 0 if node.inputs[0] is self.value else 1
        array = constant_of(node.inputs[1 - index])
        if array is None or after.op_type not in ("PRelu", "LeakyRelu") or after.domain != "":
            return False
        if shape_of(node.outputs[0]) != self.held.shape or (node.op_type == "Sub" and index == 1):
            return False
        shift = self.held.constant(array).astype(np.float64)
        if not is_vector(shift):
            return False
        before = self.value
        self.value = node.outputs[0]
        if not self._prelu(after):
            self.value = before
            return False
        self.shift_in = -shift if node.op_type == "Sub" else shift
        self.absorbed.append(node)
        self._advance(after)
        return True

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
        group = [step for step in steps if served is not None and same_step(step, served)]
        rest = [step for step in steps if step not in group]
        users = [use.node for use in self.value.uses()]
        stored = (
            self.value.is_graph_output()
            or bool(rest)
            or any(user not in group for user in users)
            or not group
        )
        name = name_of(self.value)
        out = low.activation(name, dims) if stored else None
        bits: int | None = None
        groups = 1
        threshold = direction = None
        if served is not None:
            groups = groups_of(served)
            bits = low.activation(name_of(served.outputs[0]), dims, DType.BITS, groups)
            threshold, direction = step_constants(self.low, served, self.held)
        inputs = [
            x,
            filters,
            self._optional(self.multiplier, neutral=1),
            self._optional(self.bias, neutral=0),
            self.factor,
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
        here = [use.node for use in self.value.uses() if is_binarize(use.node)]
        wanted = dict.fromkeys([*here, *self.late])
        return [step for step in wanted if per_channel(step, self.held) and not self.low.is_done(step)]

    def _optional(self, array: Doubles | None, neutral: float) -> int | None:
        if array is None or (array == neutral).all():
            return None
        dims = self.held.dims
        if is_vector(array):
            return self.low.vector(array, dims[3])
        return self.low.constant(np.broadcast_to(array, (1, *dims[1:])))

    def _channel(self, array: Doubles | None) -> int | None:
        return None if array is None else self.low.vector(array, self.held.dims[3])
