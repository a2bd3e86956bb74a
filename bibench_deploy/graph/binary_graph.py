"""The binary graph as the later stages see it: an ONNX model plus a typed view of its layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from . import ops

Granularity = Literal["none", "channel", "spatial", "input"]
Kind = Literal["binary", "float", "other"]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """The ONNX model that a graph was read from.

    Attributes:
        path: the file.
        sha256: of the file's bytes (external data included, in the order that the model names them).
        proto: the reference model that onnxruntime executes: the file's own graph, with nothing changed but
            a free batch size set to 1, an old operator set raised, and QONNX nodes given their definition.
        metadata: the model's own metadata_props.
    """

    path: Path
    sha256: str
    proto: onnx.ModelProto
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name without its suffix: what the model is called in tables."""
        return self.path.stem


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer (or other weighted operator), as ``inspect`` shows it.

    Attributes:
        name: the layer's name, from the module path that the exporter left where there is one.
        nodes: names of the ONNX nodes it came from.
        kind: binary, float or other (an operator with weights that is neither convolution nor linear).
        op: conv1d, conv2d, linear, or the ONNX operator.
        why_not_binary: why a layer stayed float; None for the others.
        looks_binary: a float layer whose weights or input look as if meant to be of few bits.
        weight_shape: (O, C/group, *kernel) or (O, C).
        scale: granularity of the scaling factor.
        mean_shift: whether the sign has a learned per-channel shift.
        pad_value: padding of a binary layer in ±1 terms; None where nothing is padded.
        stride: one number per spatial axis.
        groups: 1 for an ordinary convolution.
        params: weights and bias, counted as numbers.
        macs: multiply-accumulates for one input of the model's batch.
    """

    name: str
    nodes: tuple[str, ...]
    kind: Kind
    op: str
    weight_shape: tuple[int, ...]
    params: int
    macs: int
    why_not_binary: str | None = None
    looks_binary: bool = False
    scale: Granularity = "none"
    mean_shift: bool = False
    pad_value: float | None = None
    stride: tuple[int, ...] = ()
    groups: int = 1


@dataclass(frozen=True)
class BinaryGraph:
    """A recognised (and after fusion, fused) model. All shapes are static; NCHW as the ONNX model has it.

    Attributes:
        model: an ONNX model with nodes of the domain ``bibench`` (see ``graph.ops``); onnxruntime runs it.
        source: where it came from; ``source.proto`` is the reference.
        layers: every weighted layer in execution order.
    """

    model: ir.Model
    source: Source
    layers: tuple[Layer, ...]

    @property
    def binary_layers(self) -> list[BinaryLayer]:
        """The binary layers in execution order."""
        return [BinaryLayer(node) for node in self.model.graph if ops.is_binary_layer(node)]

    def proto(self) -> onnx.ModelProto:
        """The graph as a model that onnxruntime executes and ``convert --save-graph`` writes."""
        return ir.to_proto(self.model)


@dataclass(frozen=True)
class Step:
    """The binarization in front of a binary layer: ``direction * (+1 if x >= threshold else -1)``.

    Attributes:
        threshold, direction: one number per channel, or one for all.
        at_threshold: the model's value at equality before the direction (1 or, with torch.sign, 0).
        mean_shift: whether the threshold is a learned per-channel shift.
    """

    threshold: FloatArray
    direction: FloatArray
    at_threshold: float
    mean_shift: bool

    @classmethod
    def of(cls, node: ir.Node) -> Step:
        """The step of a Binarize node."""
        return cls(
            threshold=constant(node, 1).astype(np.float32).ravel(),
            direction=constant(node, 2).astype(np.float32).ravel(),
            at_threshold=node.attributes["at_threshold"].as_float(),
            mean_shift=bool(node.attributes["mean_shift"].as_int()),
        )


@dataclass(frozen=True)
class BinaryLayer:
    """Typed view of one BinaryConv or BinaryLinear node."""

    node: ir.Node

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.node.attributes["layer"].as_string()

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution (else linear)."""
        return self.node.op_type == ops.BINARY_CONV

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the ONNX nodes it came from."""
        return tuple(self.node.attributes["sources"].as_strings())

    @property
    def scale(self) -> Granularity:
        """Granularity of the trained model's scaling factor."""
        value = self.node.attributes["scale"].as_string()
        assert value in ("none", "channel", "spatial", "input")
        return value  # type: ignore[return-value]

    @property
    def signs(self) -> npt.NDArray[np.int8]:
        """Signs of the weights, int8 ±1: (O, C/group, *kernel) or (O, C)."""
        return constant(self.node, 1).astype(np.int8)

    @property
    def weight_bits(self) -> npt.NDArray[np.uint8]:
        """Signs packed 8 to a byte along the flattened input axis, 1 for −1: (O, ceil(K/8))."""
        signs = self.signs.reshape(self.signs.shape[0], -1)
        return np.packbits(signs < 0, axis=1)

    @property
    def multiplier(self) -> FloatArray:
        """Factor on the integer dot product: (O, 1, 1), (O, H, W) or (O,)."""
        return constant(self.node, 2).astype(np.float32)

    @property
    def bias(self) -> FloatArray:
        """Addend after the factor, same shapes."""
        return constant(self.node, 3).astype(np.float32)

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """(before, after) per spatial axis; () for a linear layer."""
        if not self.is_conv:
            return ()
        flat = self.node.attributes["pads"].as_ints()
        rank = len(flat) // 2
        return tuple((flat[axis], flat[rank + axis]) for axis in range(2, rank))

    @property
    def pad_value(self) -> float | None:
        """What is padded, in ±1 terms; None where nothing is."""
        if not any(sum(pair) for pair in self.pads):
            return None
        return self.node.attributes["pad_value"].as_float()

    @property
    def strides(self) -> tuple[int, ...]:
        """One per spatial axis; () for a linear layer."""
        return tuple(self.node.attributes["strides"].as_ints()) if self.is_conv else ()

    @property
    def dilations(self) -> tuple[int, ...]:
        """One per spatial axis; () for a linear layer."""
        return tuple(self.node.attributes["dilations"].as_ints()) if self.is_conv else ()

    @property
    def group(self) -> int:
        """Number of groups; 1 for a linear layer."""
        return self.node.attributes["group"].as_int() if self.is_conv else 1

    @property
    def step(self) -> Step | None:
        """The step that made its input, when that is the direct producer; None behind MaxPool, Reshape..."""
        producer = self.node.inputs[0].producer() if self.node.inputs[0] else None
        return Step.of(producer) if producer is not None and ops.is_binarize(producer) else None


def constant(node: ir.Node, index: int) -> npt.NDArray[np.generic]:
    """The constant that a node takes as its input number ``index``.

    Raises:
        ValueError: the input is not a constant.
    """
    value = node.inputs[index]
    if value is None or value.const_value is None:
        raise ValueError(f"input {index} of {node.name} is not a constant")
    return value.const_value.numpy()


def steps(graph: ir.Graph) -> Iterator[ir.Node]:
    """The Binarize nodes of a graph in execution order."""
    return (node for node in graph if ops.is_binarize(node))
