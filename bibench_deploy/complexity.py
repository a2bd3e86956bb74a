"""Theoretical complexity of a model: BiBench's Eq. 7 and 8 (Qin et al., ICML 2023, section 3.2).

::

    compression = P_full / (P_kept + P_binary / 32)      P: parameters
    speedup     = F_full / (F_kept + F_binary / 64)      F: operations (multiply-accumulates and kept factors)
    overall     = sqrt((compression² + speedup²) / 2)

Full precision is the same architecture with binary layers as float ones and without their factors. *Kept* is what
stays in 32 bits: the other layers, the scale and shift of normalization (two parameters a channel; running
statistics are none), and the binary layers' own factors, which also cost operations:

=========  ======================  =========================================================================
factor     parameters              operations
=========  ======================  =========================================================================
channel    one an output channel   one an output element
spatial    C + H + W (XNOR++)      one an output element: the outer product is a constant
input      one an output channel   two an output element, one an input element (XNOR: α, K and the mean for K)
shift      none                    one an input element (ReActNet; the paper counts no parameter either)
=========  ======================  =========================================================================

With the first line the paper's printed 13.27, 13.20 and 12.37 follow for its ResNet18; how it counts the other
operations is not stated there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

from bibench_deploy.metrics import quadratic_mean

if TYPE_CHECKING:
    import onnx_ir as ir

    from bibench_deploy.graph import BinaryGraph, Layer

#: A binary weight is one bit of a float's 32 (Rastegari et al., 2016).
WEIGHT_BITS = 32
#: Binary multiply-accumulates in one operation of a 64-bit processor (Zhou et al., 2016; Liu et al., 2018).
OPERATIONS = 64

Kind = Literal["binary", "float", "other"]


@dataclass(frozen=True)
class LayerCost:
    """One layer in numbers.

    Attributes:
        params: weights, bias, or scale and shift of a normalization.
        binary_params: those of them that are 1 bit when deployed.
        macs: multiply-accumulates for one input of the model's batch.
        factor_params, factor_operations: what a binary layer keeps in 32 bits beside its weights.
    """

    name: str
    kind: Kind
    params: int
    macs: int
    binary_params: int = 0
    factor_params: int = 0
    factor_operations: int = 0

    @property
    def kept_params(self) -> float:
        """Parameters as 32-bit equivalents when deployed."""
        return self.factor_params + self.params - self.binary_params + self.binary_params / WEIGHT_BITS

    @property
    def kept_operations(self) -> float:
        """Operations when deployed, binary ones counted by 64."""
        return self.factor_operations + self.macs / (OPERATIONS if self.kind == "binary" else 1)

    @property
    def compression(self) -> float | None:
        """Eq. 7 for this layer alone; None where it has no parameters."""
        return self.params / self.kept_params if self.params else None

    @property
    def speedup(self) -> float | None:
        """Eq. 7 for this layer alone; None where it computes nothing."""
        return self.macs / self.kept_operations if self.macs else None


@dataclass(frozen=True)
class Complexity:
    """A model in numbers; ratios without unit, above 1 is better.

    Attributes:
        params, macs: of the full-precision architecture.
    """

    params: int
    macs: int
    compression: float
    speedup: float
    overall: float
    layers: tuple[LayerCost, ...]


def complexity(layers: Iterable[LayerCost]) -> Complexity:
    """Eq. 7 and 8 over all layers.

    Raises:
        ValueError: no layer has parameters, or none computes anything.
    """
    costs = tuple(layers)
    params, macs = sum(cost.params for cost in costs), sum(cost.macs for cost in costs)
    if not params or not macs:
        raise ValueError("a model without weighted layers has no complexity")
    compression = params / sum(cost.kept_params for cost in costs)
    speedup = macs / sum(cost.kept_operations for cost in costs)
    return Complexity(params, macs, compression, speedup, quadratic_mean((compression, speedup)), costs)


def layer_costs(graph: BinaryGraph) -> tuple[LayerCost, ...]:
    """What the layers of a recognised (not yet fused) graph cost."""
    shapes = {
        layer.name: (_shape(layer.node.inputs[0]), _shape(layer.node.outputs[0]))
        for layer in graph.binary_layers
    }
    return tuple(_cost(layer, *shapes.get(layer.name, ((), ()))) for layer in graph.layers)


def _shape(value: ir.Value | None) -> tuple[int, ...]:
    assert value is not None
    assert value.shape is not None  # the reader makes every shape static
    return tuple(int(size) for size in value.shape.numpy())


def _cost(layer: Layer, taken: Sequence[int], given: Sequence[int]) -> LayerCost:
    """Shapes are those of a binary layer's input and output, (N, C, *spatial) or (N, C)."""
    if layer.op == "batchnormalization":
        # Scale, shift and the two running statistics, which training does not learn.
        return LayerCost(layer.name, layer.kind, layer.params // 2, layer.macs)
    if layer.kind != "binary":
        return LayerCost(layer.name, layer.kind, layer.params, layer.macs)
    parameters, operations = 0, 0
    channels, inputs, outputs = given[1], prod(taken[1:]), prod(given[1:])
    if layer.scale == "channel":
        parameters, operations = channels, outputs
    elif layer.scale == "spatial":
        parameters, operations = sum(given[1:]), outputs
    elif layer.scale == "input":
        parameters, operations = channels, 2 * outputs + inputs
    if layer.mean_shift:
        operations += inputs
    bits = prod(layer.weight_shape)
    return LayerCost(layer.name, layer.kind, layer.params, layer.macs, bits, parameters, operations)
