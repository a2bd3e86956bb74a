"""How a value of the binary graph is held in the artefact, and the way between the forms.

===========  ==================================================================================
spatial      (N, C, H, W) as (N, H, W, C), (N, C, L) as (N, 1, L, C); H and W reversed where the
             network is rotated
flat         (N, C*H*W) whose columns still lie in the order of a spatial value: a Flatten that
             costs nothing, as constants (weights of the next layer) are permuted instead
plain        as ONNX has it
===========  ==================================================================================

A value may moreover be *pending*: the held real tensor's step (+1 where >= 0, else -1) is the value. A step
commutes with everything that only moves data and with maxima, so that it can be emitted where LCE wants it:
directly before the convolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..engine import TensorView
from .graphdef import GraphBuilder

Form = Literal["spatial", "flat", "plain"]
FloatArray = npt.NDArray[np.float32]

#: NHWC to NCHW and back.
TO_MODEL = (0, 3, 1, 2)
TO_ARTEFACT = (0, 2, 3, 1)


@dataclass(frozen=True)
class Held:
    """A value as it is held.

    Attributes:
        node: the GraphDef node.
        shape: the value's shape in the ONNX model.
        form: see the module.
        source: for flat, the shape of the spatial value that was flattened.
        pending: the value is the step of what is held.
    """

    node: str
    shape: tuple[int, ...]
    form: Form = "plain"
    source: tuple[int, ...] = ()
    pending: bool = False

    def moved(self, node: str, shape: tuple[int, ...], form: Form | None = None) -> Held:
        """The result of an operator that keeps form and pending step."""
        return replace(self, node=node, shape=shape, form=form or self.form)


def nhwc(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Shape of a spatial value (N, C, H, W) or (N, C, L) in the artefact."""
    if len(shape) == 3:
        n, c, length = shape
        return (n, 1, length, c)
    n, c, h, w = shape
    return (n, h, w, c)


def spatial_axis(rank: int, axis: int) -> int:
    """The artefact's axis of an axis of a spatial value of rank 3 or 4."""
    return {3: (0, 3, 2), 4: (0, 3, 1, 2)}[rank][axis]


def can_be_spatial(shape: tuple[int, ...]) -> bool:
    """Whether a shape has a spatial form."""
    return len(shape) in (3, 4)


@dataclass(frozen=True)
class Layout:
    """Conversions between the forms, for a network that is rotated or not."""

    builder: GraphBuilder
    rotated: bool

    def spatial(self, held: Held) -> Held:
        """A value in spatial form."""
        if held.form == "spatial":
            return held
        if held.form == "flat":
            held = self.plain(held)
        g, n = self.builder, held.node
        four = held.shape if len(held.shape) == 4 else (*held.shape[:2], 1, held.shape[2])
        node = g.transpose(g.reshape(n, four, f"{n}/4d"), TO_ARTEFACT, f"{n}/nhwc")
        if self.rotated:
            node = g.reverse(node, (1, 2), f"{n}/rot")
        return held.moved(node, held.shape, "spatial")

    def upright(self, held: Held) -> str:
        """Node of a spatial value with the rotation undone, still NHWC."""
        return self.builder.reverse(held.node, (1, 2), f"{held.node}/rot") if self.rotated else held.node

    def plain(self, held: Held) -> Held:
        """A value as ONNX has it."""
        if held.form == "plain":
            return held
        g, n = self.builder, held.node
        if held.form == "flat":
            shaped = held.moved(g.reshape(n, nhwc(held.source), f"{n}/map"), held.source, "spatial")
            node = g.reshape(self.plain(shaped).node, held.shape, f"{n}/flat")
            return held.moved(node, held.shape, "plain")
        node = g.transpose(self.upright(held), TO_MODEL, f"{n}/nchw")
        return held.moved(g.reshape(node, held.shape, f"{n}/plain"), held.shape, "plain")

    def columns(self, held: Held) -> npt.NDArray[np.intp]:
        """For a flat value: which column of the ONNX value each held column is."""
        _, c, *spatial = held.source
        index = np.arange(c * int(np.prod(spatial))).reshape(c, *spatial)
        if self.rotated:
            index = np.flip(index, tuple(range(1, index.ndim)))
        return np.moveaxis(index, 0, -1).ravel().astype(np.intp)

    def constant(self, held: Held, array: npt.NDArray[np.generic]) -> FloatArray:
        """A constant that ONNX broadcasts against a value, so that it broadcasts against what is held.

        Leading axes of size 1 are dropped: LCE and TFLite fold (C,) into a convolution, not (1, 1, 1, C).

        Args:
            held: the value that it is broadcast against.
            array: of at most the value's rank, from the right.
        """
        full = array.astype(np.float32).reshape((1,) * (len(held.shape) - array.ndim) + array.shape)
        if held.form == "flat" and full.shape[-1] > 1:
            full = full[..., self.columns(held)]
        if held.form == "spatial":
            if full.ndim == 3:
                full = full[:, :, None, :]
            full = full.transpose(TO_ARTEFACT)
            if self.rotated:
                full = full[:, ::-1, ::-1]
        while full.ndim and full.shape[0] == 1:
            full = full[0]
        return np.ascontiguousarray(full)

    def view(self, held: Held, name: str) -> TensorView:
        """How a verifier or a runner sees the held tensor as the model's."""
        if held.form == "plain":
            return TensorView(name, held.shape, held.shape)
        source = held.shape if held.form == "spatial" else held.source
        shape = nhwc(source)
        flip = tuple(axis for axis, size in ((2, shape[1]), (3, shape[2])) if self.rotated and size > 1)
        return TensorView(name, held.shape, shape, TO_MODEL, flip)
