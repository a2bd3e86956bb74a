"""What the rules of deployability find, and small readers of the graph that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bibench_deploy.errors import UnsupportedModelError
from bibench_deploy.graph import BinaryGraph, BinaryLayer
from bibench_deploy.graph.edit import is_constant

from .capabilities import Capabilities

Code = Literal[
    "batch",
    "buffer-overflow",
    "channel-multiple",
    "dilation",
    "group",
    "inputs",
    "kernel",
    "map-size",
    "mean-shift",
    "no-binary-layer",
    "operator",
    "operator-between",
    "operator-form",
    "pad-value",
    "asymmetric-padding",
    "rank",
    "runtime-factor",
    "sign-zero",
    "spatial-factor",
    "square-map",
]
NoteCode = Literal[
    "emulated-operator",
    "group",
    "looks-binary",
    "mean-shift-absorbed",
    "no-conversion-yet",
    "padding",
    "planned",
    "sign-zero",
    "spatial-bias",
    "threads",
    "widened",
]
AllowKey = Literal["padding", "sign-zero"]


@dataclass(frozen=True)
class Reason:
    """Why an engine can't compute a node as it was trained, and the way out.

    Attributes:
        node: name of the node in the fused graph; empty for a reason about the whole model.
        layer: the layer that it belongs to; empty where it belongs to none.
        code: stable identifier, see docs/deployability.md.
        allow: ``KEY=VALUE`` of the change of function under which the engine can; None where none helps.
    """

    node: str
    layer: str
    code: Code
    message: str
    remedy: str
    allow: str | None = None


@dataclass(frozen=True)
class Note:
    """What a user should know although it doesn't stop the engine."""

    node: str
    layer: str
    code: NoteCode
    message: str


@dataclass(frozen=True)
class Change:
    """A change of function that the user allowed and that will be made."""

    node: str
    layer: str
    key: AllowKey
    message: str


Finding = Reason | Note | Change


@dataclass(frozen=True)
class Allowed:
    """Changes of function that the user allows.

    Attributes:
        padding: value, in ±1 terms, that an engine may pad instead of the trained one.
        sign_zero: value that an engine may give for the sign of 0 instead of ``torch.sign``'s 0.
    """

    padding: float | None = None
    sign_zero: float | None = None


@dataclass(frozen=True)
class Context:
    """What every rule may look at."""

    graph: BinaryGraph
    capabilities: Capabilities
    allowed: Allowed
    layer_of: dict[str, str]

    @property
    def title(self) -> str:
        """The engine as messages call it."""
        return self.capabilities.title


def shape(value: ir.Value | None) -> tuple[int, ...]:
    """The static shape of a value.

    Raises:
        UnsupportedModelError: it has none. The reader promises one, so this is about a graph made elsewhere.
    """
    dims = value.shape if value is not None else None
    if value is None or dims is None or not dims.is_static():
        raise UnsupportedModelError(
            "the shape is not known before the model runs",
            where=f"value '{value.name if value is not None else ''}'",
            remedy="export the model with fixed sizes, all but the batch",
        )
    return tuple(dim for dim in dims if isinstance(dim, int))


def flattened_map(value: ir.Value | None) -> tuple[int, ...] | None:
    """(C, H, W) of the map that a (N, C·H·W) value is the flattening of; None for anything else."""
    while value is not None and len(shape(value)) == 2:
        producer = value.producer()
        if producer is None or producer.op_type in ("Gemm", "MatMul", "BinaryLinear"):
            return None
        value = next((each for each in producer.inputs if each is not None and not is_constant(each)), None)
    return shape(value)[1:] if value is not None and len(shape(value)) == 4 else None


def varies(array: npt.NDArray[np.float32]) -> bool:
    """Whether a (O, H, W) factor or bias is more than one number a channel."""
    flat = array.reshape(array.shape[0], -1)
    return bool((flat != flat[:, :1]).any())


def size(dims: tuple[int, ...]) -> int:
    """Number of elements."""
    return math.prod(dims)


def number(value: float) -> str:
    """A padding or sign value as people write it: −1, 0, +1, 0.25."""
    return {0.0: "0", 1.0: "+1", -1.0: "−1"}.get(value, f"{value:g}")


def by(dims: tuple[int, ...]) -> str:
    """Sizes as people write them: 3×3."""
    return "×".join(map(str, dims))


def layer_reason(
    layer: BinaryLayer,
    *,
    code: Code,
    message: str,
    remedy: str,
    allow: str | None = None,
    at: ir.Node | None = None,
) -> Reason:
    """A reason about a binary layer; ``at`` a node in front of it, where it is about that."""
    return Reason((at or layer.node).name or "", layer.name, code, message, remedy, allow)


def node_reason(node: ir.Node, context: Context, code: Code, message: str, remedy: str) -> Reason:
    """A reason about a node, of whatever layer."""
    name = node.name or ""
    return Reason(name, context.layer_of.get(name, ""), code, message, remedy)


def form_reason(node: ir.Node, context: Context, what: str, remedy: str) -> Reason:
    """The reason for an operator that an engine has, but in other forms alone."""
    return node_reason(
        node, context, "operator-form", f"{context.title} has no {node.op_type} {what}", remedy
    )
