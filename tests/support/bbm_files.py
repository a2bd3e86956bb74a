"""Files of format ``.bbm`` written from docs/formats/bbm.md alone: the engine is tested without the emitter."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

NONE = 0xFFFFFFFF
FLOAT, BITS, BINARY_FILTERS, FLOAT_FILTERS = range(4)
MAP, BCONV, CONV, DWCONV, EXPAND, MAXPOOL, AVGPOOL, REDUCE, BINARY, UNARY, CONCAT = range(11)
SOFTMAX, PAD, SLICE, RESHAPE, TRANSPOSE, MATMUL = range(11, 17)
Array = npt.NDArray[np.generic]


def binary_filters(signs: Array, groups: int = 1) -> Array:
    """±1 of shape (O, C/groups, KH, KW) as packed words."""
    o, c, kh, kw = signs.shape
    words = -(-c // 32)
    bits = np.zeros((o, words * 32, kh, kw), np.uint8)
    bits[:, :c] = signs < 0
    packed = np.packbits(bits, axis=1, bitorder="little").transpose(0, 2, 3, 1).copy().view("<u4")
    return _interleave(packed, o, groups)


def float_filters(weights: Array, groups: int = 1) -> Array:
    """Weights of shape (O, C/groups, KH, KW), 16 filters side by side."""
    return _interleave(weights.astype("<f4").transpose(0, 2, 3, 1), len(weights), groups)


def _interleave(filters: Array, o: int, groups: int) -> Array:
    blocks = -(-(o // groups) // 16)
    _, kh, kw, depth = filters.shape
    out = np.zeros((groups, blocks * 16, kh, kw, depth), filters.dtype)
    out[:, : o // groups] = filters.reshape(groups, o // groups, kh, kw, depth)
    return out.reshape(groups, blocks, 16, kh, kw, depth).transpose(0, 1, 3, 4, 5, 2).copy()


@dataclass
class BbmFile:
    """A model under construction."""

    tensors: list[tuple[int, int, tuple[int, ...], int, int, bytes]] = field(default_factory=list)
    operators: list[bytes] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    strings: bytearray = field(default_factory=lambda: bytearray(b"\0"))

    def _string(self, text: str) -> int:
        if not text:
            return 0
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def tensor(self, dims: tuple[int, ...], dtype: int = FLOAT, groups: int = 1, name: str = "") -> int:
        """A new activation."""
        self.tensors.append((dtype, 0, dims, groups, self._string(name or f"t{len(self.tensors)}"), b""))
        return len(self.tensors) - 1

    def constant(self, data: Array, dims: tuple[int, ...], dtype: int = FLOAT, groups: int = 1) -> int:
        """A new constant."""
        raw = np.ascontiguousarray(data, "<f4" if dtype in (FLOAT, FLOAT_FILTERS) else "<u4").tobytes()
        self.tensors.append((dtype, 1, dims, groups, 0, raw))
        return len(self.tensors) - 1

    def channels(self, data: Array) -> int:
        """A constant per channel."""
        return self.constant(data, (1, 1, 1, len(data)))

    def operator(
        self,
        opcode: int,
        inputs: dict[int, int],
        outputs: dict[int, int],
        ints: dict[int, int] | None = None,
        floats: dict[int, float] | None = None,
        name: str = "",
    ) -> None:
        """A new operator, by slots."""
        ids, results = [NONE] * 12, [NONE] * 4
        whole, real = [0] * 24, [0.0] * 8
        for slots, values in ((ids, inputs), (results, outputs), (whole, ints or {}), (real, floats or {})):
            for slot, value in values.items():
                slots[slot] = value  # type: ignore[index]
        self.operators.append(
            struct.pack("<II12I4I24i8f56x", opcode, self._string(name), *ids, *results, *whole, *real)
        )

    def data(self) -> bytes:
        """The file's bytes."""
        tensors_at = 128
        operators_at = tensors_at + 64 * len(self.tensors)
        io_at = operators_at + 256 * len(self.operators)
        io = struct.pack(f"<{len(self.inputs) + len(self.outputs)}I", *self.inputs, *self.outputs)
        strings_at = io_at + len(io)
        at = strings_at + len(self.strings)
        records, blobs = b"", bytearray()
        for dtype, storage, dims, groups, name, raw in self.tensors:
            blobs += b"\0" * (-(at + len(blobs)) % 64 if storage else 0)
            offset = at + len(blobs) if storage else 0
            records += struct.pack("<II4IIIQQ16x", dtype, storage, *dims, groups, name, offset, len(raw))
            blobs += raw
        body = records + b"".join(self.operators) + io + bytes(self.strings) + bytes(blobs)
        return sealed(
            struct.pack(
                "<8sIIQ4I5Q48x",
                b"BBM\0\r\n\x1a\n",
                1,
                0,
                128 + len(body),
                len(self.tensors),
                len(self.operators),
                len(self.inputs),
                len(self.outputs),
                tensors_at,
                operators_at,
                io_at,
                strings_at,
                len(self.strings),
            )
            + body
        )

    def write(self, path: Path) -> Path:
        """Write the file."""
        path.write_bytes(self.data())
        return path


def sealed(data: bytes) -> bytes:
    """A file with its checksum and size put right."""
    data = data[:16] + struct.pack("<Q", len(data)) + data[24:]
    return data[:12] + struct.pack("<I", zlib.crc32(data[16:])) + data[16:]
