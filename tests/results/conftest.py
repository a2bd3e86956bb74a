"""Stores of both kinds: every rule of the store holds for SQLite and for PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from bibench_deploy.results import Store
from support import postgres

MakeUrl = Callable[[], str]


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[MakeUrl]:
    """Makes an empty database and returns its URL."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt install postgresql)")
    psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")
    numbers = count()
    with postgres.server() as url:

        def make() -> str:
            name = f"test{next(numbers)}"
            with psycopg.connect(url.format("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return url.format(name)

        yield make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "store.sqlite")
    make: MakeUrl = request.getfixturevalue("postgres_databases")
    return make()


@pytest.fixture
def store(url: str) -> Store:
    """An empty store of each kind."""
    return Store.at(url)
