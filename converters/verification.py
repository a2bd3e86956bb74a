"""Verification: does the artefact compute what the ONNX model computes?

Three questions, each against onnxruntime:

1. ``graph``: the fused graph against the source model, piece by piece between the values that both have.
2. ``layers``: the artefact against the fused graph, piece by piece from the engine's own numbers (its probe).
3. ``end to end``: the artefact against the source model: predicted classes, rows within tolerance.

Pieces are the proof: given the same input a piece must give the same output to rounding, signs included. End
to end a tolerance can't be tight, since one value within rounding of its threshold flips a sign and the
difference grows from layer to layer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import helper

from bibench_deploy.graph import BinaryGraph, constant, is_binarize, is_binary_layer

from .cut import Pieces, value_names, with_outputs
from .engine import Emitted, TensorView
from .reader.evaluate import session

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]
#: Opens an artefact's bytes for execution: inputs and outputs by the ONNX model's names and layouts.
Opener = Callable[[bytes, Sequence[TensorView], Sequence[TensorView]], Callable[[Arrays], dict[str, Array]]]

#: Largest difference of a piece, relative to its largest value: float32 sums in another order (a float layer
#: of 4608 terms differs by up to 1e-5), never a wrong sign (one flipped tap moves a binary layer by 2/K).
PIECE_TOLERANCE = 1e-4
#: A value this near its threshold (relative to the largest beside it) may fall on either side by rounding.
TIE = 1e-5
#: What may differ beside the elements that ties explain, as a share of them: ties that flip both ways.
TIES_TOGETHER = 0.05
#: A binary layer's channels are compared each by their own size, down to this share of the largest number.
SMALLEST_CHANNEL = 1e-3
#: A row is within tolerance end to end if it differs by less than this, relative to the row's largest value.
ROW_TOLERANCE = 1e-3
#: Median relative difference of a row that is accepted end to end when every piece was proven.
CHAOS_TOLERANCE = 0.25
_THRESHOLD = "__threshold"
#: Rows used for the piece-by-piece comparison.
PIECE_ROWS = 4


@dataclass(frozen=True)
class Piece:
    """The largest difference found at one value.

    Attributes:
        value: its name in the graph.
        layer: the layer that computes it, if one does.
        difference: largest absolute difference; relative: the largest, over the size of the numbers there.
        outside: elements outside the tolerance, of ``size``.
        explained: those of them that change when signs at their threshold fall the other way: where an engine
            goes from layer to layer in bits, what is binarized in between can't be seen, and ties there are
            settled by rounding.
    """

    value: str
    layer: str
    difference: float
    relative: float
    outside: int
    size: int
    explained: int = 0

    @property
    def ok(self) -> bool:
        """Within tolerance everywhere but where a tie explains it."""
        return self.outside - self.explained <= TIES_TOGETHER * self.explained


@dataclass(frozen=True)
class EndToEnd:
    """Agreement of final outputs over rows.

    Attributes:
        rows: compared; within: share with a difference below ROW_TOLERANCE.
        differing_classes: rows with another predicted class; None if the model predicts none.
        largest, median: of the rows' relative differences.
        accuracy: (reference, artefact), where labels were given.
    """

    rows: int
    within: float
    differing_classes: int | None
    largest: float
    median: float
    accuracy: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """For the manifest and ``--json``."""
        return {
            "rows": self.rows,
            "rows_within_tolerance": self.within,
            "differing_classes": self.differing_classes,
            "largest_relative_difference": self.largest,
            "median_relative_difference": self.median,
            "accuracy": None
            if self.accuracy is None
            else {"reference": self.accuracy[0], "artefact": self.accuracy[1]},
        }


@dataclass(frozen=True)
class Verification:
    """What was compared, and the verdict.

    Attributes:
        problem: the first thing that is wrong, in words; None if the artefact is verified.
        graph, layers: pieces of question 1 and 2.
        covered: binary layers whose own output the probe showed, of ``binary_layers``; the others are
            compared together with the layer behind them.
        random, data: question 3 on random inputs and on the user's.
        reference: what executed the model that the artefact was compared with.
    """

    problem: str | None
    graph: tuple[Piece, ...]
    layers: tuple[Piece, ...]
    covered: int
    binary_layers: int
    random: EndToEnd
    data: EndToEnd | None = None
    reference: str = "onnxruntime"
    tolerances: Mapping[str, float] = field(
        default_factory=lambda: {"piece": PIECE_TOLERANCE, "row": ROW_TOLERANCE}
    )

    @property
    def ok(self) -> bool:
        """Whether the artefact computes the model."""
        return self.problem is None

    def as_json(self) -> dict[str, Any]:
        """For the manifest and ``--json``."""
        return {
            "reference": self.reference,
            "problem": self.problem,
            "graph_values_compared": len(self.graph),
            "engine_values_compared": len(self.layers),
            "binary_layers_compared": self.covered,
            "binary_layers": self.binary_layers,
            "largest_piece_difference": max((p.relative for p in (*self.graph, *self.layers)), default=0.0),
            "random": self.random.as_json(),
            "data": self.data.as_json() if self.data else None,
            "tolerances": dict(self.tolerances),
        }


def verify(
    graph: BinaryGraph,
    emitted: Emitted,
    opener: Opener,
    rows: Sequence[Arrays],
    data: Sequence[Arrays] = (),
    labels: npt.NDArray[np.integer[Any]] | None = None,
) -> Verification:
    """Compare an artefact with its model.

    Args:
        graph: the fused graph that was emitted.
        opener: executes artefacts of this engine.
        rows: random inputs, data: the user's; each entry is one batch of the model, by input name.
        labels: of the data's rows, for accuracy.
    """
    reference = session(graph.source.proto, threads=2)
    outputs = [view.name for view in emitted.outputs]
    pieces = [*data[: PIECE_ROWS // 2], *rows][:PIECE_ROWS]
    in_graph = graph_pieces(graph, pieces)
    in_engine = engine_pieces(graph, emitted, opener, pieces)
    run = opener(emitted.data, emitted.inputs, emitted.outputs)

    def compare(batches: Sequence[Arrays], truth: npt.NDArray[np.integer[Any]] | None) -> EndToEnd:
        expected = [reference.run(outputs, dict(batch)) for batch in batches]
        got = [run(batch) for batch in batches]
        found = [
            end_to_end(_rows(arrays), _rows([result[name] for result in got]), truth)
            for name, arrays in zip(outputs, zip(*expected, strict=True), strict=True)
        ]
        return _worst_output(found)

    random = compare(rows, None)
    real = compare(data, labels) if len(data) else None
    layer_of = _layer_names(graph)
    covered = sum(1 for piece in in_engine if piece.layer in set(layer_of.values()))
    problem = _problem(in_graph, in_engine, random, real, bool(in_engine))
    return Verification(
        problem, tuple(in_graph), tuple(in_engine), covered, len(graph.binary_layers), random, real
    )


def graph_pieces(graph: BinaryGraph, rows: Sequence[Arrays]) -> list[Piece]:
    """Question 1: the fused graph, piece by piece, from the source model's own numbers."""
    fused = graph.proto()
    common = value_names(graph.source.proto) & value_names(fused)
    boundaries = _boundaries(graph)
    names = [name for name in boundaries if name in common]
    source = session(with_outputs(graph.source.proto, names))
    pieces = Pieces(fused, names)
    found: dict[str, Piece] = {}
    layer_of, sizes = _layer_names(graph), _sizes(graph)
    for row in rows:
        truth = dict(zip(names, source.run(names, dict(row)), strict=True))
        _merge(found, pieces(row, truth), truth, layer_of, sizes)
    return [found[name] for name in names]


