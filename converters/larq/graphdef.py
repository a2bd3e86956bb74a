"""A TensorFlow GraphDef written without TensorFlow, through the protocol buffers that tensorboard carries.

``GraphBuilder`` has one method per TensorFlow operator that the lowering uses. Tensors are NHWC; every method
returns the name of the node that it added. Shapes are tracked beside, since the lowering needs them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Padding = Literal["SAME", "VALID"]

#: GraphDef version that is written: TensorFlow 2.16's, which LCE 0.16.0 was built with.
_PRODUCER = 1882
#: Longest name of a node, from its end: the converter cuts names of tensors off after 50 characters.
NAME_LENGTH = 40
_FLOAT, _INT32, _BOOL = 1, 3, 10  # tensorflow.DataType


class GraphBuilder:
    """Builds a GraphDef node by node.

    Attributes:
        shapes: node name → static shape of its output.
    """

    def __init__(self) -> None:
        from tensorboard.compat.proto import graph_pb2

        self._graph = graph_pb2.GraphDef()
        self._graph.versions.producer = _PRODUCER
        self._names: set[str] = set()
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def serialized(self) -> bytes:
        """The GraphDef's bytes."""
        data: bytes = self._graph.SerializeToString()
        return data

    def unique(self, wish: str) -> str:
        """A node name that is not taken and that GraphDef allows, as near to the wish as possible."""
        base = re.sub(r"[^A-Za-z0-9_./-]", "_", wish)[-NAME_LENGTH:].strip("/") or "n"
        if not re.match(r"[A-Za-z0-9.]", base):
            base = "n" + base
        name, count = base, 1
        while name in self._names:
            name, count = f"{base}_{count}", count + 1
        self._names.add(name)
        return name

    def node(
        self, op: str, inputs: Sequence[str], shape: Sequence[int], name: str, **attributes: object
    ) -> str:
        """Add a node of any operator.

        Args:
            op: the TensorFlow operator.
            inputs: names of nodes.
            shape: static shape of its output.
            name: wished name.
            **attributes: bytes, bool, int, float, list of int or str (the name of a type: "float", "int32").
        """
        node = self._graph.node.add()
        node.op = op
        node.name = self.unique(name)
        node.input.extend(inputs)
        for key, value in attributes.items():
            _set(node.attr[key], value)
        self.shapes[node.name] = tuple(shape)
        return str(node.name)

    def placeholder(self, name: str, shape: Sequence[int]) -> str:
        """A float32 input."""
        node = self._graph.node.add()
        node.op, node.name = "Placeholder", self.unique(name)
        node.attr["dtype"].type = _FLOAT
        for size in shape:
            node.attr["shape"].shape.dim.add().size = size
        self.shapes[node.name] = tuple(shape)
        return str(node.name)

    def const(self, value: npt.ArrayLike, name: str = "const") -> str:
        """A constant, float32 or int32; one node for equal constants."""
        array = np.asarray(value)
        array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else np.int32).reshape(
            array.shape
        )
        key = (array.dtype.name, array.shape, array.tobytes())
        if key in self._constants:
            return self._constants[key]
        node = self._graph.node.add()
        node.op, node.name = "Const", self.unique(name)
        kind = _FLOAT if array.dtype == np.float32 else _INT32
        node.attr["dtype"].type = kind
        tensor = node.attr["value"].tensor
        tensor.dtype = kind
        for size in array.shape:
            tensor.tensor_shape.dim.add().size = size
        tensor.tensor_content = array.tobytes()
        self.shapes[node.name] = array.shape
        self._constants[key] = str(node.name)
        return str(node.name)

    # --- elementwise -----------------------------------------------------------------------------------

    def unary(self, op: str, x: str, name: str, **attributes: object) -> str:
        """An operator of one float input with its shape."""
        return self.node(op, [x], self.shapes[x], name, T="float", **attributes)

    def binary(self, op: str, x: str, y: str | npt.ArrayLike, name: str) -> str:
        """An operator of two float inputs with numpy's broadcasting."""
        other = y if isinstance(y, str) else self.const(np.asarray(y, np.float32))
        shape = np.broadcast_shapes(self.shapes[x], self.shapes[other])
        return self.node(op, [x, other], shape, name, T="float")

    def step(self, x: str, name: str) -> str:
        """``where(x >= 0, 1, -1)``: the spelling of a sign that LCE recognises, +1 at zero."""
        zero, one, minus = (self.const(np.float32(v)) for v in (0, 1, -1))
        shape = self.shapes[x]
        mask = self.node("GreaterEqual", [x, zero], shape, f"{name}/mask", T="float")
        return self.node("SelectV2", [mask, one, minus], shape, name, T="float")

    # --- moving data -----------------------------------------------------------------------------------

    def reshape(self, x: str, shape: Sequence[int], name: str) -> str:
        """The same elements in another shape; nothing is added where the shape is the same."""
        if tuple(shape) == self.shapes[x]:
            return x
        return self.node(
            "Reshape", [x, self.const(np.asarray(shape, np.int32))], shape, name, T="float", Tshape="int32"
        )

    def transpose(self, x: str, perm: Sequence[int], name: str) -> str:
        """Axes permuted; a reshape where only axes of size 1 move, nothing where none does."""
        before = self.shapes[x]
        shape = [before[axis] for axis in perm]
        moved = [axis for axis in perm if before[axis] != 1]
        if moved == sorted(moved):
            return self.reshape(x, shape, name)
        axes = self.const(np.asarray(perm, np.int32))
        return self.node("Transpose", [x, axes], shape, name, T="float", Tperm="int32")

    def reverse(self, x: str, axes: Sequence[int], name: str) -> str:
        """Axes reversed; nothing is added where they have size 1."""
        real = [axis for axis in axes if self.shapes[x][axis] > 1]
        if not real:
            return x
        return self.node(
            "ReverseV2",
            [x, self.const(np.asarray(real, np.int32))],
            self.shapes[x],
            name,
            T="float",
            Tidx="int32",
        )

    def slice(
        self, x: str, begin: Sequence[int], end: Sequence[int], strides: Sequence[int], name: str
    ) -> str:
        """``x[begin:end:strides]``, one of each per axis, all non-negative; nothing where all is taken."""
        before = self.shapes[x]
        shape = [len(range(*s)) for s in zip(begin, end, strides, strict=True)]
        if tuple(shape) == before:
            return x
        parts = [self.const(np.asarray(part, np.int32)) for part in (begin, end, strides)]
        masks = dict.fromkeys(
            ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0
        )
        return self.node("StridedSlice", [x, *parts], shape, name, T="float", Index="int32", **masks)

    def pad(self, x: str, pads: Sequence[tuple[int, int]], value: float, name: str) -> str:
        """Padded with a constant, (before, after) per axis; nothing where all are 0."""
        if not any(before or after for before, after in pads):
            return x
        shape = [size + before + after for size, (before, after) in zip(self.shapes[x], pads, strict=True)]
        amounts = self.const(np.asarray(pads, np.int32))
        if value == 0:
            return self.node("Pad", [x, amounts], shape, name, T="float", Tpaddings="int32")
        fill = self.const(np.float32(value))
        return self.node("PadV2", [x, amounts, fill], shape, name, T="float", Tpaddings="int32")

    def concat(self, parts: Sequence[str], axis: int, name: str) -> str:
        """Joined along an axis."""
        if len(parts) == 1:
            return parts[0]
        shape = list(self.shapes[parts[0]])
        shape[axis] = sum(self.shapes[part][axis] for part in parts)
        inputs = [*parts, self.const(np.int32(axis))]
        return self.node("ConcatV2", inputs, shape, name, N=len(parts), T="float", Tidx="int32")

    # --- weighted and windowed -------------------------------------------------------------------------

    def conv(
        self,
        x: str,
        weight: FloatArray,
        strides: tuple[int, int],
        dilations: tuple[int, int],
        padding: Padding,
        name: str,
        depthwise: bool = False,
    ) -> str:
        """2-D convolution; weight (kh, kw, C/group, O), or (kh, kw, C, multiplier) where depthwise."""
        n, *sizes, _ = self.shapes[x]
        spans = [(k - 1) * d + 1 for k, d in zip(weight.shape, dilations, strict=False)]
        spatial = _windows(sizes, spans, strides, padding)
        channels = weight.shape[2] * weight.shape[3] if depthwise else weight.shape[3]
        common: dict[str, Any] = {
            "T": "float",
            "strides": [1, *strides, 1],
            "dilations": [1, *dilations, 1],
            "padding": padding.encode(),
            "data_format": b"NHWC",
            "explicit_paddings": [],
        }
        if not depthwise:
            common["use_cudnn_on_gpu"] = False
        inputs = [x, self.const(weight, f"{name}/weight")]
        op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
        return self.node(op, inputs, (n, *spatial, channels), name, **common)

    def pool(
        self,
        op: Literal["MaxPool", "AvgPool"],
        x: str,
        kernel: tuple[int, int],
        strides: tuple[int, int],
        padding: Padding,
        name: str,
    ) -> str:
        """Max or average pooling over a window."""
        n, *sizes, c = self.shapes[x]
        spatial = _windows(sizes, kernel, strides, padding)
        extra: dict[str, object] = {"explicit_paddings": []} if op == "MaxPool" else {}
        return self.node(
            op,
            [x],
            (n, *spatial, c),
            name,
            T="float",
            ksize=[1, *kernel, 1],
            strides=[1, *strides, 1],
            padding=padding.encode(),
            data_format=b"NHWC",
            **extra,
        )

    def reduce(
        self, op: Literal["Mean", "Sum", "Max", "Min"], x: str, axes: Sequence[int], keep: bool, name: str
    ) -> str:
        """Reduced over axes."""
        sizes = self.shapes[x]
        shape = [1 if a in axes else s for a, s in enumerate(sizes) if keep or a not in axes]
        inputs = [x, self.const(np.asarray(sorted(axes), np.int32))]
        return self.node(op, inputs, shape, name, T="float", Tidx="int32", keep_dims=keep)

    def matmul(self, x: str, y: str, name: str) -> str:
        """Matrix product: of two matrices, or batched with equal leading axes."""
        a, b = self.shapes[x], self.shapes[y]
        if len(a) == 2 and len(b) == 2:
            shape: tuple[int, ...] = (a[0], b[1])
            return self.node("MatMul", [x, y], shape, name, T="float", transpose_a=False, transpose_b=False)
        shape = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
        return self.node("BatchMatMulV2", [x, y], shape, name, T="float", adj_x=False, adj_y=False)


def _windows(
    sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int], padding: Padding
) -> list[int]:
    """Number of windows per axis under TensorFlow's padding."""
    axes = zip(sizes, spans, strides, strict=True)
    return [-(-n // s) if padding == "SAME" else (n - k) // s + 1 for n, k, s in axes]


def _set(slot: Any, value: object) -> None:
    """Store one attribute in its protocol buffer."""
    if isinstance(value, bytes):
        slot.s = value
    elif isinstance(value, bool):
        slot.b = value
    elif isinstance(value, int):
        slot.i = value
    elif isinstance(value, float):
        slot.f = value
    elif isinstance(value, list):
        slot.list.i.extend(value)
    elif value == "float":
        slot.type = _FLOAT
    elif value == "int32":
        slot.type = _INT32
    else:
        raise TypeError(f"no GraphDef attribute for {value!r}")
