"""Ties: values within rounding of their threshold, where what is binarized can't be seen.

An engine that goes from layer to layer in bits shows no numbers in between. Which sign a value takes that lies
within rounding of its threshold then depends on the order of a sum, and what becomes of it is computed here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import helper

from bibench_deploy.graph import BinaryGraph, constant, is_binarize

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]
#: A value this near its threshold (relative to the largest beside it) may fall on either side by rounding.
TIE = 1e-5
_THRESHOLD = "__threshold"


def hidden_steps(graph: BinaryGraph, given: Collection[str]) -> dict[str, list[ir.Node]]:
    """For every given value, the Binarize nodes between it and the values given before it."""
    computed = {value.name: node for node in graph.model.graph for value in node.outputs}
    found: dict[str, list[ir.Node]] = {}
    for name in given:
        steps: dict[ir.Node, None] = {}
        seen: set[str] = set()
        stack = [computed[name]] if name in computed else []
        while stack:
            node = stack.pop()
            for value in node.inputs:
                if value is None or not value.name or value.name in seen:
                    continue
                seen.add(value.name)
                if value.name not in given and value.name in computed:
                    stack.append(computed[value.name])
            source = node.inputs[0] if node.inputs else None
            if is_binarize(node) and source is not None and source.name not in given:
                steps[node] = None
        found[name] = [step for step in steps if not _is_network_input(graph, step)]
    return found


def _is_network_input(graph: BinaryGraph, step: ir.Node) -> bool:
    return any(step.inputs[0] is value for value in graph.model.graph.inputs)


class Ties:
    """A graph whose hidden steps can be made to turn a little earlier or later.

    What becomes of a piece when values within rounding of their threshold fall on the other side is
    computed, not bounded: each flip passes through all that lies between the step and the piece's end.

    Args:
        steps: Binarize nodes that can't be seen.

    Attributes:
        proto: the graph, with the thresholds of these steps as further inputs.
        watched: what they binarize.
    """

    def __init__(self, graph: BinaryGraph, steps: Sequence[ir.Node]) -> None:
        self._steps = {step.outputs[0].name or "": step for step in steps}
        self.proto = graph.proto()
        for node in self.proto.graph.node:
            if node.output[0] in self._steps:
                node.input[1] = node.output[0] + _THRESHOLD
                self.proto.graph.input.append(
                    helper.make_tensor_value_info(node.input[1], onnx.TensorProto.FLOAT, None)
                )
        self.watched = [_binarized(step) for step in self._steps.values()]

    def thresholds(self) -> Arrays:
        """As they are."""
        return {name + _THRESHOLD: constant(step, 1) for name, step in self._steps.items()}

    def moved(self, reference: Arrays) -> list[Arrays]:
        """All thresholds lower, and all higher, by the reach of a tie; [] if no value is that near.

        Where torch.sign meets its threshold exactly it stays there: its 0 is no rounding; no engine has it.
        """
        found: list[dict[str, Array]] = [{}, {}]
        any_tie = False
        for name, step in self._steps.items():
            x = np.asarray(reference[_binarized(step)], np.float64)
            threshold = np.broadcast_to(constant(step, 1).astype(np.float64), x.shape)
            reach = TIE * np.abs(x).max(initial=0.0)
            exact = (x == threshold) & (step.attributes["at_threshold"].as_float() == 0)
            any_tie |= bool(((np.abs(x - threshold) <= reach) & ~exact).any())
            for side, feeds in zip((-1, 1), found, strict=True):
                feeds[name + _THRESHOLD] = np.where(exact, threshold, threshold + side * reach).astype(
                    np.float32
                )
        return list(found) if any_tie else []


def _binarized(step: ir.Node) -> str:
    assert step.inputs[0] is not None
    return step.inputs[0].name or ""
