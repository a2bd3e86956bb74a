"""How a value of the binary graph is held in the artefact, whose tensors all have four axes N, H, W, C.

===========  =========================================================================================
spatial      (N, C, H, W) as (N, H, W, C), (N, C, L) as (N, 1, L, C)
flat         (N, C*H*W) held as the (N, H, W, C) that was flattened: it costs nothing, as the weights of the
             next layer are permuted instead of the data
plain        in ONNX's order: (C,) as (1, 1, 1, C), (N, C) as (N, 1, 1, C), (N, L, C) as (N, 1, L, C), four axes
             as they are, of more the middle ones joined
===========  =========================================================================================

A value with no more than one pixel is held in the same way in all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ..engine import TensorView
from .bbm import Array, Dims

Form = Literal["spatial", "flat", "plain"]


@dataclass(frozen=True)
class Held:
    """A value as it is held.

    Attributes:
        shape: the value's shape in the ONNX model.
        form: see the module.
        source: for flat, the shape that was flattened.
        tensor: float32 tensor; None where it is held as bits alone.
        bits: tensors of bits, by their groups; only for values that are ±1.
    """

    shape: tuple[int, ...]
    form: Form
    source: tuple[int, ...] = ()
    tensor: int | None = None
    bits: dict[int, int] = field(default_factory=dict)

    @property
    def dims(self) -> Dims:
        """The tensor's dims."""
        if self.form == "plain":
            return plain_dims(self.shape)
        return spatial_dims(self.source if self.form == "flat" else self.shape)

    def of(self, tensor: int | None, bits: dict[int, int] | None = None) -> Held:
        """Another tensor that is held alike."""
        return replace(self, tensor=tensor, bits=dict(bits or {}))

    def constant(self, array: Array) -> Array:
        """A constant that broadcasts with the value, as one that broadcasts with the tensor: four axes.

        Raises:
            ValueError: it doesn't broadcast to the value's shape.
        """
        if np.broadcast_shapes(array.shape, self.shape) != self.shape:
            raise ValueError(f"{array.shape} does not broadcast to {self.shape}")
        rank = len(self.shape)
        full = array.reshape((1,) * (rank - array.ndim) + array.shape)
        if self.form == "spatial":
            return spatial_view(full)
        if self.form == "flat":
            if full.shape[1] == 1:
                return full.reshape(full.shape[0], 1, 1, 1)
            return spatial_view(full.reshape(full.shape[0], *self.source[1:]))
        if rank > 4:
            return (
                full.reshape((1,) * 4)
                if full.size == 1
                else np.broadcast_to(full, self.shape).reshape(self.dims)
            )
        return full.reshape(plain_dims(full.shape))

    def view(self, name: str) -> TensorView:
        """How a verifier or a runner sees the tensor as the model's value."""
        if self.form == "plain":
            return TensorView(name, self.shape, self.dims)
        return TensorView(name, self.shape, self.dims, (0, 3, 1, 2))


def spatial_dims(shape: tuple[int, ...]) -> Dims:
    """Dims of a value (N, C, H, W) or (N, C, L) in spatial form."""
    if len(shape) == 3:
        return (shape[0], 1, shape[2], shape[1])
    n, c, h, w = shape
    return (n, h, w, c)


def plain_dims(shape: tuple[int, ...]) -> Dims:
    """Dims of a value in plain form."""
    if len(shape) == 4:
        return (shape[0], shape[1], shape[2], shape[3])
    if len(shape) == 3:
        return (shape[0], 1, shape[1], shape[2])
    if len(shape) < 3:
        return ((shape[0] if len(shape) == 2 else 1), 1, 1, (shape[-1] if shape else 1))
    return (shape[0], math.prod(shape[1:-2]), shape[-2], shape[-1])


def spatial_view(array: Array) -> Array:
    """An array (N, C, H, W) or (N, C, L) in spatial form."""
    if array.ndim == 3:
        array = array[:, :, None, :]
    return array.transpose(0, 2, 3, 1)


def axis_in_dims(held: Held, axis: int) -> int:
    """The axis of the tensor that is an axis of the value (at most four axes, not flat)."""
    rank = len(held.shape)
    if held.form == "spatial":
        return {3: (0, 3, 2), 4: (0, 3, 1, 2)}[rank][axis]
    return {0: (), 1: (3,), 2: (0, 3), 3: (0, 2, 3), 4: (0, 1, 2, 3)}[rank][axis]


def has_spatial_form(shape: tuple[int, ...]) -> bool:
    """Whether a value can be held in spatial form."""
    return len(shape) in (3, 4)


def one_pixel(shape: tuple[int, ...]) -> bool:
    """Whether a value (N, C, ...) has a single pixel."""
    return math.prod(shape[2:]) == 1
