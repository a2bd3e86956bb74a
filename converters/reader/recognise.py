"""Recognition: every convolution and linear layer is decided, binary or float with the reason.

A layer is binary when its weights are (``weights``), and its input is a two-valued step of a real tensor
(``trace``). Everything else stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, Granularity, Layer, Step, is_binarize, is_binary_layer
from bibench_deploy.graph.edit import is_constant, static_shape

from .build import Builder
from .candidates import Candidate, candidate
from .names import layer_name, unique
from .plans import FactorPlan, MovePlan, NotBinary, PadPlan, Plan
from .trace import Tracer
from .weights import BinaryWeights, RealWeights, classify

#: Operators with trained numbers that are neither convolution nor linear.
_OTHER_WEIGHTED = {
    "BatchNormalization", "PRelu", "ConvTranspose", "LayerNormalization", "InstanceNormalization",
    "GroupNormalization", "LSTM", "GRU", "RNN", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """Why a layer stayed float; ``suspicious`` if its weights or its input look as if meant to be of few bits."""

    reason: str
    suspicious: bool


def recognise(model: ir.Model) -> tuple[Layer, ...]:
    """Replace what is binary in a simplified model, in place, and list every weighted layer."""
    graph = model.graph
    tracer = Tracer(graph, model.opset_imports[""])
    builder = Builder(graph)
    found = [layer for node in graph if (layer := candidate(node)) is not None]
    names = unique([layer_name(layer.node) for layer in found])
    kept: dict[ir.Node, tuple[Candidate, str, Verdict]] = {}
    for layer, name in zip(found, names, strict=True):
        decision = _decide(layer, tracer)
        if isinstance(decision, Verdict):
            kept[layer.node] = (layer, name, decision)
        else:
            builder.layer(layer, *decision, name)
    for node in graph:
        if is_binary_layer(node):
            node.attributes["scale"] = ir.AttrString("scale", _granularity(node))
    return tuple(_summaries(graph, kept))


def _decide(layer: Candidate, tracer: Tracer) -> tuple[BinaryWeights, Plan] | Verdict:
    plan = tracer.trace(layer.data)
    if layer.problem is not None or layer.weights is None:
        return Verdict(layer.problem or "", suspicious=not isinstance(plan, NotBinary))
    weights = classify(layer.weights)
    if isinstance(weights, RealWeights):
        if isinstance(plan, NotBinary):
            return Verdict(weights.reason, weights.suspicious)
        return Verdict(f"its input is binary, but its {weights.reason}", suspicious=True)
    if weights.trivial:
        return Verdict("each output channel has a single weight", suspicious=False)
    if isinstance(plan, NotBinary):
        return Verdict(f"its weights are binary, but {plan.reason}", suspicious=True)
    problem = _factor_problem(layer, plan) or _padding_problem(layer, plan)
    return Verdict(problem, suspicious=True) if problem else (weights, plan)


def _factor_problem(layer: Candidate, plan: Plan) -> str | None:
    """A run-time factor commutes with the layer only if it is the same for everything that one output sums."""
    if not isinstance(plan, FactorPlan):
        return None
    shape, data = static_shape(plan.factor), static_shape(layer.data)
    name = plan.node.name
    if shape is None or data is None:
        return f"the shape of the run-time factor of node {name} is not known"
    shape = (1,) * (len(data) - len(shape)) + shape
    if layer.op == "linear":
        return (
            None if shape[-1] == 1 else f"the run-time factor of node {name} differs from channel to channel"
        )
    if any(size > 1 for size in shape[1:]):
        return (
            f"its input is multiplied by a run-time factor that varies within a sample (node {name}) "
            "before the convolution"
        )
    return None


def _padding_problem(layer: Candidate, plan: Plan) -> str | None:
    """Padding that can't be made the layer's own must be ±1 itself."""
    plan = plan.part if isinstance(plan, FactorPlan) else plan
    own = any(sum(pair) for pair in layer.pads)
    value = -plan.middle / plan.half
    while isinstance(plan, PadPlan):
        absorbed = layer.is_conv and not any(sum(p) for p in plan.pads[:2])
        absorbed = absorbed and (not own or abs(value - plan.value) < 1e-6)
        if not absorbed:
            break
        own, value, plan = True, plan.value, plan.part
    return _unbinary_padding(plan)


def _unbinary_padding(plan: Plan) -> str | None:
    if isinstance(plan, PadPlan):
        if abs(abs(plan.value) - 1) > 1e-5:
            return (
                f"node {plan.node.name} pads its input with {plan.value:g} in ±1 terms, which no bit can hold"
            )
        return _unbinary_padding(plan.part)
    if isinstance(plan, MovePlan):
        return next((problem for part in plan.parts if (problem := _unbinary_padding(part))), None)
    return None


def _granularity(node: ir.Node) -> Granularity:
    """The scaling factor of a binary layer: in its weights, or multiplied behind it."""
    scale = BinaryLayer(node).scale
    if scale == "input":
        return scale
    axis = 1 if BinaryLayer(node).is_conv else -1
    value = node.outputs[0]
    while len(users := list(value.uses())) == 1:
        user, index = users[0]
        if user.domain != "" or user.op_type not in ("Mul", "Div", "Add", "Sub", "BatchNormalization"):
            break
        other = user.inputs[1 - index] if user.op_type != "BatchNormalization" else None
        if user.op_type == "Mul" and other is not None and not is_constant(other):
            return (
                "input"
                if _broadcast_over_channels(other, value, axis) and not _depends(other, value)
                else scale
            )
        if user.op_type in ("Mul", "Div") and other is not None and other.const_value is not None:
            scale = "spatial" if scale == "spatial" or _varies_in_space(other, value, axis) else "channel"
        elif other is not None and not is_constant(other):
            break
        value = user.outputs[0]
    return scale


def _broadcast_over_channels(factor: ir.Value, value: ir.Value, axis: int) -> bool:
    shape, full = static_shape(factor), static_shape(value)
    if shape is None or full is None or len(shape) > len(full):
        return False
    return ((1,) * (len(full) - len(shape)) + shape)[axis] == 1 and full[axis] > 1


def _varies_in_space(factor: ir.Value, value: ir.Value, axis: int) -> bool:
    full = static_shape(value)
    assert factor.const_value is not None
    assert full is not None
    array = factor.const_value.numpy()
    array = array.reshape((1,) * (len(full) - array.ndim) + array.shape)
    channel = axis % len(full)
    return any(bool((array != array.take([0], axis=i)).any()) for i in range(1, len(full)) if i != channel)


def _depends(value: ir.Value, source: ir.Value) -> bool:
    """Whether a value is computed from another."""
    seen: set[ir.Value] = set()
    stack = [value]
    while stack:
        current = stack.pop()
        if current is source:
            return True
        producer = current.producer()
        if current in seen or producer is None:
            continue
        seen.add(current)
        stack.extend(v for v in producer.inputs if v is not None)
    return False


def _summaries(graph: ir.Graph, kept: dict[ir.Node, tuple[Candidate, str, Verdict]]) -> Iterator[Layer]:
    for node in graph:
        if is_binary_layer(node):
            yield _binary_summary(node)
        elif node in kept:
            yield _float_summary(*kept[node])
        elif node.op_type in _OTHER_WEIGHTED and node.domain == "":
            constants = [v for v in node.inputs if v is not None and v.const_value is not None]
            shapes = [static_shape(v) or () for v in constants]
            yield Layer(
                name=layer_name(node),
                nodes=(node.name or "",),
                kind="other",
                op=node.op_type.lower(),
                weight_shape=shapes[0] if shapes else (),
                params=sum(math.prod(shape) for shape in shapes),
                macs=0,
            )


def _binary_summary(node: ir.Node) -> Layer:
    layer = BinaryLayer(node)
    shape = layer.signs.shape
    return Layer(
        name=layer.name,
        nodes=layer.sources,
        kind="binary",
        op=f"conv{len(layer.strides)}d" if layer.is_conv else "linear",
        weight_shape=shape,
        params=math.prod(shape),
        macs=_macs(node.outputs[0], shape),
        scale=layer.scale,
        mean_shift=_mean_shift(node),
        pad_value=layer.pad_value,
        stride=layer.strides,
        groups=layer.group,
    )


def _mean_shift(node: ir.Node) -> bool:
    """Whether any step that a binary layer reads, directly or behind moves, has a learned shift."""
    stack = [node.inputs[0]]
    while stack:
        value = stack.pop()
        producer = value.producer() if value is not None else None
        if producer is None:
            continue
        if is_binarize(producer):
            if Step.of(producer).mean_shift:
                return True
        else:
            stack.extend(v for v in producer.inputs if v is not None and not is_constant(v))
    return False


def _float_summary(layer: Candidate, name: str, verdict: Verdict) -> Layer:
    shape: tuple[int, ...] = layer.weights.shape if layer.weights is not None else ()
    bias = 0 if layer.bias is None else layer.bias.size
    return Layer(
        name=name,
        nodes=(layer.node.name or "",),
        kind="float",
        op=layer.op,
        weight_shape=shape,
        params=math.prod(shape) + bias if shape else 0,
        macs=_macs(layer.node.outputs[0], shape) if shape else 0,
        why_not_binary=verdict.reason,
        looks_binary=verdict.suspicious,
        stride=layer.strides,
        groups=layer.group,
    )


def _macs(output: ir.Value, weight_shape: tuple[int, ...]) -> int:
    return math.prod(static_shape(output) or ()) * math.prod(weight_shape[1:])
