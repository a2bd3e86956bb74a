"""The state of one lowering: the file so far, and which of its tensors holds which value of the binary graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bibench_deploy.errors import ConversionError

from ..nodes import constant_of, name_of, shape_of
from . import bbm
from .bbm import Array, Dims, DType, Op
from .layout import Held, has_spatial_form, one_pixel, plain_dims, spatial_dims


@dataclass
class Lowering:
    """What the operators' lowerings read and write.

    Attributes:
        graph: what is lowered.
        lower: lowers one node.
        model: receives tensors and operators.
        held: value → how it is held.
        forms: layer name → what was fused into it, for the manifest.
        binary: names of the binary layers that were lowered.
        in_progress: values whose operator is being put together.
    """

    graph: ir.Graph
    lower: Callable[[Lowering, ir.Node], None]
    model: bbm.Model = field(default_factory=bbm.Model)
    held: dict[ir.Value, Held] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)
    binary: list[str] = field(default_factory=list)
    in_progress: set[ir.Value] = field(default_factory=set)
    _constants: dict[tuple[DType, Dims, int, bytes], int] = field(default_factory=dict)
    _converted: dict[tuple[str, int, tuple[int, ...]], Held] = field(default_factory=dict)
    _done: set[ir.Node] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _order: dict[ir.Node, int] = field(default_factory=dict)

    # --- tensors and operators -----------------------------------------------------------------------

    def activation(self, name: str, dims: Dims, dtype: DType = DType.FLOAT, groups: int = 1) -> int:
        """A new tensor that an operator will write; its name made unique."""
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}#{count}"
        self._names.add(unique)
        self.model.tensors.append(bbm.Tensor(unique, dtype, dims, groups))
        return len(self.model.tensors) - 1

    def data(self, dtype: DType, dims: Dims, content: bytes, groups: int = 1) -> int:
        """A constant tensor; equal ones are stored once."""
        key = (dtype, dims, groups, content)
        if key not in self._constants:
            self.model.tensors.append(bbm.Tensor("", dtype, dims, groups, content))
            self._constants[key] = len(self.model.tensors) - 1
        return self._constants[key]

    def constant(self, array: Array) -> int:
        """A float constant of four axes."""
        n, h, w, c = array.shape
        return self.data(DType.FLOAT, (n, h, w, c), np.ascontiguousarray(array, "<f4").tobytes())

    def vector(self, array: Array, channels: int) -> int:
        """A float constant (1, 1, 1, C) from one number or one a channel."""
        return self.constant(np.broadcast_to(array.ravel(), (channels,)).reshape(1, 1, 1, channels))

    def emit(
        self,
        op: Op,
        name: str,
        inputs: Sequence[int | None],
        dims: Dims,
        ints: Sequence[int] = (),
        floats: Sequence[float] = (),
    ) -> int:
        """An operator with one float output; returns the output."""
        out = self.activation(name, dims)
        self.add(op, name, inputs, [out], ints, floats)
        return out

    def add(
        self,
        op: Op,
        name: str,
        inputs: Sequence[int | None],
        outputs: Sequence[int | None],
        ints: Sequence[int] = (),
        floats: Sequence[float] = (),
    ) -> None:
        """An operator."""
        self.model.operators.append(
            bbm.Operator(op, name, tuple(inputs), tuple(outputs), tuple(ints), tuple(floats))
        )

    # --- values --------------------------------------------------------------------------------------

    def put(self, value: ir.Value, held: Held) -> None:
        """Say how a value is held.

        Raises:
            ConversionError: it has another shape than the graph declares.
        """
        if held.shape != shape_of(value):
            raise ConversionError(
                f"it is declared with shape {shape_of(value)} but computed with {held.shape}",
                where=f"value {name_of(value)}",
                remedy="let onnx infer the model's shapes again",
            )
        self.held[value] = held

    def get(self, value: ir.Value) -> Held:
        """How a value is held; a constant is stored in plain form."""
        if value not in self.held:
            array = constant_of(value)
            if array is None:
                raise AssertionError(f"{value.name} is used before it is computed")
            dims = plain_dims(array.shape)
            tensor = self.constant(array.astype(np.float32).reshape(dims))
            self.held[value] = Held(array.shape, "plain", tensor=tensor)
        return self.held[value]

    def demand(self, value: ir.Value) -> bool:
        """Compute a value now if that needs nothing that is in progress; whether it is computed."""
        nodes: list[ir.Node] = []
        stack, seen = [value], {value}
        while stack:
            each = stack.pop()
            if each in self.held or each.const_value is not None:
                continue
            node = each.producer()
            if each in self.in_progress or node is None:
                return False
            nodes.append(node)
            fresh = [source for source in node.inputs if source is not None and source not in seen]
            seen.update(fresh)
            stack += fresh
        for node in sorted(set(nodes), key=self._place):
            self.lower(self, node)
        return value in self.held

    def _place(self, node: ir.Node) -> int:
        if not self._order:
            self._order = {each: place for place, each in enumerate(self.graph)}
        return self._order[node]

    def is_ready(self, value: ir.Value) -> bool:
        """Whether a value was computed by the operators so far."""
        return value in self.held

    def float_of(self, held: Held) -> int:
        """The float tensor of a value; bits are expanded, once."""
        if held.tensor is not None:
            return held.tensor
        key = ("expanded", next(iter(held.bits.values())), held.shape)
        if key not in self._converted:
            bits = next(iter(held.bits.values()))
            name = f"{self.model.tensors[bits].name}/expanded"
            self._converted[key] = held.of(self.emit(Op.EXPAND_BITS, name, [bits], held.dims), held.bits)
        tensor = self._converted[key].tensor
        assert tensor is not None
        return tensor

    def bits_of(self, held: Held, groups: int) -> int:
        """The signs of a value that is ±1, laid out for a layer with these groups."""
        if groups not in held.bits:
            x = self.float_of(held)
            key = ("bits", x, (groups,))
            if key not in self._converted:
                name = f"{self.model.tensors[x].name}/bits"
                out = self.activation(name, held.dims, DType.BITS, groups)
                threshold = self.vector(np.zeros(1, np.float32), held.dims[3])
                self.add(Op.MAP, name, [x, *[None] * 8, threshold], [None, out])
                self._converted[key] = held.of(None, {groups: out})
            return self._converted[key].bits[groups]
        return held.bits[groups]

    # --- forms ---------------------------------------------------------------------------------------

    def plain(self, held: Held) -> Held:
        """The value in ONNX's order, converted once."""
        if held.form == "plain":
            return held
        source = held.source if held.form == "flat" else held.shape
        if one_pixel(source) and (held.form == "flat" or len(source) == 3):
            return self._renamed(held, plain_dims(held.shape))
        x = self.float_of(held)
        key = ("plain", x, held.shape)
        if key not in self._converted:
            dims = spatial_dims(source)
            name = f"{self.model.tensors[x].name}/plain"
            tensor = self._moved(x, name, dims, (0, 3, 1, 2), plain_dims(held.shape))
            self._converted[key] = Held(held.shape, "plain", tensor=tensor)
        return self._converted[key]

    def spatial(self, held: Held) -> Held:
        """The value in spatial form, converted once."""
        if held.form == "spatial":
            return held
        if not has_spatial_form(held.shape):
            raise AssertionError(f"a value of shape {held.shape} has no spatial form")
        held = self.plain(held)
        x = self.float_of(held)
        key = ("spatial", x, held.shape)
        if key not in self._converted:
            four = held.shape if len(held.shape) == 4 else (*held.shape[:2], 1, held.shape[2])
            name = f"{self.model.tensors[x].name}/spatial"
            tensor = self._moved(x, name, four, (0, 2, 3, 1), spatial_dims(held.shape))
            self._converted[key] = Held(held.shape, "spatial", tensor=tensor)
        return self._converted[key]

    def as_form(self, held: Held, like: Held) -> Held | None:
        """A value in the form of another of the same rank; None where there is no way."""
        if held.form == like.form and held.source == like.source:
            return held
        if like.form == "plain":
            return self.plain(held)
        if like.form == "spatial" and has_spatial_form(held.shape):
            return self.spatial(held)
        return None

    def reshaped(self, held: Held, dims: Dims, name: str) -> int:
        """The float tensor with other dims in the same memory order."""
        x = self.float_of(held)
        return x if self.model.tensors[x].dims == dims else self.emit(Op.RESHAPE, name, [x], dims)

    def _renamed(self, held: Held, dims: Dims) -> Held:
        """The same memory in plain form: bits stay bits where the dims stay."""
        if dims == held.dims:
            return Held(held.shape, "plain", tensor=held.tensor, bits=held.bits)
        x = self.float_of(held)
        return Held(
            held.shape, "plain", tensor=self.reshaped(held, dims, f"{self.model.tensors[x].name}/plain")
        )

    def _moved(self, x: int, name: str, view: Sequence[int], perm: Sequence[int], dims: Dims) -> int:
        """A transpose, or a reshape where it would move nothing."""
        order = [axis for axis in perm if view[axis] > 1]
        if order == sorted(order):
            same = self.model.tensors[x].dims == dims
            return x if same else self.emit(Op.RESHAPE, name, [x], dims)
        return self.emit(Op.TRANSPOSE, name, [x], dims, transpose_ints(view, perm))

    # --- nodes ---------------------------------------------------------------------------------------

    def skip(self, node: ir.Node) -> None:
        """Say that a node was lowered together with an earlier one."""
        self._done.add(node)

    def is_done(self, node: ir.Node) -> bool:
        """Whether a node was lowered together with an earlier one."""
        return node in self._done


def transpose_ints(view: Sequence[int], perm: Sequence[int]) -> tuple[int, ...]:
    """Attributes of TRANSPOSE."""
    room = 6
    return (
        len(view),
        *view,
        *[0] * (room - len(view)),
        *perm,
        *[0] * (room - len(perm)),
    )
