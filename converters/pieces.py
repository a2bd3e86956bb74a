"""Comparing two stages piece by piece: each piece computes from the other stage's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bibench_deploy.graph import BinaryGraph, is_binarize, is_binary_layer

from .cut import Pieces, value_names, with_outputs
from .engine import Emitted, TensorView
from .reader.evaluate import session
from .ties import Ties, hidden_steps

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]
#: Opens an artefact's bytes for execution: inputs and outputs by the ONNX model's names and layouts.
Opener = Callable[[bytes, Sequence[TensorView], Sequence[TensorView]], Callable[[Arrays], dict[str, Array]]]

#: Largest difference of a piece, relative to its largest value: float32 sums in another order (a float layer
#: of 4608 terms differs by up to 1e-5), never a wrong sign (one flipped tap moves a binary layer by 2/K).
PIECE_TOLERANCE = 1e-4
#: What may differ beside the elements that ties explain, as a share of them: ties that flip both ways.
TIES_TOGETHER = 0.05
#: A binary layer's channels are compared each by their own size, down to this share of the largest number.
SMALLEST_CHANNEL = 1e-3


@dataclass(frozen=True)
class Piece:
    """The largest difference found at one value, apart from what ties explain.

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


def graph_pieces(graph: BinaryGraph, rows: Sequence[Arrays]) -> list[Piece]:
    """Question 1: the fused graph, piece by piece, from the source model's own numbers."""
    fused = graph.proto()
    common = value_names(graph.source.proto) & value_names(fused)
    boundaries = _boundaries(graph)
    names = [name for name in boundaries if name in common]
    source = session(with_outputs(graph.source.proto, names))
    pieces = Pieces(fused, names)
    found: dict[str, Piece] = {}
    layer_of, sizes = layer_names(graph), _sizes(graph)
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
    layer_of, sizes = layer_names(graph), _sizes(graph)
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
        difference = np.where(explained, 0, difference)
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


def layer_names(graph: BinaryGraph) -> dict[str, str]:
    """Value that a binary layer computes → the layer's name."""
    return {layer.node.outputs[0].name or "": layer.name for layer in graph.binary_layers}
