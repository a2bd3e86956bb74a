"""Text that XML can hold."""

from __future__ import annotations

from typing import Final

#: What XML 1.0 can't hold at all, not even escaped (https://www.w3.org/TR/xml/#charsets).
_FORBIDDEN: Final = {
    code: "�" for code in (*range(32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF) if code not in (9, 10, 13)
}


def printable(text: str) -> str:
    """The same text, with a replacement character for each that XML has no way to write."""
    return text.translate(_FORBIDDEN)
