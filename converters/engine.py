"""What an engine's folder offers to the pipeline: the seam between the binary graph and the emitters.

An engine is found through the entry point group ``bibench_deploy.engines``; its object follows ``Engine``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from bibench_deploy.errors import ConversionError, InputError

if TYPE_CHECKING:  # a worker that only executes artefacts need not load the graph's libraries
    from bibench_deploy.graph import BinaryGraph

ENTRY_POINT_GROUP = "bibench_deploy.engines"


@dataclass(frozen=True)
class TensorView:
    """How a tensor of an artefact is seen as the ONNX model's tensor.

    ``as_model(t) = flip(transpose(reshape(t, artefact shape), perm), axes).reshape(shape)``

    Attributes:
        name: the tensor's name in the ONNX model (or, for a probe, in the binary graph).
        shape: its shape there (NCHW for images).
        perm: axes that bring the artefact's layout to the model's, () for the same layout.
        artefact_shape: its shape in the artefact.
        flip: axes of the model's layout that the artefact holds reversed (a rotated network).
    """

    name: str
    shape: tuple[int, ...]
    artefact_shape: tuple[int, ...]
    perm: tuple[int, ...] = ()
    flip: tuple[int, ...] = ()

    def as_model(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The artefact's array in the model's layout."""
        array = array.reshape(self.artefact_shape)
        if self.perm:
            array = array.transpose(self.perm)
        if self.flip:
            array = np.flip(array, self.flip)
        return np.ascontiguousarray(array).reshape(self.shape)

    def as_artefact(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The model's array in the artefact's layout."""
        perm = self.perm or tuple(range(len(self.artefact_shape)))
        array = array.reshape(tuple(self.artefact_shape[axis] for axis in perm))
        if self.flip:
            array = np.flip(array, self.flip)
        return np.ascontiguousarray(array.transpose(tuple(int(axis) for axis in np.argsort(perm))))


@dataclass(frozen=True)
class Probe:
    """The same artefact with inner tensors as further outputs, for layer-by-layer verification.

    Attributes:
        data: the probe artefact.
        points: output index in the probe artefact → value of the binary graph that it holds.
    """

    data: bytes
    points: Mapping[int, TensorView]


@dataclass(frozen=True)
class Emitted:
    """What an emitter returns: the artefact's bytes and what is known of it.

    Attributes:
        data: the artefact.
        suffix: its file suffix with the dot.
        inputs, outputs: in the artefact's order.
        binary_ops: binary operators counted in the artefact itself (not taken from the graph).
        forms: layer name → the form used for it (padding and the like), for the manifest.
        changes: changes of function that the user allowed and that were made.
        probe: for layer-by-layer verification; None where the engine can't.
    """

    data: bytes
    suffix: str
    inputs: tuple[TensorView, ...]
    outputs: tuple[TensorView, ...]
    binary_ops: int
    forms: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    probe: Probe | None = None


class Engine(Protocol):
    """One inference library."""

    name: str

    def versions(self) -> dict[str, str]:
        """Versions of the library and of what converts for it.

        Raises:
            MissingExtraError: it is not installed.
        """
        ...

    def emit(self, graph: BinaryGraph) -> Emitted:
        """Write a fused graph as this engine's artefact and audit it: as many binary operators as binary layers.

        Raises:
            NotDeployableError: the graph holds something that the engine can't compute.
            ConversionError: the engine's own converter failed, or the audit did; names the layers.
        """
        ...


def check_binary_operators(count: int, graph: BinaryGraph) -> None:
    """The audit of an artefact with one binary operator a binary layer.

    Args:
        count: those found in the artefact itself.

    Raises:
        ConversionError: there are more or fewer than the graph has binary layers.
    """
    if count != len(graph.binary_layers):
        raise ConversionError(
            f"the artefact has {count} binary operators where the graph has {len(graph.binary_layers)} layers",
            where=graph.source.path.name,
            remedy="please report the model: this check should never fail",
        )


def load_engine(name: str) -> Engine:
    """The engine registered under a name.

    Raises:
        InputError: there is none.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        raise InputError(
            f"no engine '{name}' can emit artefacts", remedy=f"choose one of: {', '.join(sorted(found))}"
        )
    engine: Engine = found[name].load()
    return engine


def engine_names() -> list[str]:
    """Names of the engines that can emit artefacts."""
    return sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP))
