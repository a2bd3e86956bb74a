"""Plans become nodes: the Binarize in front of a binary layer and the layer itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph import DOMAIN
from bibench_deploy.graph.edit import SOURCES, add_constant, replace, static_shape
from bibench_deploy.graph.ops import BINARIZE, BINARY_CONV, BINARY_LINEAR

from .candidates import Candidate
from .plans import FactorPlan, MovePlan, PadPlan, Plan, StepPlan
from .weights import BinaryWeights

#: Below this a threshold is no learned shift but a guard against sign(0), as in sign(x + 1e-20).
SMALLEST_SHIFT = 1e-6


class Builder:
    """Adds what was recognised to one graph; each plan is realised once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._built: dict[int, ir.Value] = {}
        self._plans: list[Plan] = []  # keeps ids in _built alive

    def layer(self, found: Candidate, weights: BinaryWeights, plan: Plan, name: str) -> ir.Node:
        """Replace a recognised layer by its binary node (and what a run-time factor needs behind it)."""
        factor: ir.Value | None = None
        sources = [*plan.sources, *_weight_sources(found.node), found.node.name or ""]
        half, middle = plan.half, plan.middle
        if isinstance(plan, FactorPlan):
            factor, plan = plan.factor, plan.part
        pads, pad_value, plan = _absorb_padding(found, plan)
        signs = self.realise(plan, found.node)
        magnitude = weights.magnitude.astype(np.float64)
        multiplier = half * magnitude
        sums = weights.signs.reshape(len(magnitude), -1).sum(axis=1, dtype=np.int64)
        bias = middle * magnitude * sums
        conv_bias = np.zeros_like(bias) if found.bias is None else found.bias.astype(np.float64)
        scale = (
            "input" if factor is not None else "none" if np.allclose(multiplier, 1, rtol=1e-5) else "channel"
        )
        inner = bias if factor is not None else bias + conv_bias
        node = self._binary_node(found, weights.signs, (multiplier, inner), name, (pads, pad_value))
        node.attributes["scale"] = ir.AttrString("scale", scale)
        node.attributes["sources"] = ir.AttrStrings("sources", list(dict.fromkeys(s for s in sources if s)))
        node.replace_input_with(0, signs)
        self._graph.insert_before(found.node, node)
        output = node.outputs[0]
        _like(output, found.node.outputs[0])
        if factor is not None:
            output = self._then(found, "Mul", output, factor, f"{name}/run_time_factor")
            if conv_bias.any():
                shaped = self._per_channel(found, conv_bias, f"{name}.bias")
                output = self._then(found, "Add", output, shaped, f"{name}/bias")
        replace(found.node.outputs[0], output, inherit_name=True)
        self._graph.remove(found.node, safe=True)
        return node

    def realise(self, plan: Plan, before: ir.Node) -> ir.Value:
        """The ±1 tensor of a plan; nodes are inserted before the one given."""
        if id(plan) not in self._built:
            self._built[id(plan)] = self._realise(plan, before)
            self._plans.append(plan)
        return self._built[id(plan)]

    def _realise(self, plan: Plan, before: ir.Node) -> ir.Value:
        if isinstance(plan, StepPlan):
            return self._binarize(plan, before)
        if isinstance(plan, FactorPlan):
            raise ValueError("a run-time factor is no ±1 tensor")
        if isinstance(plan, PadPlan):
            amounts = [pair[side] for side in (0, 1) for pair in plan.pads]
            inner = self.realise(plan.part, before)
            stem = plan.node.name or "pad"
            pads = add_constant(self._graph, f"{stem}.pads", np.asarray(amounts, np.int64))
            value = add_constant(self._graph, f"{stem}.value", np.asarray(plan.value, np.float32))
            node = ir.node("Pad", [inner, pads, value], {"mode": "constant"}, name=f"{stem}/signs")
            original = plan.node.outputs[0]
        else:
            node, original = self._move(plan, before)
        self._graph.insert_before(before, node)
        for output, like in zip(node.outputs, plan.node.outputs, strict=True):
            _like(output, like)
        return node.outputs[plan.output if isinstance(plan, MovePlan) else original.index() or 0]

    def _move(self, plan: MovePlan, before: ir.Node) -> tuple[ir.Node, ir.Value]:
        parts = [self.realise(part, before) for part in plan.parts]
        inputs = [*parts, *plan.node.inputs[len(parts) :]]
        node = ir.Node(
            "",
            plan.node.op_type,
            inputs,
            list(plan.node.attributes.values()),
            num_outputs=len(plan.node.outputs),
            name=f"{plan.node.name}/signs",
        )
        return node, plan.node.outputs[plan.output]

    def _binarize(self, plan: StepPlan, before: ir.Node) -> ir.Value:
        source = plan.region.input
        shape = static_shape(source)
        assert shape is not None
        stem = plan.region.nodes[-1].name or plan.region.output.name or "sign"
        learned = bool((np.abs(plan.step.threshold) > SMALLEST_SHIFT).any())
        inputs = [source]
        for label, vector in (("threshold", plan.step.threshold), ("direction", plan.step.direction)):
            shaped = _channel_shape(vector, len(shape), plan.axis)
            inputs.append(add_constant(self._graph, f"{stem}.{label}", shaped))
        node = ir.node(
            BINARIZE,
            inputs,
            {"at_threshold": float(plan.step.at_threshold), "mean_shift": int(learned)},
            domain=DOMAIN,
            name=f"{stem}/binarize",
        )
        self._graph.insert_before(before, node)
        _like(node.outputs[0], source)
        return node.outputs[0]

    def _binary_node(
        self,
        found: Candidate,
        signs: npt.NDArray[np.int8],
        affine: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
        name: str,
        padding: tuple[tuple[tuple[int, int], ...], float],
    ) -> ir.Node:
        weight = add_constant(self._graph, f"{name}.signs", signs)
        multiplier = self._per_channel(found, affine[0], f"{name}.multiplier")
        bias = self._per_channel(found, affine[1], f"{name}.bias")
        attributes: dict[str, int | float | str | list[int]] = {"layer": name}
        if found.is_conv:
            pads, value = padding
            attributes |= {
                "pads": [0, 0, *(p[0] for p in pads), 0, 0, *(p[1] for p in pads)],
                "pad_value": float(value),
                "strides": list(found.strides),
                "dilations": list(found.dilations),
                "group": found.group,
            }
        return ir.node(
            BINARY_CONV if found.is_conv else BINARY_LINEAR,
            [found.data, weight, multiplier, bias],
            attributes,
            domain=DOMAIN,
            name=f"{found.node.name or name}/binary",
        )

    def _per_channel(self, found: Candidate, vector: npt.NDArray[np.float64], name: str) -> ir.Value:
        shape = (-1,) + (1,) * len(found.strides)
        return add_constant(self._graph, name, vector.astype(np.float32).reshape(shape))

    def _then(self, found: Candidate, op: str, left: ir.Value, right: ir.Value, name: str) -> ir.Value:
        node = ir.node(op, [left, right], name=name)
        self._graph.insert_before(found.node, node)
        _like(node.outputs[0], found.node.outputs[0])
        return node.outputs[0]


