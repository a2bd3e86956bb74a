"""Rows as the table of measurements holds them: put in, asked for, read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Column, Connection, RowMapping, String, cast, func, or_, select
from sqlalchemy.sql import Select

from bibench_deploy.errors import StoreError

from .database import insert_new
from .jsonlines import Damaged, valid_row
from .row import Row
from .samples import pack, unpack
from .schema import measurements
from .selection import Selection

# Parameters of one statement; SQLite before 3.32 takes 999.
_AT_ONCE: Final = 500

#: Part of ``Selection`` → column, where it names values.
CHOSEN_BY: Final[Mapping[str, Column[Any]]] = {
    "devices": measurements.c.device,
    "engines": measurements.c.engine,
    "models": measurements.c.model,
    "variants": measurements.c.variant,
    "threads": measurements.c.threads,
}

Key = TypeVar("Key")


@dataclass(frozen=True)
class Appended:
    """What became of rows that were appended.

    Attributes:
        added: how many are new.
        present: how many were there already, by their ids.
        differing: of those, the ids of the ones that say something else than the store's; the store's stay.
    """

    added: int
    present: int = 0
    differing: tuple[UUID, ...] = ()


def insert_rows(connection: Connection, rows: Sequence[Row]) -> Appended:
    """Add rows that are not there yet, within the caller's transaction."""
    given = {row.id: row for row in rows}
    present: dict[UUID, Row | Damaged] = {}
    for part in parts(list(given)):
        statement = select(measurements).where(measurements.c.id.in_(part))
        present |= {found["id"]: _row(found) for found in connection.execute(statement).mappings()}
    new = [_values(row) for row in given.values() if row.id not in present]
    if new:
        connection.execute(insert_new(connection, measurements, ["id"]), new)
    differing = tuple(key for key, row in present.items() if row != given[key])
    return Appended(len(new), len(rows) - len(new), differing)


def found_rows(connection: Connection, selection: Selection) -> Iterator[Row | Damaged]:
    """The rows that are meant, in the order of appending.

    Raises:
        StoreError: the database can't make sense of one.
    """
    statement = where(select(measurements), selection).order_by(measurements.c.seq)
    try:
        for found in connection.execute(statement).mappings():
            yield _row(found)
    except ValueError as error:  # a cell that is not of its column's type, which SQLite does not prevent
        raise StoreError(
            f"a row of the store is damaged ({error})",
            where=str(connection.engine.url),
            remedy="restore a copy of the store, or delete the row with a program for databases",
        ) from error


def where(statement: Select[Any], selection: Selection) -> Select[Any]:
    """A question about rows, of those alone that are meant."""
    column = measurements.c
    for name, wanted in CHOSEN_BY.items():
        values = getattr(selection, name)
        if values:
            statement = statement.where(wanted.in_(values))
    if selection.since:
        statement = statement.where(column.measured_at >= selection.since)
    if selection.before:
        statement = statement.where(column.measured_at < selection.before)
    if selection.sessions:
        starts = (column.session.startswith(part, autoescape=True) for part in selection.sessions)
        statement = statement.where(or_(*starts))
    if selection.ids:
        hexadecimal = func.replace(cast(column.id, String), "-", "")
        starts = (
            hexadecimal.startswith(part.replace("-", "").lower(), autoescape=True) for part in selection.ids
        )
        statement = statement.where(or_(*starts))
    return statement


def _values(row: Row) -> dict[str, Any]:
    document = row.model_dump(exclude={"schema_version", "samples_ns", "host", "context"})
    return document | {
        "host": row.host.model_dump(mode="json"),
        "context": row.context.model_dump(mode="json"),
        "samples": pack(row.samples_ns),
    }


def _row(found: RowMapping | Mapping[str, Any]) -> Row | Damaged:
    document = dict(found)
    number = document.pop("seq")
    try:
        document["samples_ns"] = unpack(document.pop("samples"))
    except ValueError as error:
        return Damaged(f"row {number}", str(error))
    row = valid_row(document)
    return row if isinstance(row, Row) else Damaged(f"row {number}", row)


def parts(values: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """Keys in as many as one statement may name."""
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
