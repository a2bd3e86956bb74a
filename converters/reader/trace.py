"""Steps 3 and 4 of recognition for one tensor: is it two-valued, and a step of which real tensor?

The answer is a plan; nothing is changed in the graph until a layer turns out to be binary (``build``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph.edit import is_constant, static_shape

from .plans import FactorPlan, MovePlan, NotBinary, PadPlan, Plan, StepPlan
from .ranges import bounds
from .regions import compile_region, regions
from .steps import NotAStep, StepFunction, characterise

#: Operators that only move values, or choose the largest: they keep a tensor two-valued.
MOVES = frozenset(
    [
        "MaxPool",
        "GlobalMaxPool",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Split",
        "Gather",
        "DepthToSpace",
        "SpaceToDepth",
        "Concat",
        "Expand",
        "Tile",
        "Identity",
    ]
)
#: Operators through which the step is followed further back, since they are dead in front of it (a clip) or
#: are the learned shift itself (Add, Sub).
_DEAD_OR_SHIFT = {"Clip", "Sign", "Identity", "Cast", "Neg", "Tanh", "Relu", "Add", "Sub"}
#: A layer whose bias may stand as an Add behind it: that Add is no mean shift.
_BIASED = {"MatMul", "Gemm"}
#: Operators that make an inner step strict, so that the equality of an outer torch.sign is never met.
_DISCRETE = {"Sign", "Where", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"}
#: Smallest normal float32. Thresholds below it are rounded up to it: engines flush subnormal numbers to zero.
SMALLEST_NORMAL = np.float32(np.finfo(np.float32).tiny)


class Tracer:
    """Answers for all tensors of one graph; remembers what it found."""

    def __init__(self, graph: ir.Graph, opset: int) -> None:
        self._opset = opset
        self._position: Mapping[ir.Node, int] = {node: index for index, node in enumerate(graph)}
        self._known: dict[ir.Value, Plan | NotBinary] = {}

    def trace(self, value: ir.Value) -> Plan | NotBinary:
        """How a tensor is two-valued, or why it is not."""
        if value not in self._known:
            self._known[value] = self._trace(value)
        return self._known[value]

    def _trace(self, value: ir.Value) -> Plan | NotBinary:
        node = value.producer()
        if node is None:
            return NotBinary("its input is the network's input, which is real-valued")
        if node.domain == "" and node.op_type == "Pad":
            return self._pad(node)
        if node.domain == "" and node.op_type in MOVES:
            return self._move(node, value)
        found = self._step(value)
        if isinstance(found, NotBinary) and node.domain == "" and node.op_type == "Mul":
            factored = self._factor(node)
            if factored is not None:
                return factored
        return found

    def _step(self, value: ir.Value) -> Plan | NotBinary:
        best: StepPlan | None = None
        why = NotBinary("its input is real-valued")
        for region in regions(value, self._position):
            compiled = compile_region(region, self._opset)
            if isinstance(compiled, str):
                why = NotBinary(compiled, suspicious=True) if best is None else why
                continue
            step = characterise(compiled.function, compiled.channels, compiled.constants)
            if isinstance(step, NotAStep):
                if step.few_valued and not why.suspicious:
                    node = region.nodes[-1].name or region.output.name
                    why = NotBinary(f"{step.reason} (at node {node})", suspicious=True)
                continue
            plan = StepPlan(region, step, compiled.axis)
            if best is None or _better(best, plan):
                best = plan
        if best is None:
            return why
        return self._through_pad(_snap(_resolve_equality(best)))

    def _through_pad(self, plan: StepPlan) -> Plan:
        """Padding in front of the step is padding behind it with the step of its value."""
        node = plan.region.input.producer()
        if node is None or node.op_type != "Pad" or node.domain != "":
            return plan
        constant = _constant_padding(node)
        source = node.inputs[0]
        if constant is None or source is None:
            return plan
        pads, value = constant
        above = np.float32(value) >= plan.step.threshold
        padded = plan.step.direction * np.where(above, 1, -1)
        equal = plan.step.at_threshold == 0 and bool((plan.step.threshold == np.float32(value)).any())
        if np.ptp(padded) or (equal and not (plan.step.threshold == np.float32(value)).all()):
            return plan
        inner = replace(plan, region=replace(plan.region, input=source))
        return PadPlan(node, inner, pads, 0.0 if equal else float(padded[0]))

    def _pad(self, node: ir.Node) -> Plan | NotBinary:
        source = node.inputs[0]
        assert source is not None
        part = self.trace(source)
        if isinstance(part, NotBinary):
            return part
        constant = _constant_padding(node)
        if constant is None:
            return NotBinary(
                f"node {node.name} pads the binarized activation in another mode than a constant", True
            )
        pads, value = constant
        if isinstance(part, FactorPlan):
            # Only 0 times the factor is the padding again, so only a padding of 0 may go in front of the factor.
            if value != 0:
                return NotBinary(f"node {node.name} pads {value:g} behind a run-time factor", True)
            return replace(part, part=PadPlan(node, part.part, pads, -part.middle / part.half))
        return PadPlan(node, part, pads, (value - part.middle) / part.half)

    def _move(self, node: ir.Node, value: ir.Value) -> Plan | NotBinary:
        data = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        parts: list[Plan] = []
        for source in data:
            part = self.trace(source) if source is not None else NotBinary("an input is missing")
            if isinstance(part, NotBinary):
                return part
            if isinstance(part, FactorPlan):
                return NotBinary(f"node {node.name} stands between a run-time factor and the layer", True)
            if isinstance(part, PadPlan) and abs(part.value) != 1:
                return NotBinary(
                    f"node {node.name} reads padding of value {part.value:g} in ±1 terms, which no bit can hold",
                    True,
                )
            parts.append(part)
        first = parts[0]
        if any(abs(p.half - first.half) + abs(p.middle - first.middle) > 1e-6 * first.half for p in parts):
            return NotBinary(f"node {node.name} joins activations of different two values", True)
        return MovePlan(node, value.index() or 0, tuple(parts), first.half, first.middle)

    def _factor(self, node: ir.Node) -> Plan | NotBinary | None:
        for value, factor in (node.inputs, reversed(node.inputs)):
            if value is None or factor is None or is_constant(value) or is_constant(factor):
                continue
            part = self.trace(value)
            if not isinstance(part, NotBinary | FactorPlan):
                return FactorPlan(node, part, factor)
        return None


def _better(best: StepPlan, plan: StepPlan) -> bool:
    """Whether a step of a tensor further back describes the same step better."""
    before, now = best.step, plan.step
    added = [node for node in plan.region.nodes if node not in best.region.nodes]
    strict = now.at_threshold == 1
    if all(node.op_type in _DEAD_OR_SHIFT and not _is_bias(node) for node in added):
        return strict or now.at_threshold == before.at_threshold
    if before.at_threshold == 1 or not strict:
        return False
    low, high = now.middle - now.half, now.middle + now.half
    takes_middle = min(abs(low - before.middle), abs(high - before.middle)) <= 1e-6 * before.half
    return takes_middle or any(node.op_type in _DISCRETE for node in added)


def _is_bias(node: ir.Node) -> bool:
    if node.op_type not in ("Add", "Sub"):
        return False
    producers = [value.producer() for value in node.inputs if value is not None and not is_constant(value)]
    return any(p is not None and p.op_type in _BIASED for p in producers) or len(producers) != 1


def _resolve_equality(plan: StepPlan) -> StepPlan:
    """torch.sign of a tensor that is clipped exactly at the threshold has two values: the middle and one other."""
    step = plan.step
    if step.at_threshold == 1:
        return plan
    lower, upper = bounds(plan.region.input)
    half = step.half / 2
    sign = float(step.direction[0])
    if np.ptp(step.direction):
        return plan
    if bool((step.threshold == np.float32(lower)).all()):
        above = np.nextafter(step.threshold, np.float32(np.inf))
        new = StepFunction(above, step.direction, half, step.middle + sign * half, 1.0)
    elif bool((step.threshold == np.float32(upper)).all()):
        new = StepFunction(step.threshold, step.direction, half, step.middle - sign * half, 1.0)
    else:
        return plan
    return replace(plan, step=new)


def _snap(plan: StepPlan) -> StepPlan:
    threshold = plan.step.threshold
    tiny = (threshold > 0) & (threshold < SMALLEST_NORMAL)
    snapped = np.where(tiny, SMALLEST_NORMAL, threshold).astype(np.float32)
    return replace(plan, step=replace(plan.step, threshold=snapped))


def _constant_padding(node: ir.Node) -> tuple[tuple[tuple[int, int], ...], float] | None:
    """((before, after) per axis, value) of a Pad in mode constant; None in other modes or if it crops."""
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "constant"
    shape = static_shape(node.inputs[0])
    if mode != "constant" or shape is None or not is_constant(node.inputs[1]):
        return None
    amounts = _numpy(node, 1).astype(int).ravel()
    rank = len(shape)
    axes = (
        _numpy(node, 3).astype(int).ravel() % rank
        if len(node.inputs) > 3 and node.inputs[3]
        else np.arange(rank)
    )
    value = float(_numpy(node, 2).ravel()[0]) if len(node.inputs) > 2 and node.inputs[2] is not None else 0.0
    pads = [(0, 0)] * rank
    for index, axis in enumerate(axes):
        pads[axis] = (int(amounts[index]), int(amounts[index + len(axes)]))
    return None if any(min(pair) < 0 for pair in pads) else (tuple(pads), value)


def _numpy(node: ir.Node, index: int) -> npt.NDArray[Any]:
    value = node.inputs[index]
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()
