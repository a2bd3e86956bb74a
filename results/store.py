"""The store of measurements: one schema, in an SQLite file of the workspace or in any database by its URL.

Rows are only ever added, or pruned by the user. What ``append`` has returned from is on the disk; a process that is
killed in the middle of it leaves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Connection, Engine, delete, select

from bibench_deploy.errors import OutputPathError
from bibench_deploy.files import make_folder

from .database import BUSY_S, file_of, open_engine, parse_url, shown, transaction
from .jsonlines import Contents, Damaged, read_lines
from .row import Row
from .schema import VERSION, imports, measurements, prepare, version_of
from .selection import ALL, Selection
from .stored_rows import CHOSEN_BY, Appended, found_rows, insert_rows, parts

FILE_NAME = "results.sqlite"
OLD_FILE_NAME = "results.jsonl"
STORE_VARIABLE = "BIBENCH_STORE"


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
            found = list(found_rows(connection, selection))
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

    def values(self) -> dict[str, tuple[Any, ...]]:
        """What rows can be chosen by, in the words of ``Selection``, each with all values that there are.

        Raises:
            InputError, StoreError: as ``read``.
        """
        if not self._open(create=False):
            return dict.fromkeys(CHOSEN_BY, ())
        with self._transaction() as connection:
            return {
                name: tuple(connection.scalars(select(column).distinct().order_by(column)))
                for name, column in CHOSEN_BY.items()
            }

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
                for part in parts(wanted)
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
