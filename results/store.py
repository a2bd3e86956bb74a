"""The store of measurements: one schema, in an SQLite file of the workspace or in any database by its URL.

Rows are only ever added, or pruned by the user. What ``append`` has returned from is on the disk; a process that is
killed in the middle of it leaves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Connection, Engine, RowMapping, String, cast, delete, func, or_, select
from sqlalchemy.sql import ColumnElement, Select

from bibench_deploy.errors import OutputPathError, StoreError
from bibench_deploy.files import make_folder

from .database import BUSY_S, file_of, insert_new, open_engine, parse_url, shown, transaction
from .jsonlines import Contents, Damaged, read_lines, valid_row
from .row import Row
from .samples import pack, unpack
from .schema import VERSION, imports, measurements, prepare, version_of
from .selection import ALL, Selection

FILE_NAME = "results.sqlite"
OLD_FILE_NAME = "results.jsonl"
STORE_VARIABLE = "BIBENCH_STORE"

# Parameters of one statement; SQLite before 3.32 takes 999.
_AT_ONCE = 500


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


class Store:
    """A store, opened when it is first used.

    Args:
        url: of the database.
        old: a file of JSON lines whose rows belong to it, imported by itself.
        busy_s: how long to wait for another writer of an SQLite file, in seconds.
    """

    def __init__(self, url: URL, old: Path | None = None, busy_s: float = BUSY_S) -> None:
        self._url = url
        self._old = old
        self._busy_s = busy_s
        self._engine: Engine | None = None
        self._ready = False
        self.where = shown(url)

    @classmethod
    def at(cls, url: str, busy_s: float = BUSY_S) -> Store:
        """The store of a URL, or in a file by its path.

        Raises:
            InputError: it is neither.
        """
        return cls(parse_url(url), busy_s=busy_s)

    @classmethod
    def of_workspace(cls, workspace: Path) -> Store:
        """The store of a workspace; what an older version kept in results.jsonl is taken over once."""
        url = URL.create("sqlite", database=str(workspace / FILE_NAME))
        return cls(url, old=workspace / OLD_FILE_NAME)

    @property
    def path(self) -> Path | None:
        """The file of an SQLite store."""
        return file_of(self._url)

    def check(self) -> None:
        """Refuse a store that can't be written, before any work is done for it.

        Raises:
            OutputPathError: its folder or the file itself can't be written.
            StorageError, StoreError: the disk is full or failed; the database can't be reached or is locked.
            InputError: it was written by a newer version of the tool, or is no database.
        """
        if self.path:
            make_folder(self.path.parent)
        self._open(create=True)
        with self._transaction(writes=True) as connection:
            if connection.dialect.name == "sqlite":
                # An SQLite file that may not be written tells so when it is, not when a transaction begins.
                connection.exec_driver_sql("PRAGMA user_version=0")

    def append(self, rows: Sequence[Row]) -> Appended:
        """Add rows: all or none. A row that is there already, by its id, stays as it is.

        Raises:
            BibenchError: as ``check``; the store is as it was before.
        """
        if not rows:
            return Appended(0)
        self._open(create=True)
        with self._transaction(writes=True) as connection:
            return insert_rows(connection, rows)

    def read(self, selection: Selection = ALL) -> Contents:
        """The rows that are meant, in the order of appending, and what is damaged; empty where there is none yet.

        Raises:
            InputError: it is no store, or one of a newer version.
            StoreError: the database can't be reached or is locked.
        """
        if not self._open(create=False):
            return Contents(())
        with self._transaction() as connection:
            found = list(_parsed(connection, selection))
            damaged = self._damaged_before(connection)
        return Contents(
            tuple(row for row in found if isinstance(row, Row)),
            (*damaged, *(row for row in found if isinstance(row, Damaged))),
        )

    def is_empty(self) -> bool:
        """Whether there is no row.

        Raises:
            InputError, StoreError: as ``read``.
        """
        if not self._open(create=False):
            return True
        with self._transaction() as connection:
            return connection.scalar(select(measurements.c.seq).limit(1)) is None

    def remove(self, ids: Iterable[UUID]) -> int:
        """Delete rows for good, all or none; how many there were.

        Raises:
            BibenchError: as ``check``.
        """
        wanted = list(ids)
        if not wanted or not self._open(create=False):
            return 0
        with self._transaction(writes=True) as connection:
            return sum(
                connection.execute(delete(measurements).where(measurements.c.id.in_(part))).rowcount
                for part in _parts(wanted)
            )

    def exists(self) -> bool:
        """Whether there is a store, which is of today's schema then.

        Raises:
            InputError, StoreError: as ``read``.
        """
        return self._open(create=False)

    def transaction(self, writes: bool = False) -> AbstractContextManager[Connection]:
        """A transaction on the tables of the store, for the other modules of this room; they are made if need be.

        Raises:
            BibenchError: as ``check``.
        """
        self._open(create=True)
        return self._transaction(writes)

    def _transaction(self, writes: bool = False) -> AbstractContextManager[Connection]:
        self._engine = self._engine or open_engine(self._url, self._busy_s)
        return transaction(self._engine, self.where, writes)

    def _open(self, create: bool) -> bool:
        """Whether there is a store, of today's schema then and with what an older version kept."""
        if self._ready:
            return True
        old = self._old if self._old and self._old.is_file() else None
        if self.path:
            if self.path.exists() and not self.path.is_file():
                raise OutputPathError("not a regular file", where=self.where, remedy="move it away")
            if not (self.path.exists() or create or old):
                return False
        found = self._version()
        if found is None and not (create or old):
            return False
        if found != VERSION:
            with self._transaction(writes=True) as connection:
                prepare(connection, self.where)
        if old:
            self._take_over(old)
        self._ready = True
        return True

    def _version(self) -> int | None:
        if self.path and not self.path.exists():
            return None  # opening it would make the file
        with self._transaction() as connection:
            return version_of(connection)

    def _take_over(self, old: Path) -> None:
        """Import what is new in the file of an older version, and remember what was damaged."""
        status = old.stat()
        state = {"size_bytes": status.st_size, "changed_ns": status.st_mtime_ns}
        this = imports.c.source == old.name
        with self._transaction() as connection:
            known = connection.execute(select(imports).where(this)).mappings().first()
        if known and all(known[key] == value for key, value in state.items()):
            return
        contents = read_lines(old)
        with self._transaction(writes=True) as connection:
            insert_rows(connection, contents.rows)
            connection.execute(delete(imports).where(this))
            damaged = [asdict(damage) for damage in contents.damaged]
            connection.execute(imports.insert().values(source=old.name, damaged=damaged, **state))

    def _damaged_before(self, connection: Connection) -> list[Damaged]:
        # As long as the file lies there, to be repaired.
        if not (self._old and self._old.is_file()):
            return []
        found = connection.scalars(select(imports.c.damaged).where(imports.c.source == self._old.name))
        return [Damaged(**damage) for damages in found for damage in damages]


