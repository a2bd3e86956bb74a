"""Which rows stand in one table and can't be compared with the others: measured under another condition. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from bibench_deploy.runners.compare import incomparable

from .report import Line
from .row import Row

Why = tuple[str, ...]


def apart(lines: Iterable[Line]) -> dict[UUID, Why]:
    """What sets rows apart from most of their device's, by their ids; rows that are like most are not among them.

    Governor, ABI and cores are compared among all rows of a device, clocks among those of one number of threads:
    more threads make a chip clock down, and that belongs to what is measured.
    """
    found: dict[UUID, Why] = {}
    every: dict[tuple[object, ...], list[Row]] = {}
    alike: dict[tuple[object, ...], list[Row]] = {}
    for line in lines:
        row = line.row
        device = (row.device, row.host.cpu, row.cpus)
        every.setdefault(device, []).append(row)
        alike.setdefault((*device, row.threads), []).append(row)
    for rows in every.values():
        found |= _unlike_most(rows, lambda a, b: incomparable(a.context, b.context, clock=False))
    for rows in alike.values():
        found |= _unlike_most(
            [row for row in rows if row.id not in found], lambda a, b: incomparable(a.context, b.context)
        )
    return found


def _unlike_most(rows: Sequence[Row], differ: Callable[[Row, Row], Why]) -> dict[UUID, Why]:
    classes: list[list[Row]] = []
    for row in rows:
        known = next((members for members in classes if not differ(members[0], row)), None)
        if known is None:
            classes.append([row])
        else:
            known.append(row)
    if len(classes) < 2:
        return {}
    most = max(classes, key=len)  # of equals the first
    return {row.id: differ(most[0], row) for members in classes if members is not most for row in members}
