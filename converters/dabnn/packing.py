"""Signs as daBNN's words: bit 1 for +1, 64 to a word, the lowest bit first, filter after filter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_WORD = 64
#: Filters are filled with 0 bits to whole registers of this many bits ...
_REGISTER = 128
#: ... but for the 3×3 kernel for 64 channels, which reads exactly 9 words (bconv.h).
_UNPADDED = (3, 3, 64)


def words_per_filter(kh: int, kw: int, channels: int) -> int:
    """Words of one filter."""
    unit = _WORD if (kh, kw, channels) == _UNPADDED else _REGISTER
    return -(-kh * kw * channels // unit) * unit // _WORD


def pack(signs: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """±1 of shape (O, KH, KW, I) as words."""
    filters, kh, kw, channels = signs.shape
    bits = np.zeros((filters, words_per_filter(kh, kw, channels) * _WORD), np.uint8)
    bits[:, : kh * kw * channels] = signs.reshape(filters, -1) > 0
    return np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64).ravel()


def unpack(words: npt.NDArray[np.generic], shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """The signs ±1, (O, KH, KW, I), of packed words.

    Raises:
        ValueError: another number of words than this shape has.
    """
    filters, kh, kw, channels = shape
    count = words_per_filter(kh, kw, channels)
    if words.size != filters * count:
        raise ValueError(f"{words.size} words for {filters} filters of {count}")
    bits = np.unpackbits(
        words.astype("<u8").reshape(filters, count).view(np.uint8), axis=1, bitorder="little"
    )
    return np.where(bits[:, : kh * kw * channels].reshape(shape), 1, -1).astype(np.int8)
