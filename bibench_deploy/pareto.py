"""The Pareto front: what nothing else beats in everything. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether costs ``a`` are nowhere above ``b`` and somewhere below; the smaller the better."""
    return tuple(a) != tuple(b) and all(x <= y for x, y in zip(a, b, strict=True))


def front(items: Iterable[Item], costs: Callable[[Item], Sequence[float]]) -> list[Item]:
    """The items that no other dominates, in their order; equal ones are all on it."""
    known = [(item, costs(item)) for item in items]
    return [item for item, cost in known if not any(dominates(other, cost) for _, other in known)]
