"""Which of the eight algorithms a model amounts to when it is deployed."""

from __future__ import annotations

from collections.abc import Sequence

from bibench_deploy.graph import Layer

#: Algorithms that differ in training alone: deployed, each is sign(w), sign(x) and a factor per channel.
CHANNEL_FACTOR = "dorefa|bireal|recu|fda"


def algorithm_like(layers: Sequence[Layer]) -> str:
    """``fp32`` without a binary layer, else the algorithm whose forward pass the model has (DESIGN's table).

    Where several algorithms have the same forward pass their names are joined by ``|``.
    """
    binary = [layer for layer in layers if layer.kind == "binary"]
    if not binary:
        return "fp32"
    scales = {layer.scale for layer in binary}
    if "input" in scales:
        return "xnor"
    if "spatial" in scales:
        return "xnorpp"
    if any(layer.mean_shift for layer in binary):
        return "reactnet"
    return CHANNEL_FACTOR if "channel" in scales else "bnn"
