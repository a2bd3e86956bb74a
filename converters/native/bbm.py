"""The file format ``.bbm``: its records, written and read back. ``docs/formats/bbm.md`` is the specification.

Nothing here knows ONNX; filters are packed from arrays in ONNX's order (O, C/groups, KH, KW).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bibench_deploy.errors import ArtefactError

Array = npt.NDArray[np.generic]
T = TypeVar("T")
Dims = tuple[int, int, int, int]

MAGIC = b"BBM\0\r\n\x1a\n"
VERSION = 1
NONE = 0xFFFFFFFF
ALIGN = 64
#: Filters side by side in the innermost axis of packed filters.
LANES = 16

_HEADER = struct.Struct("<8sIIQ4I5Q48x")
_TENSOR = struct.Struct("<2I4I2I2Q16x")
_OPERATOR = struct.Struct("<2I12I4I24i8f56x")
_CHECKED_FROM = 16  # bytes before it hold magic, version and the checksum itself


class DType(IntEnum):
    """What a tensor's elements are."""

    FLOAT = 0
    BITS = 1
    BINARY_FILTERS = 2
    FLOAT_FILTERS = 3


class Op(IntEnum):
    """Operators."""

    MAP = 0
    BCONV = 1
    CONV = 2
    DWCONV = 3
    EXPAND_BITS = 4
    MAXPOOL = 5
    AVGPOOL = 6
    REDUCE = 7
    BINARY = 8
    UNARY = 9
    CONCAT = 10
    SOFTMAX = 11
    PAD = 12
    SLICE = 13
    RESHAPE = 14
    TRANSPOSE = 15
    MATMUL = 16


@dataclass(frozen=True)
class Tensor:
    """One record of the tensor table.

    Attributes:
        name: of an activation, unique.
        dims: N, H, W, C; of filters O, KH, KW, C/groups.
        groups: of bits and filters.
        data: a constant's bytes; None for an activation.
    """

    name: str
    dtype: DType
    dims: Dims
    groups: int = 1
    data: bytes | None = None


@dataclass(frozen=True)
class Operator:
    """One record of the operator table; None stands for an absent input or output."""

    op: Op
    name: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    ints: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()


