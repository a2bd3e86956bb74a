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
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
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
_JSON_OR_NULL = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_BLOB = LargeBinary().with_variant(LONGBLOB, "mysql", "mariadb")


def _text(name: str, nullable: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=nullable)


def _key(name: str) -> Column[str]:
    return Column(name, _TEXT, primary_key=True)


def _number(name: str) -> Column[int]:
    """Counts up."""
    wide = BigInteger().with_variant(Integer, "sqlite")
    return Column(name, wide, primary_key=True, autoincrement=True)


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
    _number("seq"),
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
    _text("block", nullable=True),
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

# The nights of a plan; see results/nights.py.
nights = Table(
    "night",
    metadata,
    _key("plan"),
    _key("name"),
    _text("plan_sha256"),
    _text("commit", nullable=True),
    _text("host"),
    Column("started_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("report", _JSON_OR_NULL),
)

# What a night has to measure; see results/job.py. ``cpus`` is empty where none are asked for, since NULLs are not
# equal to each other; ``beat_at`` is the database's clock in seconds since 1970.
night_jobs = Table(
    "night_job",
    metadata,
    _number("seq"),
    *(
        _text(name)
        for name in ("plan", "night", "device", "engine", "model", "variant", "sha256", "engine_id")
    ),
    Column("threads", Integer, nullable=False),
    *(_text(name) for name in ("cpus", "unit", "state")),
    Column("attempts", Integer, nullable=False),
    Column("claims", Integer, nullable=False),
    _text("owner", nullable=True),
    Column("beat_at", Double),
    Column("row_id", Uuid),
    _text("said", nullable=True),
    UniqueConstraint(
        "plan", "night", "sha256", "engine_id", "device", "threads", "cpus", name="night_job_once"
    ),
    Index("night_job_next", "plan", "night", "device", "state", "seq"),
    Index("night_job_owner", "owner", "state"),
)

# How the devices of a night are; see results/queue.py.
night_devices = Table(
    "night_device",
    metadata,
    *map(_key, ("plan", "night", "device")),
    Column("failures", Integer, nullable=False),
    Column("quarantined_at", Utc),
    _text("said", nullable=True),
)

Step = Callable[[Connection], Any]


def _add_turns(connection: Connection) -> None:
    _add_column(connection, measurements.c.turns)


def _add_origin(connection: Connection) -> None:
    for name in ("metadata", "inputs"):
        _add_column(connection, measurements.c[name])


def _add_operators(connection: Connection) -> None:
    _add_column(connection, measurements.c.operators)


def _add_nights(connection: Connection) -> None:
    # As they are today: what a later step adds to them is there already then, see _add_column.
    metadata.create_all(connection, [nights, night_jobs, night_devices])


def _add_block(connection: Connection) -> None:
    _add_column(connection, measurements.c.block)


def _add_column(connection: Connection, column: Column[Any]) -> None:
    """Add a column that has a default, or may be unknown, in rows that are there already."""
    if column.name in {known["name"] for known in inspect(connection).get_columns(column.table.name)}:
        return
    definition = CreateColumn(column).compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {column.table.name} ADD COLUMN {definition}"))


# STEPS[n] makes a store of version n out of one of version n − 1. Never changed once released.
STEPS: Mapping[int, Step] = {2: _add_turns, 3: _add_origin, 4: _add_operators, 5: _add_nights, 6: _add_block}
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
