"""Raw samples as the store keeps them: little-endian int64, zlib-compressed.

Anyone can read them without this tool: ``numpy.frombuffer(zlib.decompress(blob), "<i8")``.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Sequence

# Latencies differ in their low bytes only: a higher level takes six times as long and saves 6 %.
_LEVEL = 1
# Of ``array``, and not numpy: that takes longer to load than a million samples to read.
_INT64 = "q"
_SWAPPED = sys.byteorder == "big"


def pack(samples_ns: Sequence[int]) -> bytes:
    """Latencies in ns as a blob."""
    values = array(_INT64, samples_ns)
    if _SWAPPED:
        values.byteswap()
    return zlib.compress(values.tobytes(), _LEVEL)


def unpack(blob: bytes) -> list[int]:
    """Latencies in ns.

    Raises:
        ValueError: it is not what ``pack`` made.
    """
    values = array(_INT64)
    try:
        values.frombytes(zlib.decompress(blob))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"its samples are damaged ({error})") from error
    if _SWAPPED:
        values.byteswap()
    return values.tolist()
