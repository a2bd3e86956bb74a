"""Opening a database and what its errors mean to a user: the only place that knows drivers."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Double, Engine, NullPool, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from bibench_deploy.errors import (
    BibenchError,
    InputError,
    MissingExtraError,
    OutputPathError,
    StorageError,
    StoreError,
)

# A writer of this tool holds its lock for milliseconds; whoever holds it for so long has stopped.
BUSY_S = 30.0
CONNECT_S = 10

_WRITES = "bibench_writes"

URL_HELP = "write it as a file's path, sqlite:///FILE or postgresql://USER@HOST/DATABASE"


def parse_url(text: str) -> URL:
    """The URL of a database; a plain path is a file of SQLite.

    Raises:
        InputError: it is neither.
    """
    if "://" not in text:
        if not text.strip():
            raise InputError("the store's URL is empty", where="--store", remedy=URL_HELP)
        return URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        # The text may hold a password, so it is not repeated.
        raise InputError("not the URL of a database", where="--store", remedy=URL_HELP) from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    try:
        url.get_dialect()
    except NoSuchModuleError as error:
        raise InputError(
            f"'{url.drivername}' is no known database", where="--store", remedy=URL_HELP
        ) from error
    except ModuleNotFoundError as error:
        raise _missing_driver(url, error) from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise InputError("a store in memory is gone at once", where="--store", remedy=URL_HELP)
    return url


def shown(url: URL) -> str:
    """For messages: a file's path, or the URL without its password."""
    path = file_of(url)
    return str(path) if path else url.render_as_string(hide_password=True)


def file_of(url: URL) -> Path | None:
    """The file of an SQLite database."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def open_engine(url: URL, busy_s: float = BUSY_S) -> Engine:
    """An engine whose connections are opened for each use, so that it survives forks and idle nights.

    Args:
        busy_s: how long to wait for another writer of an SQLite file, in seconds.

    Raises:
        MissingExtraError: PostgreSQL without its driver.
        InputError: another database without its driver.
    """
    backend = url.get_backend_name()
    arguments: dict[str, Any] = {}
    if backend == "sqlite":
        arguments = {"timeout": busy_s}
    elif backend == "postgresql":
        arguments = {"connect_timeout": CONNECT_S}
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    except ModuleNotFoundError as error:
        raise _missing_driver(url, error) from error
    if backend == "sqlite":
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        _TURNS[engine] = threading.RLock()
    else:
        _TURNS[engine] = threading.BoundedSemaphore(MOST_CONNECTIONS)
    return engine


#: Of one process to a server at a time: PostgreSQL takes 100 in all unless told otherwise, and a night may have a
#: thread for each of two hundred devices.
MOST_CONNECTIONS = 8
#: Where threads of this process wait for their turn at a database. SQLite itself lets those that wait for a file
#: sleep and try again: among two hundred of them, one was always too late for as long as it has patience.
_TURNS: WeakKeyDictionary[Engine, AbstractContextManager[Any]] = WeakKeyDictionary()


def _missing_driver(url: URL, error: ModuleNotFoundError) -> InputError:
    if url.get_backend_name() == "postgresql":
        return MissingExtraError("postgres", "a store on PostgreSQL")
    return InputError(
        f"the driver of '{url.drivername}' is not installed (the Python module {error.name})",
        where="--store",
        remedy="install the package that has it, or use SQLite or PostgreSQL",
    )


def _on_connect(connection: Any, record: object) -> None:
    """Transactions are SQLAlchemy's business, and a commit that was reported survives a power cut.

    The rollback journal, not WAL: a store at rest is one file that can be copied, also after a writer was
    killed, and it works where files are shared over a network. WAL would let readers go on while a writer
    commits, which takes milliseconds here.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _on_begin(connection: Connection) -> None:
    # Whoever will write takes the lock at once: two readers that both go on to write would block each other.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def transaction(engine: Engine, where: str, writes: bool) -> Iterator[Connection]:
    """One transaction; committed when the block ends, as if it had never begun when it fails.

    Raises:
        BibenchError: the database's own errors by their meaning.
    """
    try:
        with (
            _TURNS.get(engine, nullcontext()),
            engine.connect().execution_options(**{_WRITES: writes}) as connection,
            connection.begin(),
        ):
            yield connection
    except SQLAlchemyError as error:
        raise explained(error, where) from error


class clock_s(FunctionElement[float]):  # noqa: N801
    """The database's own clock, in seconds since 1970: hosts that share it need not agree on the time."""

    type = Double()
    inherit_cache = True


@compiles(clock_s, "sqlite")
def _clock_of_sqlite(*_: Any, **__: Any) -> str:
    # The Julian day of 1970; unixepoch('subsec') came with 3.42.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock_s, "postgresql")
def _clock_of_postgresql(*_: Any, **__: Any) -> str:
    # now() is when the transaction began, and one may have waited for a lock since.
    return "EXTRACT(EPOCH FROM clock_timestamp())::double precision"


def insert_new(connection: Connection, table: Table, key: Sequence[str] | None = None) -> Any:
    """An insert that leaves alone what is there already, also when another writer added it a moment ago.

    Args:
        key: the columns by which it is known; None for the primary key.
    """
    columns = list(key or table.primary_key.columns.keys())
    match connection.dialect.name:
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing(index_elements=columns)
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing(index_elements=columns)
    return table.insert()


def explained(error: SQLAlchemyError, where: str) -> BibenchError:
    """What a database's error means, without SQLAlchemy's dump of the statement."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, where)
    said = " ".join(str(cause or error).split())
    if isinstance(error, OperationalError):
        return StoreError(f"the database can't be reached or failed: {said}", where=where, remedy=_CHECK)
    return StoreError(
        f"the database refused: {said}", where=where, remedy="check what the URL's account may do there"
    )


_CHECK = "check the URL, the network and that the server runs"


def _of_sqlite(error: sqlite3.Error, where: str) -> BibenchError:
    # The low byte is the error, the rest its details: sqlite.org/rescode.html
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(
                "another process has locked the store for too long",
                where=where,
                remedy="find it (fuser or lsof on the file) and let it end, then run this again",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return OutputPathError(
                "no permission to write",
                where=where,
                remedy="chmod u+w the file and its folder, or choose another --store",
            )
        case sqlite3.SQLITE_CANTOPEN:
            return OutputPathError(
                "can't be opened",
                where=where,
                remedy="check that its folder exists and that you may write there",
            )
        case sqlite3.SQLITE_FULL:
            return StorageError("the disk is full", where=where, remedy="free some space and run it again")
        case sqlite3.SQLITE_NOTADB:
            return InputError("not a store: no SQLite database", where=where, remedy="move it away")
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(
                f"the file is damaged ({error})",
                where=where,
                remedy="move it away and restore a copy; 'sqlite3 FILE .recover' may save rows",
            )
        case sqlite3.SQLITE_IOERR:
            return StorageError(f"input/output error ({error})", where=where, remedy="check the disk")
    return StoreError(
        f"the database failed: {error}",
        where=where,
        remedy="choose another --store, and report it with this one",
    )