@dataclass
class Model:
    """A whole file; tensors are named by their index."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)


def write(model: Model) -> bytes:
    """The bytes of a file."""
    strings = _Strings()
    tensor_names = [strings.offset(tensor.name) for tensor in model.tensors]
    operator_names = [strings.offset(operator.name) for operator in model.operators]
    ids = [*model.inputs, *model.outputs]
    tensors_at = _HEADER.size
    operators_at = tensors_at + _TENSOR.size * len(model.tensors)
    ids_at = operators_at + _OPERATOR.size * len(model.operators)
    strings_at = ids_at + 4 * len(ids)
    end = strings_at + len(strings.data)
    chunks: list[bytes] = []
    records: list[bytes] = []
    for tensor, name in zip(model.tensors, tensor_names, strict=True):
        at = size = 0
        if tensor.data is not None:
            gap = -end % ALIGN
            at, size = end + gap, len(tensor.data)
            chunks += [b"\0" * gap, tensor.data]
            end = at + size
        constant = int(tensor.data is not None)
        records.append(_TENSOR.pack(tensor.dtype, constant, *tensor.dims, tensor.groups, name, at, size))
    for operator, name in zip(model.operators, operator_names, strict=True):
        records.append(
            _OPERATOR.pack(
                operator.op,
                name,
                *_padded([NONE if i is None else i for i in operator.inputs], 12, NONE),
                *_padded([NONE if i is None else i for i in operator.outputs], 4, NONE),
                *_padded(operator.ints, 24, 0),
                *_padded(operator.floats, 8, 0.0),
            )
        )
    body = b"".join([*records, struct.pack(f"<{len(ids)}I", *ids), bytes(strings.data), *chunks])
    counts = (len(model.tensors), len(model.operators), len(model.inputs), len(model.outputs))
    places = (tensors_at, operators_at, ids_at, strings_at, len(strings.data))
    header = _HEADER.pack(MAGIC, VERSION, 0, end, *counts, *places)
    checksum = zlib.crc32(body, zlib.crc32(header[_CHECKED_FROM:]))
    return header[:12] + struct.pack("<I", checksum) + header[_CHECKED_FROM:] + body


def parse(data: bytes) -> Model:
    """The records of a file.

    Raises:
        ArtefactError: not a whole file of this version.
    """
    if len(data) < _HEADER.size or data[:8] != MAGIC:
        raise ArtefactError("not a .bbm file", remedy="convert the model again")
    _, version, checksum, size, *rest = _HEADER.unpack_from(data)
    if version != VERSION:
        raise ArtefactError(
            f"a .bbm file of version {version}; this tool knows {VERSION}", remedy="convert the model again"
        )
    if size != len(data) or zlib.crc32(data[_CHECKED_FROM:]) != checksum:
        raise ArtefactError("damaged: its size or checksum is wrong", remedy="convert the model again")
    tensors, operators, inputs, outputs, tensors_at, operators_at, ids_at, strings_at, strings_size = rest
    strings = data[strings_at : strings_at + strings_size]
    ids = struct.unpack_from(f"<{inputs + outputs}I", data, ids_at)
    return Model(
        [_tensor(data, tensors_at + i * _TENSOR.size, strings) for i in range(tensors)],
        [_operator(data, operators_at + i * _OPERATOR.size, strings) for i in range(operators)],
        list(ids[:inputs]),
        list(ids[inputs:]),
    )


def _tensor(data: bytes, at: int, strings: bytes) -> Tensor:
    dtype, constant, n, h, w, c, groups, name, offset, size = _TENSOR.unpack_from(data, at)
    content = data[offset : offset + size] if constant else None
    return Tensor(_string(strings, name), DType(dtype), (n, h, w, c), groups, content)


def _operator(data: bytes, at: int, strings: bytes) -> Operator:
    op, name, *rest = _OPERATOR.unpack_from(data, at)
    inputs, outputs, ints, floats = rest[:12], rest[12:16], rest[16:40], rest[40:]
    return Operator(
        Op(op),
        _string(strings, name),
        tuple(None if i == NONE else i for i in inputs),
        tuple(None if i == NONE else i for i in outputs),
        tuple(ints),
        tuple(floats),
    )


def _string(strings: bytes, at: int) -> str:
    return strings[at : strings.index(b"\0", at)].decode()


def _padded(values: Sequence[T], size: int, filler: T) -> list[T]:
    return [*values, *[filler] * (size - len(values))]


class _Strings:
    """The part with all names; the empty one at 0."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self._known = {"": 0}

    def offset(self, text: str) -> int:
        text = text.replace("\0", "")
        if text not in self._known:
            self._known[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self._known[text]


def float_filters(weight: Array, groups: int) -> bytes:
    """Float weights (O, C/groups, KH, KW) packed: [groups][blocks of 16 filters][KH][KW][C/groups][16]."""
    o, c, kh, kw = weight.shape
    blocks = -(-(o // groups) // LANES)
    out = np.zeros((groups, blocks * LANES, c, kh, kw), "<f4")
    out[:, : o // groups] = weight.reshape(groups, o // groups, c, kh, kw)
    return out.reshape(groups, blocks, LANES, c, kh, kw).transpose(0, 1, 4, 5, 3, 2).tobytes()


def binary_filters(signs: Array, groups: int) -> bytes:
    """Signs ±1 (O, C/groups, KH, KW) packed: [groups][blocks][KH][KW][words][16] of uint32, 1 for −1."""
    o, c, kh, kw = signs.shape
    words = -(-c // 32)
    bits = np.zeros((o, words * 32, kh, kw), np.uint8)
    bits[:, :c] = signs.astype(np.int8) < 0
    packed = np.packbits(bits, axis=1, bitorder="little").transpose(0, 2, 3, 1).copy().view("<u4")
    blocks = -(-(o // groups) // LANES)
    out = np.zeros((groups, blocks * LANES, kh, kw, words), "<u4")
    out[:, : o // groups] = packed.reshape(groups, o // groups, kh, kw, words)
    return out.reshape(groups, blocks, LANES, kh, kw, words).transpose(0, 1, 3, 4, 5, 2).tobytes()
