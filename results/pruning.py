"""Which rows may go. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .row import Row


def superfluous(rows: Sequence[Row], keep: int | None = None, before: datetime | None = None) -> list[Row]:
    """The rows to delete: those that every rule given would delete, in their order.

    Args:
        keep: the newest so many of each kind stay; a kind is what the same artefact's model, engine, device,
            threads and cores have in common.
        before: what was measured at this moment or later stays.
    """
    if keep is None and before is None:
        return []
    kept = _newest(rows, keep) if keep is not None else set()
    return [row for row in rows if row.id not in kept and (before is None or row.measured_at < before)]


def _newest(rows: Sequence[Row], keep: int) -> set[object]:
    kinds: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        kind = (row.device, row.engine, row.model, row.source_sha256, row.variant, row.threads, row.cpus)
        kinds.setdefault(kind, []).append(row)
    newest = (sorted(found, key=lambda row: row.measured_at, reverse=True)[:keep] for found in kinds.values())
    return {row.id for found in newest for row in found}