def engine_pieces(
    graph: BinaryGraph, emitted: Emitted, opener: Opener, rows: Sequence[Arrays]
) -> list[Piece]:
    """Question 2: the artefact, piece by piece, from the engine's own numbers; [] if it has no probe."""
    if emitted.probe is None:
        return []
    points = list(emitted.probe.points.items())
    views = [view for _, view in sorted(points)]
    run = opener(emitted.probe.data, emitted.inputs, views)
    names = {view.name for view in views}
    hidden = hidden_steps(graph, names)
    ties = Ties(graph, [step for steps in hidden.values() for step in steps])
    pieces = Pieces(ties.proto, names, ties.watched)
    found: dict[str, Piece] = {}
    layer_of, sizes = _layer_names(graph), _sizes(graph)
    for row in rows:
        given = run(row)
        reference = pieces({**row, **ties.thresholds()}, given)
        turned = [pieces({**row, **moved}, given) for moved in ties.moved(reference)]
        unsure = (
            {}
            if not turned
            else {
                name: np.logical_or.reduce([other[name] != reference[name] for other in turned])
                for name, steps in hidden.items()
                if steps
            }
        )
        _merge(found, given, reference, layer_of, sizes, unsure)
    order = {value.name: index for index, value in enumerate(_values(graph))}
    return sorted(found.values(), key=lambda piece: order.get(piece.value, -1))


def end_to_end(expected: Array, got: Array, labels: npt.NDArray[np.integer[Any]] | None = None) -> EndToEnd:
    """Agreement of outputs, one row per sample."""
    a = expected.reshape(len(expected), -1).astype(np.float64)
    b = got.reshape(len(got), -1).astype(np.float64)
    scale = np.maximum(np.abs(a).max(axis=1), 1e-12)
    relative = np.nan_to_num(np.abs(a - b).max(axis=1) / scale, nan=np.inf)
    classes = a.shape[1] > 1
    accuracy = None
    if labels is not None and classes:
        truth = labels[: len(a)]
        accuracy = (float((a.argmax(1) == truth).mean()), float((b.argmax(1) == truth).mean()))
    return EndToEnd(
        rows=len(a),
        within=float((relative <= ROW_TOLERANCE).mean()),
        differing_classes=int((a.argmax(1) != b.argmax(1)).sum()) if classes else None,
        largest=min(float(relative.max()), 1e30),
        median=min(float(np.median(relative)), 1e30),
        accuracy=accuracy,
    )


