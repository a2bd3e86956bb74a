"""The tables of a store and how an older store becomes one of today's. SQLite, PostgreSQL.

A new store gets today's tables at once. An older one takes the steps after its version, in their order, in one
transaction; a newer one is refused. Alembic would do the same with a folder of scripts, a configuration and a
command: its strength, generating steps out of models, is of no use for a handful of tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateColumn

from bibench_deploy.errors import InputError

# Any number that no other program uses for its own lock of a PostgreSQL database: "bibench" in ASCII.
_MIGRATION_LOCK = 0x62696265_6E6368


class Utc(TypeDecorator[datetime]):
    """A moment. SQLite keeps no zone: it gets UTC, as text that sorts like time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name != "postgresql" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


# MySQL indexes no text without a length; the others need none.
_TEXT = Text().with_variant(String(255), "mysql", "mariadb")
_JSON = JSON().with_variant(JSONB, "postgresql")
_BLOB = LargeBinary().with_variant(LONGBLOB, "mysql", "mariadb")


def _text(name: str, nullable: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=nullable)


def _json(name: str) -> Column[Any]:
    return Column(name, _JSON, nullable=False)


def _later(name: str, default: str) -> Column[Any]:
    """A list or mapping that rows of earlier versions lack."""
    return Column(name, _JSON, nullable=False, server_default=text(f"'{default}'"))


metadata = MetaData()

schema = Table("bibench_schema", metadata, Column("version", Integer, primary_key=True), Column("since", Utc))

# One column for each field of Row, by the same name; `samples` is the blob of results/samples.py.
measurements = Table(
    "measurement",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", Uuid, nullable=False, unique=True),
    Column("measured_at", Utc, nullable=False),
    _text("session", nullable=True),
    _text("tool"),
    _text("device"),
    _json("host"),
    _text("engine"),
    _text("engine_sha256", nullable=True),
    _json("versions"),
    _text("model"),
    _text("variant"),
    _text("file"),
    _text("sha256"),
    _text("source_sha256"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("binary_ops", Integer, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("verified_on_device", Boolean),
    _json("changes"),
    Column("threads", Integer, nullable=False),
    _text("cpus", nullable=True),
    _text("kernel", nullable=True),
    _text("state"),
    _text("statistic"),
    _text("verdict", nullable=True),
    _json("reasons"),
    _json("context"),
    Column("warmup_runs", Integer, nullable=False),
    Column("samples", _BLOB, nullable=False),
    _later("turns", "[]"),
    _later("metadata", "{}"),
    _later("inputs", "[]"),
    _later("operators", "[]"),
    Index("measurement_at", "measured_at"),
    Index("measurement_what", "device", "engine", "model", "variant", "threads"),
)

# Files of another kind that became rows by themselves: a workspace's results.jsonl.
imports = Table(
    "imported_file",
    metadata,
    Column("source", _TEXT, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("changed_ns", BigInteger, nullable=False),
    _json("damaged"),
)

Step = Callable[[Connection], Any]


def _add_turns(connection: Connection) -> None:
    _add_column(connection, measurements.c.turns)


def _add_origin(connection: Connection) -> None:
    for name in ("metadata", "inputs"):
        _add_column(connection, measurements.c[name])


def _add_operators(connection: Connection) -> None:
    _add_column(connection, measurements.c.operators)


def _add_column(connection: Connection, column: Column[Any]) -> None:
    """Add a column that has a default, or may be unknown, in rows that are there already."""
    definition = CreateColumn(column).compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {column.table.name} ADD COLUMN {definition}"))


# STEPS[n] makes a store of version n out of one of version n − 1. Never changed once released.
STEPS: Mapping[int, Step] = {2: _add_turns, 3: _add_origin, 4: _add_operators}
FIRST = 1
VERSION = max(STEPS, default=FIRST)


def prepare(connection: Connection, where: str, steps: Mapping[int, Step] = STEPS) -> None:
    """Make the tables, or bring them to today's version; inside the caller's writing transaction.

    Args:
        where: the store, for messages.
        steps: as ``STEPS``.

    Raises:
        InputError: it was written by a newer version of the tool.
    """
    if connection.dialect.name == "postgresql":
        # Two that create the same tables at once would fail each other.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    newest = max(steps, default=FIRST)
    found = version_of(connection)
    if found is None:
        metadata.create_all(connection)
        _stamp(connection, newest)
        return
    if found > newest:
        raise InputError(
            f"written by a newer version of bibench-deploy (schema {found}, this one knows {newest})",
            where=where,
            remedy="upgrade bibench-deploy, or choose another --store",
        )
    for version in range(found + 1, newest + 1):
        steps[version](connection)
        _stamp(connection, version)


def version_of(connection: Connection) -> int | None:
    """The version of a store's tables; None where there are none."""
    if not inspect(connection).has_table(schema.name):
        return None
    return connection.scalar(select(schema.c.version).order_by(schema.c.version.desc()).limit(1))


def _stamp(connection: Connection, version: int) -> None:
    connection.execute(schema.insert().values(version=version, since=datetime.now(UTC)))
