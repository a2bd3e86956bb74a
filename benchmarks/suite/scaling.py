"""Cost against size: where a layer's time stops being proportional to its work. Pure, but for ``points``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .layers import Figures, Layer, Setting

#: A layer costs in proportion to its work as long as its rate is so near the best one of its table.
PROPORTIONAL = 0.8


def points(found: Mapping[Setting, Sequence[Figures]], axis: Callable[[Layer], int]) -> dict[int, float]:
    """Size → median GMAC/s.

    Args:
        axis: the size of a layer.
    """
    return {axis(s.layer): float(np.median([f.rate for f in figures])) for s, figures in found.items()}


def proportional_range(rates: Mapping[int, float]) -> tuple[int, int]:
    """The longest run of sizes around the best rate in which none falls below ``PROPORTIONAL`` of it.

    Raises:
        ValueError: no rates.
    """
    sizes = sorted(rates)
    best = max(sizes, key=lambda size: rates[size])
    low = high = sizes.index(best)
    while low > 0 and rates[sizes[low - 1]] >= PROPORTIONAL * rates[best]:
        low -= 1
    while high + 1 < len(sizes) and rates[sizes[high + 1]] >= PROPORTIONAL * rates[best]:
        high += 1
    return sizes[low], sizes[high]


def sentence(what: str, rates: Mapping[int, float]) -> str:
    """Where the time is proportional to the work, in words."""
    low, high = proportional_range(rates)
    sizes = sorted(rates)
    below = (
        "" if low == sizes[0] else f"; at {sizes[0]} a MAC costs {max(rates.values()) / rates[sizes[0]]:.1f}×"
    )
    above = (
        ""
        if high == sizes[-1]
        else f"; at {sizes[-1]} it costs {max(rates.values()) / rates[sizes[-1]]:.1f}×"
    )
    return (
        f"Proportional to the work (at least {100 * PROPORTIONAL:.0f} % of the best rate) from {low} to {high} "
        f"{what}{below}{above} of what it costs at best."
    )
