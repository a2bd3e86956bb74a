"""daBNN's ``.dab`` files as records: written and read slot by slot (``tables``).

A ``.dab`` is a FlatBuffers file with the root table ``Model``, without identifier. No field of it has an id of
its own, so a field's slot is its place in the order of declaration; ``SLOTS`` holds these orders. All strings
are names in one namespace: the input, the tensors and what layers write.

Source of the layout: ``common/dab.fbs`` of JDAI-CV/dabnn at commit d93aa95, described by docs/formats/dab.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

import flatbuffers
import numpy as np
import numpy.typing as npt
from flatbuffers import number_types as types

from bibench_deploy.errors import ArtefactError

from .tables import Record, numbers, table, vector

#: Anything else throws at load.
VERSION = 2

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint64]
Shape = tuple[int, int, int]  # H, W, C


class Kind(IntEnum):
    """``LayerType``. The kinds that the schema has and the runtime refuses are left out."""

    FP_CONV = 0
    AVE_POOL = 1
    MAX_POOL = 2
    RELU = 3
    ADD = 6
    CONCAT = 7
    BIN_CONV = 8
    AFFINE = 9
    PRELU = 13


#: Kind → slot of its parameters in the table ``Layer``: not the order of the kinds' numbers.
PARAMETERS = {
    Kind.FP_CONV: 1, Kind.BIN_CONV: 2, Kind.AVE_POOL: 3, Kind.MAX_POOL: 4, Kind.RELU: 5, Kind.ADD: 8,
    Kind.CONCAT: 9, Kind.AFFINE: 10, Kind.PRELU: 15,
}  # fmt: skip
_LAYER_SLOTS, _NAME_SLOT = 16, 14
_CONV = ("input", "weight", "bias", "pads", "strides", "dilations", "output")
_POOL = ("input", "kernel", "pads", "strides", "output")
#: Kind → fields of its parameters by slot: "input", "input2" are blobs; weight, bias, a, b, slope tensors.
SLOTS: dict[Kind, tuple[str, ...]] = {
    Kind.FP_CONV: _CONV,
    Kind.BIN_CONV: _CONV,
    Kind.AVE_POOL: _POOL,
    Kind.MAX_POOL: _POOL,
    Kind.RELU: ("input", "output"),
    Kind.ADD: ("input", "input2", "output"),
    Kind.CONCAT: ("inputs", "axis", "output"),
    Kind.AFFINE: ("input", "a", "b", "output"),
    Kind.PRELU: ("input", "slope", "output"),
}
_TENSOR_FIELDS = {"weight": 0, "bias": 1, "a": 0, "b": 1, "slope": 0}
_CHANNEL_AXIS = 3
#: Kinds that write into their first input: the output's name is an alias of it.
IN_PLACE = frozenset({Kind.AFFINE, Kind.ADD, Kind.RELU, Kind.PRELU})


@dataclass(frozen=True)
class Tensor:
    """A constant.

    Attributes:
        shape: (O, KH, KW, I), (1, H, W, C) or (C,); of bits in elements, not words.
        data: float32 of that shape, or uint64 words, filter after filter.
    """

    name: str
    shape: tuple[int, ...]
    data: npt.NDArray[np.generic]

    @property
    def bits(self) -> bool:
        """Whether it holds packed bits."""
        return self.data.dtype == np.uint64


@dataclass(frozen=True)
class Layer:
    """One operator.

    Attributes:
        inputs: blobs it reads; the first is written to by the kinds IN_PLACE.
        output: the name of what it writes.
        tensors: weight and bias (or weight alone), a and b, or slope.
        kernel, stride, pad: of a pool or convolution, one number for both axes and all sides; a convolution's
            kernel is in its weight's shape.
    """

    kind: Kind
    inputs: tuple[str, ...]
    output: str
    tensors: tuple[str, ...] = ()
    kernel: int = 0
    stride: int = 1
    pad: int = 0


@dataclass
class Model:
    """A file: one picture (H, W, C) in, layers in the order of execution."""

    input: str
    shape: Shape
    layers: list[Layer] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)


# Writing


def write(model: Model) -> bytes:
    """The file."""
    builder = flatbuffers.Builder(1 << 20)
    tensors = vector(builder, [_write_tensor(builder, tensor) for tensor in model.tensors.values()])
    layers = vector(builder, [_write_layer(builder, layer) for layer in model.layers])
    name = builder.CreateString(model.input)
    shape = numbers(builder, (1, *model.shape), np.uint32)
    inputs = vector(builder, [table(builder, 2, {0: shape, 1: name})])
    builder.StartObject(4)
    for slot, offset in enumerate((layers, tensors, inputs)):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.PrependUint32Slot(3, VERSION, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _write_tensor(builder: flatbuffers.Builder, tensor: Tensor) -> int:
    name, shape = builder.CreateString(tensor.name), numbers(builder, tensor.shape, np.uint32)
    data = numbers(builder, tensor.data, "<u8" if tensor.bits else "<f4")
    builder.StartObject(6)
    builder.PrependInt8Slot(0, int(tensor.bits), 0)
    for slot, offset in ((1 if tensor.bits else 2, data), (3, shape), (4, name)):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _write_layer(builder: flatbuffers.Builder, layer: Layer) -> int:
    offsets: dict[int, int] = {}
    for slot, key in enumerate(SLOTS[layer.kind]):
        if key in ("input", "input2"):
            offsets[slot] = builder.CreateString(layer.inputs[key == "input2"])
        elif key == "inputs":
            offsets[slot] = vector(builder, [builder.CreateString(name) for name in layer.inputs])
        elif key == "output":
            offsets[slot] = builder.CreateString(layer.output)
        elif key in _TENSOR_FIELDS and _TENSOR_FIELDS[key] < len(layer.tensors):
            offsets[slot] = builder.CreateString(layer.tensors[_TENSOR_FIELDS[key]])
        elif key == "pads":
            offsets[slot] = numbers(builder, [layer.pad] * 4, np.int32)
        elif key in ("kernel", "strides", "dilations"):
            value = {"kernel": layer.kernel, "strides": layer.stride, "dilations": 1}[key]
            offsets[slot] = numbers(builder, [value] * 2, np.int32)
    builder.StartObject(len(SLOTS[layer.kind]))
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    if layer.kind == Kind.CONCAT:
        builder.PrependInt32Slot(SLOTS[layer.kind].index("axis"), _CHANNEL_AXIS, 0)
    parameters = builder.EndObject()
    builder.StartObject(_LAYER_SLOTS)
    builder.PrependInt8Slot(0, int(layer.kind), 0)
    builder.PrependUOffsetTRelativeSlot(PARAMETERS[layer.kind], parameters, 0)
    return int(builder.EndObject())


# Reading


def parse(data: bytes) -> Model:
    """The records of a file.

    Raises:
        ArtefactError: not a ``.dab`` file, or one with something that this project never writes.
    """
    try:
        return _read_model(bytearray(data))
    except (struct.error, IndexError, ValueError, UnicodeDecodeError, TypeError) as error:
        raise ArtefactError(f"not a .dab file ({error})", remedy="convert the model again") from error


def _read_model(data: bytearray) -> Model:
    root = Record.root(data)
    version = root.number(3, types.Uint32Flags)
    if version != VERSION:
        raise ValueError(f"its version is {version}, not {VERSION}")
    first, *_ = root.records(2)
    _, height, width, channels = first.array(0, "<u4").tolist()
    tensors = [_read_tensor(record) for record in root.records(1)]
    return Model(
        first.text(1),
        (height, width, channels),
        [_read_layer(record) for record in root.records(0)],
        {tensor.name: tensor for tensor in tensors},
    )


def _read_tensor(record: Record) -> Tensor:
    bits = record.number(0, types.Int8Flags) == 1
    shape = tuple(int(size) for size in record.array(3, "<u4"))
    data = record.array(1, "<u8") if bits else record.array(2, "<f4").reshape(shape)
    return Tensor(record.text(4), shape, data.astype(np.uint64 if bits else np.float32))


def _read_layer(record: Record) -> Layer:
    kind = Kind(record.number(0, types.Int8Flags))
    fields = record.record(PARAMETERS[kind])
    slots = {key: slot for slot, key in enumerate(SLOTS[kind])}
    if kind == Kind.CONCAT:
        if fields.number(slots["axis"], types.Int32Flags) != _CHANNEL_AXIS:
            raise ValueError("a concatenation along another axis than channels")
        first, *others = fields.texts(slots["inputs"])
        inputs: tuple[str, ...] = (first, *others)
    else:
        inputs = tuple(fields.text(slots[key]) for key in ("input", "input2") if key in slots)
    given = [key for key in _TENSOR_FIELDS if key in slots and (key != "bias" or fields.has(slots[key]))]

    def one(key: str, default: int) -> int:
        values = set(fields.array(slots[key], "<i4").tolist()) if key in slots else {default}
        if len(values) != 1:
            raise ValueError(f"{key} that differ between the axes")
        return int(values.pop())

    if one("dilations", 1) != 1:
        raise ValueError("a dilated convolution")
    kernel, stride, pad = one("kernel", 1), one("strides", 1), one("pads", 0)
    if min(kernel, stride) < 1 or pad < 0:
        raise ValueError(f"a kernel of {kernel}, a stride of {stride}, a padding of {pad}")
    output, tensors = fields.text(slots["output"]), tuple(fields.text(slots[key]) for key in given)
    return Layer(kind, inputs, output, tensors, kernel if "kernel" in slots else 0, stride, pad)
