"""Which of the eight algorithms a model amounts to when it is deployed."""

from __future__ import annotations

from collections.abc import Sequence

from bibench_deploy.errors import UnsupportedModelError
from bibench_deploy.graph import BinaryGraph, Layer

#: Where a file names the algorithm that it was trained with.
KEY = "bibench.algorithm"
FULL_PRECISION = "fp32"
LONGEST_NAME = 40  # a cell of a table has no room for more

#: Algorithms that differ in training alone: deployed, each is sign(w), sign(x) and a factor per channel.
CHANNEL_FACTOR = "dorefa|bireal|recu|fda"


def algorithm_of(graph: BinaryGraph) -> str:
    """The algorithm that the file says it was trained with, else what its forward pass amounts to.

    Raises:
        UnsupportedModelError: the name can't be one, or is the twin's, whose artefact would take this one's place.
    """
    name = graph.source.metadata.get(KEY)
    if not name:
        return algorithm_like(graph.layers)
    problem = None
    if name == FULL_PRECISION and graph.binary_layers:
        problem = "but it has binary layers"
    elif not name.isprintable() or len(name) > LONGEST_NAME:
        problem = f"which is not a word of at most {LONGEST_NAME} characters"
    if problem is not None:
        raise UnsupportedModelError(
            f"its metadata name {name[:LONGEST_NAME]!r} as its algorithm ({KEY}), {problem}",
            where=str(graph.source.path),
            remedy=f"set {KEY} to the algorithm's name (onnx.helper.set_model_props), or take it out",
        )
    return name


def algorithm_like(layers: Sequence[Layer]) -> str:
    """``fp32`` without a binary layer, else the algorithm whose forward pass the model has (DESIGN's table).

    Where several algorithms have the same forward pass their names are joined by ``|``.
    """
    binary = [layer for layer in layers if layer.kind == "binary"]
    if not binary:
        return FULL_PRECISION
    scales = {layer.scale for layer in binary}
    if "input" in scales:
        return "xnor"
    if "spatial" in scales:
        return "xnorpp"
    if any(layer.mean_shift for layer in binary):
        return "reactnet"
    return CHANNEL_FACTOR if "channel" in scales else "bnn"
