"""What is wrong with a store is said in one message that names it, with the exit code of its kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bibench_deploy.errors import BibenchError, InputError, OutputPathError, StoreError
from bibench_deploy.results import Store
from support.command import ORDINARY, bibench, is_clean
from support.rows import make_row


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with one row."""
    path = tmp_path / "store.sqlite"
    Store.at(str(path)).append([make_row()])
    return path


@pytest.fixture
def locked(file: Path) -> Iterator[Path]:
    """A store that another process writes and never finishes."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield file
    other.close()


def test_a_locked_store(locked: Path) -> None:
    for use in (lambda store: store.read(), lambda store: store.append([make_row()])):
        with pytest.raises(StoreError, match="another process has locked the store") as caught:
            use(Store.at(str(locked), busy_s=0.05))
        assert caught.value.exit_code == 3
        assert str(locked) in str(caught.value)


def test_a_damaged_row_costs_no_other(file: Path) -> None:
    good = make_row()
    Store.at(str(file)).append([good])
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE measurement SET samples = x'00' WHERE seq = 1")
    contents = Store.at(str(file)).read()
    assert contents.rows == (good,)
    assert [damage.where for damage in contents.damaged] == ["row 1"]
    assert "samples are damaged" in contents.damaged[0].reason


CASES: list[tuple[bytes, type[BibenchError], str]] = [
    (b"this is a text and no database " * 200, InputError, "no SQLite database"),
    (b"SQLite format 3\0" + b"\xff" * 4000, BibenchError, "no SQLite database|damaged"),
]


@pytest.mark.parametrize(("data", "kind", "message"), CASES, ids=["a text", "garbage"])
def test_a_file_that_is_no_store(tmp_path: Path, data: bytes, kind: type[BibenchError], message: str) -> None:
    file = tmp_path / "store.sqlite"
    file.write_bytes(data)
    for use in (lambda store: store.read(), lambda store: store.append([make_row()])):
        with pytest.raises(kind, match=message):
            use(Store.at(str(file)))
    assert file.read_bytes() == data


def test_a_damaged_file(file: Path) -> None:
    Store.at(str(file)).append([make_row(samples_ns=range(1, 9_000_000, 271)) for _ in range(8)])
    data = bytearray(file.read_bytes())
    data[8192:-4096] = b"\xaa" * (len(data) - 12288)
    file.write_bytes(data)
    with pytest.raises(BibenchError, match="damaged"):
        Store.at(str(file)).read()


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    store = Store.of_workspace(tmp_path)
    (tmp_path / "results.sqlite").mkdir()
    for use in (store.check, store.read, lambda: store.append([make_row()])):
        with pytest.raises(OutputPathError, match="not a regular file"):
            use()


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OutputPathError, match="can't be opened"):
        Store.at(str(tmp_path / "absent" / "store.sqlite")).append([make_row()])


def test_a_store_that_may_only_be_read_is_read_and_not_written(file: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    done = bibench("results", "export", "-o", more, "--store", file, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file.chmod(0o444)
    done = bibench("results", "list", "--store", file, cwd=tmp_path, prefix=ORDINARY)
    assert done.returncode == 0, done.stderr
    done = bibench("results", "import", more, "--store", file, cwd=tmp_path, prefix=ORDINARY)
    assert (done.returncode, is_clean(done.stderr)) == (2, True)
    assert "store.sqlite: no permission to write" in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("mysql+pymysql://me@localhost/lab", 2, "driver of 'mysql+pymysql' is not installed"),
        ("nosuch://host/lab", 2, "'nosuch' is no known database"),
        ("sqlite://", 2, "a store in memory"),
        ("postgresql://me:secret@nowhere.invalid/lab", 3, "can't be reached"),
        ("postgresql://me:secret@127.0.0.1:1/lab", 3, "can't be reached"),
        ("absent/store.sqlite", 2, "holds no rows"),
    ],
)
def test_a_store_that_can_not_be_had(tmp_path: Path, url: str, code: int, said: str) -> None:
    done = bibench("results", "list", "--store", url, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "what to do" in done.stderr
    assert "secret" not in done.stderr
    assert is_clean(done.stderr)
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_postgresql_without_its_driver_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError(name='psycopg')", encoding="utf-8")
    done = bibench("results", "list", "--store", "postgresql://h/lab", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "needs the extra 'postgres'" in done.stderr
