"""How the values of a graph are held in daBNN's blobs.

A value is not always what its blob holds: per channel, ``value = scale · blob + shift`` (and ``+ border`` at
each place). That is what makes mean shifts, negations and batch-norms cheap here: most of them never run as an
operator, they only change how a blob is read. An Affine that has to run writes over its blob; every other value
held in it is then held with other numbers, and none is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .dab import Shape

Doubles = npt.NDArray[np.float64]


@dataclass(eq=False)
class Blob:
    """Memory of the runtime.

    Attributes:
        name: by which later layers read it: its last alias.
        shape: (H, W, C).
        own: False for the caller's picture, which must not be written over.
        held: what is held in it.
    """

    name: str
    shape: Shape
    own: bool = True
    held: dict[ir.Value, Held] = field(default_factory=dict)


@dataclass(frozen=True)
class Dot:
    """That a value is ``multiplier·dot + bias`` of a binary layer, as float32 computes it: two roundings.

    Attributes:
        multiplier, bias: (O,), or bias (Ho, Wo, O).
        depth: terms of a dot product.
        unit: what every dot product is a multiple of: 1, less with padding such as 0.5; None where there is none.
    """

    multiplier: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    depth: int
    unit: float | None


@dataclass(frozen=True)
class Held:
    """A value in a blob.

    Attributes:
        blob: where; it may have more channels than the value: dummies behind the real ones.
        scale, shift: (C,) of the value.
        border: (H, W, C), added too; None for nothing.
        dot: for a binary layer's result that still is in mismatch counts: scale, shift and border then give the
            integer dot product, and ``dot`` the value.
    """

    blob: Blob
    scale: Doubles
    shift: Doubles
    border: Doubles | None = None
    dot: Dot | None = None

    @property
    def channels(self) -> int:
        """Real channels."""
        return len(self.scale)

    @property
    def is_plain(self) -> bool:
        """Whether the blob holds the value itself."""
        return self.is_like(np.ones(1), np.zeros(1))

    @property
    def is_settled(self) -> bool:
        """Whether nothing but a scale and a shift a channel lie between blob and value."""
        return self.border is None and self.dot is None and self.channels == self.blob.shape[2]

    def is_like(self, scale: Doubles, shift: Doubles) -> bool:
        """Whether it is held with this scale and shift already."""
        return self.is_settled and bool((self.scale == scale).all() and (self.shift == shift).all())

    def mapped(self, factor: Doubles, addend: Doubles, border: Doubles | None = None) -> Held:
        """``factor·value + addend (+ border)``, held in the same blob."""
        held = self.flattened()
        own = None if held.border is None else held.border * factor
        if border is not None:
            own = border if own is None else own + border
        return Held(held.blob, held.scale * factor, held.shift * factor + addend, own)

    def flattened(self) -> Held:
        """The value itself in terms of the blob, where ``dot`` stood between."""
        if self.dot is None:
            return self
        m = self.dot.multiplier.astype(np.float64)
        bias = self.dot.bias.astype(np.float64)
        border = None if self.border is None else self.border * m
        if bias.ndim == 3:
            border = bias if border is None else border + bias
            bias = np.zeros(len(m))
        return Held(self.blob, self.scale * m, self.shift * m + bias, border)

    def after(self, factor: Doubles, addend: Doubles) -> Held:
        """The same value when its blob has become ``factor·blob + addend``, factor nowhere 0."""
        scale = self.scale / factor
        return replace(self, scale=scale, shift=self.shift - scale * addend)


@dataclass(frozen=True)
class Signs:
    """A value that is ±1: never stored, since a binary convolution takes the signs of a float blob itself.

    Attributes:
        source: whose step it is.
        threshold, direction: (C,): ``direction·(+1 if source >= threshold else −1)``.
        at_threshold: the model's value at equality, before the direction: 1, −1, or 0 for either.
    """

    source: ir.Value
    threshold: Doubles
    direction: Doubles
    at_threshold: int
