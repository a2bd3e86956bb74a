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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bibench_deploy.graph import BinaryGraph

from .agreement import CHAOS_TOLERANCE, ROW_TOLERANCE, as_rows, row_differences
from .engine import Emitted
from .pieces import (
    PIECE_TOLERANCE,
    Array,
    Arrays,
    Opener,
    Piece,
    engine_pieces,
    graph_pieces,
    layer_names,
)
from .reader.evaluate import session
from .ties import TIE

#: Rows used for the piece-by-piece comparison.
PIECE_ROWS = 4


@dataclass(frozen=True)
class EndToEnd:
    """Agreement of final outputs over rows.

    Attributes:
        rows: compared; within: share with a difference below ROW_TOLERANCE.
        differing_classes: rows with another predicted class; None if the model predicts none.
        tied_classes: of these, rows where the reference's own numbers for the two classes are within TIE of each
            other, so that it is rounding that decides (a classifier of whole numbers ties often).
        largest, median: of the rows' relative differences.
        accuracy: (reference, artefact), where labels were given.
    """

    rows: int
    within: float
    differing_classes: int | None
    tied_classes: int | None
    largest: float
    median: float
    accuracy: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """For the manifest and ``--json``."""
        return {
            "rows": self.rows,
            "rows_within_tolerance": self.within,
            "differing_classes": self.differing_classes,
            "tied_classes": self.tied_classes,
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
        by: what executed the artefact: the "engine", or a "semantic model" of it where it can't run.
    """

    problem: str | None
    graph: tuple[Piece, ...]
    layers: tuple[Piece, ...]
    covered: int
    binary_layers: int
    random: EndToEnd
    data: EndToEnd | None = None
    reference: str = "onnxruntime"
    by: str = "engine"
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
            "by": self.by,
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


class Reference:
    """A graph's source model and what it gives for some rows: made once, for every engine's artefact.

    Args:
        graph: the fused graph that artefacts are emitted from.
        rows: random inputs, data: the user's; each entry is one batch of the model, by input name.
        labels: of the data's rows, for accuracy.
    """

    def __init__(
        self,
        graph: BinaryGraph,
        rows: Sequence[Arrays],
        data: Sequence[Arrays] = (),
        labels: npt.NDArray[np.integer[Any]] | None = None,
    ) -> None:
        self.graph, self.rows, self.data, self.labels = graph, rows, data, labels
        self.piece_rows = [*data[: PIECE_ROWS // 2], *rows][:PIECE_ROWS]
        self._session = session(graph.source.proto, threads=2)

    def run(self, outputs: Sequence[str], batch: Arrays) -> list[Array]:
        """The source model's outputs for one batch."""
        found: list[Array] = self._session.run(list(outputs), dict(batch))
        return found

    @cached_property
    def graph_pieces(self) -> list[Piece]:
        """Question 1."""
        return graph_pieces(self.graph, self.piece_rows)

    @cached_property
    def outputs(self) -> Mapping[str, tuple[list[Array], list[Array]]]:
        """By output: for the rows, and for the data."""
        names = [output.name for output in self.graph.source.proto.graph.output]
        computed = [[self.run(names, batch) for batch in batches] for batches in (self.rows, self.data)]
        return {
            name: ([arrays[i] for arrays in computed[0]], [arrays[i] for arrays in computed[1]])
            for i, name in enumerate(names)
        }


def verify(reference: Reference, emitted: Emitted, opener: Opener, by: str = "engine") -> Verification:
    """Compare an artefact with its model.

    Args:
        reference: of the fused graph that was emitted.
        opener: executes artefacts of this engine.
        by: what the opener executes artefacts with, see ``Verification``.
    """
    graph = reference.graph
    in_graph = reference.graph_pieces
    in_engine = engine_pieces(graph, emitted, opener, reference.piece_rows)
    run = opener(emitted.data, emitted.inputs, emitted.outputs)

    def compare(real: bool) -> EndToEnd:
        batches, labels = (reference.data, reference.labels) if real else (reference.rows, None)
        got = [run(batch) for batch in batches]
        names = [view.name for view in emitted.outputs]
        return _worst_output(
            [
                end_to_end(
                    _rows(reference.outputs[name][real]), _rows([result[name] for result in got]), labels
                )
                for name in names
            ]
        )

    random = compare(real=False)
    real = compare(real=True) if len(reference.data) else None
    layer_of = layer_names(graph)
    covered = sum(1 for piece in in_engine if piece.layer in set(layer_of.values()))
    problem = _problem(in_graph, in_engine, random, real, bool(in_engine))
    return Verification(
        problem, tuple(in_graph), tuple(in_engine), covered, len(graph.binary_layers), random, real, by=by
    )


def end_to_end(expected: Array, got: Array, labels: npt.NDArray[np.integer[Any]] | None = None) -> EndToEnd:
    """Agreement of outputs, one row per sample."""
    a, b = as_rows(expected), as_rows(got)
    relative = row_differences(expected, got)
    classes = a.shape[1] > 1
    ours, theirs = a.argmax(1), b.argmax(1)
    differing = ours != theirs
    rows = np.arange(len(a))
    with np.errstate(invalid="ignore"):  # numbers that are not finite tie with nothing
        undecided = a[rows, ours] - a[rows, theirs] <= TIE * np.abs(a).max(axis=1, initial=0.0)
    accuracy = None
    if labels is not None and classes:
        truth = labels[: len(a)]
        accuracy = (float((ours == truth).mean()), float((theirs == truth).mean()))
    return EndToEnd(
        rows=len(a),
        within=float((relative <= ROW_TOLERANCE).mean()),
        differing_classes=int(differing.sum()) if classes else None,
        tied_classes=int((differing & undecided).sum()) if classes else None,
        largest=float(relative.max()),
        median=float(np.median(relative)),
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
        tied_classes=found[0].tied_classes,
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
