"""Tables of FlatBuffers, slot by slot, as its builder writes and its table reads them: no schema is compiled."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
import numpy.typing as npt
from flatbuffers.table import Table


def table(builder: flatbuffers.Builder, slots: int, offsets: dict[int, int]) -> int:
    """A table of so many slots; those of offsets are filled."""
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    """A vector of offsets."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def numbers(builder: flatbuffers.Builder, values: npt.ArrayLike, dtype: npt.DTypeLike) -> int:
    """A vector of numbers."""
    return int(builder.CreateNumpyVector(np.ascontiguousarray(values, dtype).ravel()))


@dataclass(frozen=True)
class Record:
    """One table of a file. A slot that should be there and is not is a ValueError."""

    table: Table

    @classmethod
    def root(cls, data: bytearray) -> Record:
        """The table that a file begins with."""
        return cls(Table(data, struct.unpack_from("<I", data)[0]))

    def has(self, slot: int) -> bool:
        """Whether a slot is filled."""
        return bool(self.table.Offset(4 + 2 * slot))

    def _at(self, slot: int) -> int:
        offset = self.table.Offset(4 + 2 * slot)
        if not offset:
            raise ValueError(f"field {slot} of a table is absent")
        return int(offset)

    def number(self, slot: int, flags: object) -> int:
        """A number; 0 where it was left out."""
        offset = self.table.Offset(4 + 2 * slot)
        return int(self.table.Get(flags, self.table.Pos + offset)) if offset else 0

    def text(self, slot: int) -> str:
        """A string."""
        return str(self.table.String(self.table.Pos + self._at(slot)).decode())

    def record(self, slot: int) -> Record:
        """A table."""
        position = self.table.Indirect(self.table.Pos + self._at(slot))
        return Record(Table(self.table.Bytes, position))

    def records(self, slot: int) -> list[Record]:
        """A vector of tables."""
        start, count = self.table.Vector(self._at(slot)), self.table.VectorLen(self._at(slot))
        return [
            Record(Table(self.table.Bytes, self.table.Indirect(start + 4 * index))) for index in range(count)
        ]

    def texts(self, slot: int) -> tuple[str, ...]:
        """A vector of strings."""
        start, count = self.table.Vector(self._at(slot)), self.table.VectorLen(self._at(slot))
        return tuple(self.table.String(start + 4 * index).decode() for index in range(count))

    def array(self, slot: int, dtype: str) -> npt.NDArray[np.generic]:
        """A vector of numbers of this type."""
        start, count = self.table.Vector(self._at(slot)), self.table.VectorLen(self._at(slot))
        return np.frombuffer(self.table.Bytes, dtype, count, start)
