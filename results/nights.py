"""The nights of a plan: each is opened once, continued by whoever comes while it is unfinished, finished once.

The rows of a night bear ``<plan>/<name>`` as their session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, and_, insert, select, text, update
from sqlalchemy.sql import ColumnElement

from .jsonlines import Contents
from .schema import nights as table
from .selection import Selection
from .store import Store

#: An unfinished night that began longer ago is given up and the next one begins: half a day of work, a late start.
LONGEST: Final = timedelta(hours=20)
#: Any number that no other lock of a PostgreSQL database has: "nights" in ASCII.
_OPENING_LOCK: Final = 0x6E69_6768_7473


class Progress(StrEnum):
    """What a night was found as when it was opened."""

    FRESH = "fresh"
    CONTINUED = "continued"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Night:
    """One night of a plan.

    Attributes:
        plan_sha256, commit, host: of whoever began it; ``commit`` is None where it is unknown.
        started_at, finished_at: ``finished_at`` is None while it is under way, or was killed.
        report: what was found, as ``finish`` was told; None until then, and where it was not read.
        progress: when it was opened.
    """

    plan: str
    name: str
    plan_sha256: str
    commit: str | None
    host: str
    started_at: datetime
    finished_at: datetime | None = None
    report: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    progress: Progress = Progress.FRESH

    @property
    def session(self) -> str:
        """Of its rows."""
        return session_of(self.plan, self.name)


def session_of(plan: str, name: str) -> str:
    """The session of the rows of a night."""
    return f"{plan}/{name}"


def default_name(now: datetime) -> str:
    """Of a night that nobody named: the UTC date of its start."""
    return now.astimezone(UTC).date().isoformat()


def open_night(
    store: Store,
    plan: str,
    name: str | None,
    plan_sha256: str,
    commit: str | None,
    host: str,
    now: datetime,
) -> Night:
    """Begin a night, or join the one that is meant.

    Args:
        name: None for the night that is under way (begun less than ``LONGEST`` ago under its date's name, whatever
            the date is now), else today's.

    Returns:
        A new night, one to be continued, or one that is complete, with its report.

    Raises:
        BibenchError: as ``Store.check``.
    """
    with store.transaction(writes=True) as connection:
        if connection.dialect.name == "postgresql":
            # Two that open at once would both find none under way.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _OPENING_LOCK})
        wanted = name or _under_way(connection, plan, now) or default_name(now)
        found = connection.execute(select(table).where(_this(plan, wanted))).mappings().first()
        if found is not None:
            complete = found["finished_at"] is not None
            return _night(found, Progress.COMPLETE if complete else Progress.CONTINUED)
        night = Night(plan, wanted, plan_sha256, commit, host, now)
        connection.execute(
            insert(table).values(
                plan=plan, name=wanted, plan_sha256=plan_sha256, commit=commit, host=host, started_at=now
            )
        )
        return night


def finish(store: Store, night: Night, report: Mapping[str, Any], now: datetime) -> Night:
    """Say what was found. The first that says it is right; everybody else gets the first one's report.

    Args:
        report: anything that JSON can hold.

    Raises:
        BibenchError: as ``Store.check``.
    """
    this = _this(night.plan, night.name)
    with store.transaction(writes=True) as connection:
        first = update(table).where(this, table.c.finished_at.is_(None))
        connection.execute(first.values(finished_at=now, report=dict(report)))
        found = connection.execute(select(table).where(this)).mappings().one()
        return _night(found, Progress.COMPLETE)


def nights(store: Store, plan: str | None = None) -> list[Night]:
    """The nights of a plan, or of all, without their reports; the newest last.

    Raises:
        BibenchError: as ``Store.read``.
    """
    if not store.exists():
        return []
    columns = [column for column in table.c if column is not table.c.report]
    wanted = select(*columns).order_by(table.c.started_at, table.c.name)
    if plan is not None:
        wanted = wanted.where(table.c.plan == plan)
    with store.transaction() as connection:
        return [_night(row) for row in connection.execute(wanted).mappings()]


def report_of(store: Store, night: Night) -> Mapping[str, Any] | None:
    """What was found in a night; None while it is unfinished.

    Raises:
        BibenchError: as ``Store.read``.
    """
    with store.transaction() as connection:
        found: Mapping[str, Any] | None = connection.scalar(
            select(table.c.report).where(_this(night.plan, night.name))
        )
        return found


def rows_of_night(store: Store, plan: str, name: str) -> Contents:
    """The rows of exactly this night; a ``Selection`` alone would take "2026-11-22b" for "2026-11-22" too.

    Raises:
        BibenchError: as ``Store.read``.
    """
    session = session_of(plan, name)
    contents = store.read(Selection(sessions=(session,)))
    return Contents(tuple(row for row in contents.rows if row.session == session), contents.damaged)


def _under_way(connection: Connection, plan: str, now: datetime) -> str | None:
    """The newest unfinished night that bears its date's name and is not too old."""
    unfinished = (
        select(table.c.name, table.c.started_at)
        .where(table.c.plan == plan, table.c.finished_at.is_(None), table.c.started_at > now - LONGEST)
        .order_by(table.c.started_at.desc())
    )
    for name, started_at in connection.execute(unfinished):
        if name == default_name(started_at):
            return str(name)
    return None


def _this(plan: str, name: str) -> ColumnElement[bool]:
    return and_(table.c.plan == plan, table.c.name == name)


def _night(found: RowMapping, progress: Progress | None = None) -> Night:
    known = progress or (Progress.CONTINUED if found["finished_at"] is None else Progress.COMPLETE)
    return Night(**found, progress=known)
