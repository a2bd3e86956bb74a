"""The state of one lowering: the file so far, and how each value of the graph is held in its blobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from bibench_deploy.graph import is_binarize

from ..nodes import Array, constant_of, name_of, refusal, shape_of, users
from .dab import Kind, Layer, Model, Shape, Tensor
from .holding import Blob, Doubles, Held, Signs
from .limits import RESERVED
from .sizes import is_kept

_LANES = 4


@dataclass
class Lowering:
    """What the operators' lowerings read and write.

    Attributes:
        graph: what is lowered.
        model: receives layers and tensors.
        held: float value → how it is held.
        signs: value that is ±1 → whose step it is.
        forms: layer name → how it was computed, for the manifest.
        binary: names of the binary layers that were lowered.
        shown: (number of layers so far, value, how it was held then): what a probe can show.
        sizes: value → (C,), see ``sizes``.
    """

    graph: ir.Graph
    model: Model
    held: dict[ir.Value, Held] = field(default_factory=dict)
    signs: dict[ir.Value, Signs] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)
    binary: list[str] = field(default_factory=list)
    shown: list[tuple[int, ir.Value, Held, str]] = field(default_factory=list)
    sizes: dict[ir.Value, Doubles] = field(default_factory=dict)
    node: ir.Node | None = None
    _done: set[ir.Node] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)

    # --- names, tensors, layers ------------------------------------------------------------------------

    def reserve(self, name: str) -> None:
        """Keep a name for an input, an output or a probe's point."""
        self._names.add(name)

    def name(self, hint: str) -> str:
        """A name that nothing has yet."""
        hint = f"_{hint}" if hint.startswith(RESERVED) else hint
        unique, count = hint, 1
        while unique in self._names:
            count += 1
            unique = f"{hint}#{count}"
        self._names.add(unique)
        return unique

    def tensor(self, hint: str, array: Array) -> str:
        """The name of a constant; equal ones are stored once."""
        data = np.ascontiguousarray(array, np.uint64 if array.dtype == np.uint64 else np.float32)
        return self.bits(hint, array.shape, data)

    def bits(self, hint: str, shape: tuple[int, ...], data: Array) -> str:
        """The same for data whose shape is counted in elements."""
        key = (data.dtype.str, shape, data.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self.name(hint)
            self.model.tensors[name] = Tensor(name, shape, data)
        return self._constants[key]

    def fresh(
        self,
        kind: Kind,
        hint: str,
        inputs: Sequence[str],
        shape: Shape,
        tensors: Sequence[str] = (),
        *,
        kernel: int = 0,
        stride: int = 1,
        pad: int = 0,
    ) -> Blob:
        """A layer that writes a blob of its own."""
        name = self.name(hint)
        layer = Layer(kind, tuple(inputs), name, tuple(tensors), kernel, stride, pad)
        self.model.layers.append(layer)
        return Blob(name, shape)

    def over(
        self, kind: Kind, hint: str, blob: Blob, others: Sequence[str] = (), tensors: Sequence[str] = ()
    ) -> None:
        """A layer that writes over a blob."""
        name = self.name(hint)
        self.model.layers.append(Layer(kind, (blob.name, *others), name, tuple(tensors)))
        blob.name = name

    def rename(self, blob: Blob, name: str) -> None:
        """Give the last alias of a blob a name that was reserved for it."""
        old, blob.name = blob.name, name
        for index, layer in enumerate(self.model.layers):
            if old in (layer.output, *layer.inputs):
                inputs = tuple(name if each == old else each for each in layer.inputs)
                output = name if layer.output == old else layer.output
                self.model.layers[index] = replace(layer, inputs=inputs, output=output)

    # --- values ----------------------------------------------------------------------------------------

    def get(self, value: ir.Value) -> Held:
        """How a float value is held.

        Raises:
            NotDeployableError: it is ±1, which only a binary layer can read here.
        """
        if value in self.signs:
            assert self.node is not None
            raise refusal(
                self.node, "it reads the signs of a value, which daBNN has inside binary layers alone"
            )
        return self.held[value]

    def put(self, value: ir.Value, held: Held) -> None:
        """Say how a value is held."""
        self.held[value] = held
        held.blob.held[value] = held
        self.shown.append((len(self.model.layers), value, held, held.blob.name))

    def set(self, value: ir.Value, held: Held) -> Held:
        """Move a value: to another blob, or to other numbers in its own."""
        old = self.held.get(value)
        if old is not None and old.blob is not held.blob:
            del old.blob.held[value]
        self.held[value] = held
        held.blob.held[value] = held
        return held

    def finish(self, node: ir.Node) -> None:
        """Say that a node was lowered: what it alone read is not needed any more."""
        self._done.add(node)

    def is_needed(self, value: ir.Value, besides: Signs | None = None) -> bool:
        """Whether anything but the node in progress, and these signs of it, will still read a value."""
        if value.is_graph_output():
            return True
        for user in users(value):
            if user is self.node:
                continue
            if user not in self._done:
                return True
        return any(
            self.is_needed(signs)
            for signs, step in self.signs.items()
            if step.source is value and step is not besides
        )

    def others(self, value: ir.Value, blob: Blob) -> Iterator[ir.Value]:
        """Further values of a blob that are still needed, be it as another operand of the node in progress."""
        operands = () if self.node is None else self.node.inputs
        return (
            other
            for other in tuple(blob.held)
            if other is not value and (self.is_needed(other) or other in operands)
        )

    # --- holding differently ---------------------------------------------------------------------------

    def rehold(self, value: ir.Value, scale: Doubles | float, shift: Doubles | float, hint: str = "") -> Held:
        """Let a blob hold a value with this scale and shift: ``blob = (value − shift) / scale``."""
        held = self.held[value].flattened()
        scale = np.broadcast_to(np.asarray(scale, np.float64), (held.channels,))
        shift = np.broadcast_to(np.asarray(shift, np.float64), (held.channels,))
        if held.is_like(scale, shift):
            return self.set(value, held)
        factor, addend = held.scale / scale, (held.shift - shift) / scale
        border = None if held.border is None else held.border / scale
        return self.transform(value, factor, addend, border, Held(held.blob, scale, shift), hint)

    def transform(
        self,
        value: ir.Value,
        factor: Doubles,
        addend: Doubles,
        border: Doubles | None,
        becomes: Held,
        hint: str = "",
    ) -> Held:
        """A blob as ``factor·blob + addend (+ border)``, in place where that is possible.

        Args:
            becomes: how the value is held then (its blob is set here).
        """
        hint = hint or name_of(value)
        blob = self.held[value].blob
        height, width, channels = blob.shape
        wide = channels != len(factor)
        aligned = not (height * channels % _LANES or width * channels % _LANES) or blob.shape == (1, 1, 1)
        if wide or not aligned:
            blob = self._mixed(blob, factor, addend, hint)
        else:
            loses = border is not None or not factor.all()
            if not blob.own or any(
                loses or not self.is_kept(other, self.held[other].after(factor, addend))
                for other in self.others(value, blob)
            ):
                blob = self.copied(value)
            if (factor != 1).any() or addend.any():
                tensors = [self.tensor(f"{hint}.a", factor), self.tensor(f"{hint}.b", addend)]
                self.over(Kind.AFFINE, f"{hint}.affine", blob, tensors=tensors)
                for other in self.others(value, blob):
                    self.set(other, self.held[other].after(factor, addend))
        if border is not None:
            # What float32 drops of the addend (for counts it is K times as large as the sums) has room here.
            border = border + (addend - addend.astype(np.float32))
            self.over(Kind.ADD, f"{hint}.bordered", blob, [self.tensor(f"{hint}.border", border[None])])
        return self.set(value, replace(becomes, blob=blob))

    def _mixed(self, blob: Blob, factor: Doubles, addend: Doubles, hint: str) -> Blob:
        """An affine as a 1×1 float convolution: for rows that Affine refuses, and to drop dummy channels."""
        weight = np.zeros((len(factor), 1, 1, blob.shape[2]))
        weight[np.arange(len(factor)), 0, 0, np.arange(len(factor))] = factor
        tensors = [self.tensor(f"{hint}.weight", weight), self.tensor(f"{hint}.bias", addend)]
        shape = (*blob.shape[:2], len(factor))
        return self.fresh(Kind.FP_CONV, f"{hint}.affine", [blob.name], shape, tensors)

    def is_kept(self, value: ir.Value, held: Held) -> bool:
        """Whether float32 keeps a value that is held so."""
        return is_kept(held, self.sizes[value])

    def copied(self, value: ir.Value) -> Blob:
        """A blob of its own for a value, which moves there."""
        held = self.held[value]
        blob, hint = held.blob, f"{name_of(value)}.copy"
        height, width, channels = blob.shape
        if height * channels % _LANES or width * channels % _LANES:
            copy = self._mixed(blob, np.ones(channels), np.zeros(channels), hint)
        else:
            copy = self.fresh(Kind.MAX_POOL, hint, [blob.name], blob.shape, kernel=1)
        self.set(value, replace(held, blob=copy))
        return copy

    def owned(self, value: ir.Value) -> Held:
        """A value in a blob that may be written over: nothing else in it is needed."""
        held = self.held[value]
        if not held.blob.own or self.is_needed(value) or any(self.others(value, held.blob)):
            needed = self.is_needed(value)
            copy = self.copied(value)
            if needed:  # who still reads it finds it where it was
                moved = self.held[value]
                self.set(value, held)
                return replace(moved, blob=copy)
        return self.held[value]

    # --- constants -------------------------------------------------------------------------------------

    def per_channel(self, array: Array, value: ir.Value) -> tuple[Doubles | None, Doubles | None]:
        """A constant that broadcasts to a value: (one number a channel, None), or (None, a map (H, W, C))."""
        dims = shape_of(value)
        height, width, channels = self.place(value)
        full = np.broadcast_to(array.astype(np.float64), dims).reshape(-1)
        full = full[: height * width * channels].reshape(channels, height * width)
        if (full == full[:, :1]).all():
            return full[:, 0].copy(), None
        return None, full.reshape(channels, height, width).transpose(1, 2, 0).copy()

    def place(self, value: ir.Value) -> Shape:
        """(H, W, C) of a value; a flattened map keeps the map's."""
        held = self.held.get(value)
        if held is not None:
            return (*held.blob.shape[:2], held.channels)
        return self.place(self.signs[value].source)


Handler = Callable[[Lowering, ir.Node], None]


def is_read_by_steps_alone(value: ir.Value) -> bool:
    """Whether all that reads a value is a Binarize."""
    found = users(value)
    return bool(found) and not value.is_graph_output() and all(is_binarize(user) for user in found)


def constant_operand(node: ir.Node) -> tuple[int, Array] | None:
    """Index and numbers of the constant one of two operands; None if both are computed."""
    for index in (1, 0):
        array = constant_of(node.inputs[index])
        if array is not None:
            return index, array
    return None
