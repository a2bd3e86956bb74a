"""Whether the input of a sign is exactly 0 (or whatever its threshold is) more often than by chance.

``torch.sign(0)`` is 0 and no bit can hold that. Behind a batch-norm it never happens in practice; behind a
ReLU, or on the bare integers of another binary layer, it happens all the time. What can be proven from
the graph is decided here; the rest is left to verification on real data.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.graph import BinaryLayer, Step, is_binary_layer
from bibench_deploy.graph.edit import is_constant

# Operators behind which an exact bound is still an exact bound (an average of bounds is the bound).
_KEEP = frozenset({
    "AveragePool", "Flatten", "GlobalAveragePool", "GlobalMaxPool", "Identity", "MaxPool", "Reshape", "Slice",
    "Squeeze", "Transpose", "Unsqueeze",
})  # fmt: skip
_TOLERANCE = 1e-5


def zero_is_common(binarize: ir.Node) -> str | None:
    """Why a Binarize node meets its threshold often, for a sentence; None where nothing says that it does."""
    threshold = Step.of(binarize).threshold
    value = binarize.inputs[0]
    while value is not None and (node := value.producer()) is not None:
        if node.op_type in _KEEP:
            value = node.inputs[0]
            continue
        if node.op_type == "Relu" and (threshold == 0).any():
            return "its input comes from a ReLU"
        if node.op_type == "Clip" and any((threshold == bound).any() for bound in _bounds(node)):
            return "its input comes from a clip at that value"
        if is_binary_layer(node) and hits_integers(BinaryLayer(node), threshold):
            return "its input is the bare integer sum of a binary layer"
        return None
    return None


def _bounds(clip: ir.Node) -> list[float]:
    return [
        float(bound.const_value.numpy())
        for bound in clip.inputs[1:]
        if bound is not None and is_constant(bound) and bound.const_value is not None
    ]


def hits_integers(layer: BinaryLayer, threshold: npt.NDArray[np.float32]) -> bool:
    """Whether ``multiplier * dot + bias == threshold`` for a dot product that can occur."""
    outputs = layer.signs.shape[0]
    if threshold.size == 1:
        threshold = np.repeat(threshold, outputs)
    if threshold.size != outputs:  # behind a Flatten: one threshold a feature, not a channel
        return False
    depth = layer.signs[0].size
    multiplier, bias = (array.reshape(outputs, -1) for array in (layer.multiplier, layer.bias))
    with np.errstate(divide="ignore", invalid="ignore"):
        dot = (threshold.reshape(-1, 1).astype(np.float64) - bias) / multiplier
    whole = np.abs(dot - np.round(dot)) < _TOLERANCE
    # A sum of K numbers ±1 has the parity of K; zero padding leaves taps out: any parity.
    parity = np.ones_like(whole) if layer.pad_value == 0 else (np.round(dot) - depth) % 2 == 0
    return bool((whole & parity & (np.abs(dot) <= depth)).any())
