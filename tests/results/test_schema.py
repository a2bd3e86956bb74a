"""Versions of the store: an older one is brought up, a newer one is refused, and neither half."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, inspect, select, text

from bibench_deploy.errors import InputError, StoreError
from bibench_deploy.results import Store
from bibench_deploy.results.database import open_engine, parse_url, transaction
from bibench_deploy.results.nights import open_night
from bibench_deploy.results.queue import JobSpec, Queue
from bibench_deploy.results.schema import (
    STEPS,
    VERSION,
    Step,
    metadata,
    night_devices,
    night_jobs,
    nights,
    prepare,
    schema,
    version_of,
)
from support.rows import make_row


def add_column(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE measurement ADD COLUMN humidity FLOAT"))


def fail(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE measurement ADD COLUMN colour FLOAT"))
    connection.execute(text("SELECT * FROM absent"))


def count_rows(connection: Connection) -> None:
    """A step that depends on the one before it."""
    connection.execute(text("UPDATE measurement SET humidity = 1"))


def brought_up(url: str, steps: Mapping[int, Step]) -> None:
    with transaction(open_engine(parse_url(url)), url, writes=True) as connection:
        prepare(connection, url, steps)


def versions(url: str) -> list[int]:
    with transaction(open_engine(parse_url(url)), url, writes=False) as connection:
        return list(connection.scalars(select(schema.c.version).order_by(schema.c.version)))


def columns(url: str) -> set[str]:
    return {column["name"] for column in inspect(open_engine(parse_url(url))).get_columns("measurement")}


def test_a_new_store_has_todays_tables_and_version(url: str) -> None:
    Store.at(url).check()
    found = inspect(open_engine(parse_url(url)))
    for table in metadata.sorted_tables:
        assert {column["name"] for column in found.get_columns(table.name)} == {c.name for c in table.columns}
    assert versions(url) == [VERSION]


def test_steps_are_taken_in_order_and_rows_are_kept(url: str) -> None:
    row = make_row()
    Store.at(url).append([row])
    later = {VERSION + 2: count_rows, VERSION + 1: add_column}
    brought_up(url, {**STEPS, **later})
    assert "humidity" in columns(url)
    assert versions(url) == [VERSION, VERSION + 1, VERSION + 2]
    brought_up(url, {**STEPS, **later})  # nothing is left to do
    with transaction(open_engine(parse_url(url)), url, writes=False) as connection:
        assert connection.scalars(text("SELECT humidity FROM measurement")).all() == [1.0]


def test_a_step_that_fails_leaves_the_store_as_it_was(url: str) -> None:
    row = make_row()
    Store.at(url).append([row])
    with pytest.raises(StoreError, match="absent"):
        brought_up(url, {**STEPS, VERSION + 1: add_column, VERSION + 2: fail})
    assert not columns(url) & {"humidity", "colour"}
    assert versions(url) == [VERSION]
    assert Store.at(url).read().rows == (row,)


def test_a_newer_store_is_refused_and_left_alone(url: str) -> None:
    Store.at(url).append([make_row()])
    brought_up(url, {**STEPS, VERSION + 1: add_column})
    for use in (
        lambda store: store.read(),
        lambda store: store.check(),
        lambda store: store.append([make_row()]),
    ):
        with pytest.raises(InputError, match=f"newer version of bibench-deploy \\(schema {VERSION + 1}"):
            use(Store.at(url))


def test_every_version_has_its_step() -> None:
    assert sorted(STEPS) == list(range(2, VERSION + 1))


def test_a_database_of_something_else_gets_tables_beside_its_own(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    store = Store.at(str(file))
    assert store.read().rows == ()
    with transaction(open_engine(parse_url(str(file))), "", writes=False) as opened:
        assert version_of(opened) is None  # reading made nothing
    store.append([make_row()])
    assert len(store.read().rows) == 1


def tables(url: str) -> dict[str, tuple[set[str], set[str | None]]]:
    """Columns and indexes of each table."""
    found = inspect(open_engine(parse_url(url)))
    return {
        name: (
            {column["name"] for column in found.get_columns(name)},
            {index["name"] for index in found.get_indexes(name)},
        )
        for name in found.get_table_names()
    }


@pytest.mark.parametrize(("version", "turns"), [(1, []), (4, [10, 20])])
def test_an_older_store_is_brought_up_when_it_is_opened(
    tmp_path: Path, version: int, turns: list[int]
) -> None:
    file = tmp_path / "store.sqlite"
    dump = Path(__file__).parents[1] / "fixtures" / "results" / f"store_v{version}.sql"
    with sqlite3.connect(file) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
    (row,) = Store.at(str(file)).read().rows
    assert row == make_row(id=UUID("1" * 32), session="kept", reasons=["a reason"], turns=turns)
    Store.at(str(file)).append([make_row(turns=[10, 20])])
    assert [row.turns for row in Store.at(str(file)).read().rows] == [turns, [10, 20]]
    Store.at(str(tmp_path / "fresh.sqlite")).check()
    assert tables(str(file)) == tables(str(tmp_path / "fresh.sqlite"))
    assert versions(str(file)) == list(range(version, VERSION + 1))


def test_the_nights_come_to_a_store_that_had_none(url: str) -> None:
    """On both databases: the tables of a store of version 4 are those of today without the nights."""
    row = make_row()
    Store.at(url).append([row])
    with transaction(open_engine(parse_url(url)), url, writes=True) as connection:
        metadata.drop_all(connection, [nights, night_jobs, night_devices])
        connection.execute(text("ALTER TABLE measurement DROP COLUMN block"))
        connection.execute(schema.update().values(version=4))
    store = Store.at(url)
    opened = open_night(store, "lab", None, "p", None, "host", datetime.now(UTC))
    queue = Queue(store, "lab", opened.name, "us")
    assert queue.add([JobSpec("rpi4", "native", "net", "bnn", "s", "e", 1, None, "net")]) == 1
    assert len(queue.claim("rpi4")) == 1
    assert store.read().rows == (row,)
    assert versions(url) == [4, 5, 6]