def _rows(arrays: Sequence[Array]) -> Array:
    return np.concatenate([np.atleast_1d(array) for array in arrays])


def _worst_output(found: Sequence[EndToEnd]) -> EndToEnd:
    """Of several outputs the one that agrees least; classes are the first one's."""
    worst = max(found, key=lambda result: result.median)
    return replace(
        worst,
        within=min(result.within for result in found),
        largest=max(result.largest for result in found),
        differing_classes=found[0].differing_classes,
        accuracy=found[0].accuracy,
    )


def _problem(
    graph: Sequence[Piece],
    engine: Sequence[Piece],
    random: EndToEnd,
    data: EndToEnd | None,
    probed: bool,
) -> str | None:
    for stage, pieces in (("the fused graph", graph), ("the artefact", engine)):
        wrong = [piece for piece in pieces if not piece.ok]
        if wrong:
            first = wrong[0]
            return (
                f"{stage} computes something else in {len(wrong)} of {len(pieces)} places; the first is "
                f"{first.layer or first.value}: {first.outside} of {first.size} numbers differ, by up to "
                f"{first.difference:.3g} ({first.relative:.2%} of the size of the numbers there)"
            )
    limit = CHAOS_TOLERANCE if probed else ROW_TOLERANCE
    for kind, result in (("random inputs", random), ("the given data", data)):
        if result is not None and result.median > limit:
            return (
                f"end to end on {kind} half of the {result.rows} rows differ by more than "
                f"{result.median:.2%} of their largest output (allowed: {limit:.2%})"
            )
    return None


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


def _merge(
    found: dict[str, Piece],
    got: Arrays,
    reference: Arrays,
    layer_of: Mapping[str, str],
    sizes: Mapping[str, npt.NDArray[np.float64]],
    unsure: Mapping[str, npt.NDArray[np.bool_]] | None = None,
) -> None:
    """Compare values, and join the result with that of the rows before.

    Args:
        sizes: how large the numbers of a value can be, where that is known channel by channel.
        unsure: elements that ties may change.
    """
    for name, array in got.items():
        a, b = np.asarray(reference[name], np.float64), np.asarray(array, np.float64)
        largest = max(float(np.abs(a).max(initial=0.0)), 1e-12)
        scale = np.clip(sizes.get(name, np.inf), SMALLEST_CHANNEL * largest, largest)
        difference = np.nan_to_num(np.abs(a - b), nan=np.inf)
        outside = difference > PIECE_TOLERANCE * scale
        explained = outside & unsure[name] if unsure and name in unsure else np.zeros_like(outside)
        piece = Piece(
            name,
            layer_of.get(name, ""),
            min(float(difference.max(initial=0.0)), 1e30),
            min(float((difference / scale).max(initial=0.0)), 1e30),
            int(outside.sum()),
            a.size,
            int(explained.sum()),
        )
        old = found.get(name)
        found[name] = piece if old is None else _worse(old, piece)


def _sizes(graph: BinaryGraph) -> dict[str, npt.NDArray[np.float64]]:
    """Of every binary layer's output, how large it can be: of K terms, K·|m| + |b| a channel."""
    found = {}
    for layer in graph.binary_layers:
        terms = float(layer.signs[0].size)
        reach = terms * np.abs(layer.multiplier.astype(np.float64)) + np.abs(layer.bias.astype(np.float64))
        found[layer.node.outputs[0].name or ""] = reach
    return found


def _worse(a: Piece, b: Piece) -> Piece:
    worst = max(a, b, key=lambda piece: piece.relative)
    return replace(
        worst, outside=a.outside + b.outside, size=a.size + b.size, explained=a.explained + b.explained
    )


def _values(graph: BinaryGraph) -> list[Any]:
    return [value for node in graph.model.graph for value in node.outputs]


def _boundaries(graph: BinaryGraph) -> list[str]:
    """Values where the graph is cut: what is binarized, what binary layers give, the outputs."""
    names: dict[str, None] = {}
    for node in graph.model.graph:
        if is_binarize(node) and node.inputs[0] is not None:
            names[node.inputs[0].name or ""] = None
        if is_binary_layer(node):
            names[node.outputs[0].name or ""] = None
    inputs = {value.name for value in graph.model.graph.inputs}
    names.update(dict.fromkeys(value.name or "" for value in graph.model.graph.outputs))
    order = {value.name: index for index, value in enumerate(_values(graph))}
    return sorted((name for name in names if name not in inputs), key=lambda name: order[name])


def _layer_names(graph: BinaryGraph) -> dict[str, str]:
    return {layer.node.outputs[0].name or "": layer.name for layer in graph.binary_layers}