def _absorb_padding(found: Candidate, plan: Plan) -> tuple[tuple[tuple[int, int], ...], float, Plan]:
    """Padding of the layer in ±1 terms: its own zeros, and a Pad in front of it where both are one padding."""
    pads = found.pads
    value = -plan.middle / plan.half if any(sum(p) for p in pads) else 0.0
    while isinstance(plan, PadPlan) and found.is_conv and not any(sum(pair) for pair in plan.pads[:2]):
        same = not any(sum(p) for p in pads) or abs(value - plan.value) < 1e-6
        if not same:
            break
        value = plan.value
        pads = tuple(
            (mine[0] + theirs[0], mine[1] + theirs[1])
            for mine, theirs in zip(pads, plan.pads[2:], strict=True)
        )
        plan = plan.part
    return pads, _round(value), plan


def _round(value: float) -> float:
    """−1, 0 and 1 exactly, where rounding of the two values left them nearby."""
    nearest = float(round(value))
    return nearest + 0.0 if abs(value - nearest) < 1e-5 else value


def _channel_shape(vector: npt.NDArray[np.float32], rank: int, axis: int | None) -> npt.NDArray[np.float32]:
    """A vector over channels in a shape that broadcasts to one sample; () if all are equal."""
    if vector.size == 1 or axis is None or (vector == vector[0]).all():
        return np.asarray(vector[0], np.float32)
    return vector.reshape((-1,) + (1,) * (rank - 1 - axis))


def _weight_sources(node: ir.Node) -> tuple[str, ...]:
    weight = node.inputs[1]
    return tuple(weight.meta.get(SOURCES, ())) if weight is not None else ()


def _like(value: ir.Value, other: ir.Value) -> None:
    """Give a new value a name, the shape of another, and float type."""
    value.shape = ir.Shape(static_shape(other) or ())
    value.type = ir.TensorType(ir.DataType.FLOAT)
    if value.name is None:
        node = value.producer()
        value.name = f"{node.name if node else ''}_output"
