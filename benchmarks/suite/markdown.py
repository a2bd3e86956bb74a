"""Tables in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .statistics import Estimate, Ratio

NS_PER_MS = 1e6


def marks(name: str) -> tuple[str, str]:
    """What stands around a part of a file that a program writes."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


BEGIN, END = marks("measured")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table; ``left`` columns are text, the others numbers.

    Raises:
        ValueError: a row of another length.
    """
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"{len(row)} cells under {len(headers)} headers: {row}")
    rule = ["---" if column < left else "--:" for column in range(len(headers))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headers, rule, *rows))


def joined(parts: Sequence[str]) -> str:
    """Paragraphs; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)


def milliseconds(value: Estimate, scale: float = NS_PER_MS) -> str:
    """``median (lowest–highest block) minimum`` of an estimate in ns."""
    median, low, high, least = (v / scale for v in (value.median, value.low, value.high, value.minimum))
    digits = 1 if median >= 100 else 2 if median >= 1 else 4
    return f"{median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f}) {least:.{digits}f}"


def times(value: Ratio, digits: int = 2) -> str:
    """``median (95 % interval), minima``."""
    spread = f"{value.low:.{digits}f}–{value.high:.{digits}f}"
    return f"{value.median:.{digits}f} ({spread}), {value.of_minima:.{digits}f}"


def replace_part(text: str, part: str, name: str = "measured") -> str:
    """A file's text with what stands between the marks replaced; the marks and the part alone if there are none.

    Args:
        name: of the part, in its marks.

    Raises:
        ValueError: one mark without the other, or in the wrong order.
    """
    first, last = marks(name)
    marked = f"{first}\n{part.strip()}\n{last}"
    if first not in text and last not in text:
        return f"{text.rstrip()}\n\n{marked}\n".lstrip() if text.strip() else f"{marked}\n"
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"'{first}' and '{last}' must stand in this order, each once")
    return before + marked + after