def choose_store(choice: str | None, workspace: Path) -> Store:
    """The store that a user chose, else that of BIBENCH_STORE, else the workspace's.

    Raises:
        InputError: a choice that is no URL.
    """
    chosen = choice or os.environ.get(STORE_VARIABLE)
    return Store.at(chosen) if chosen else Store.of_workspace(workspace)


def insert_rows(connection: Connection, rows: Sequence[Row]) -> Appended:
    """Add rows that are not there yet, within the caller's transaction."""
    given = {row.id: row for row in rows}
    present: dict[UUID, Row | Damaged] = {}
    for part in _parts(list(given)):
        statement = select(measurements).where(measurements.c.id.in_(part))
        present |= {found["id"]: _row(found) for found in connection.execute(statement).mappings()}
    new = [_values(row) for row in given.values() if row.id not in present]
    if new:
        connection.execute(insert_new(connection, measurements, ["id"]), new)
    differing = tuple(key for key, row in present.items() if row != given[key])
    return Appended(len(new), len(rows) - len(new), differing)


def _parsed(connection: Connection, selection: Selection) -> Iterator[Row | Damaged]:
    statement = where(select(measurements), selection).order_by(measurements.c.seq)
    try:
        for found in connection.execute(statement).mappings():
            yield _row(found)
    except ValueError as error:  # a cell that is not of its column's type, which SQLite does not prevent
        raise StoreError(
            f"a row of the store is damaged ({error})", where=str(connection.engine.url)
        ) from error


def where(statement: Select[Any], selection: Selection) -> Select[Any]:
    """A question about rows, of those alone that are meant."""
    column = measurements.c
    lists: Sequence[tuple[ColumnElement[Any], tuple[Any, ...]]] = (
        (column.device, selection.devices),
        (column.engine, selection.engines),
        (column.model, selection.models),
        (column.variant, selection.variants),
        (column.threads, selection.threads),
    )
    for wanted, values in lists:
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


def _parts(values: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
