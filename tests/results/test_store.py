"""The store keeps every whole row, whatever happens to the file."""

from __future__ import annotations

import json
import multiprocessing
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bibench_deploy.errors import InputError, OutputPathError, StorageError
from bibench_deploy.results import Row, Store
from support.rows import make_row


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.of_workspace(tmp_path)


def test_no_file_is_an_empty_store(store: Store) -> None:
    assert store.read().rows == ()


def test_rows_come_back_as_they_were_in_the_order_of_appending(store: Store) -> None:
    first, second, third = (make_row(threads=threads) for threads in (1, 2, 4))
    store.append([first, second])
    store.append([third])
    assert store.read().rows == (first, second, third)
    assert store.read().damaged == ()


def test_times_survive_with_their_zone(store: Store) -> None:
    now = datetime(2026, 11, 21, 22, 15, 0, 123456, tzinfo=UTC)
    store.append([make_row(measured_at=now)])
    assert store.read().rows[0].measured_at == now


def test_one_row_is_one_line_of_json_with_its_schema_version(store: Store) -> None:
    store.append([make_row(model="line\nbreak")])
    (line,) = store.path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["schema_version"] == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"schema_version": 1, "measured_at"', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a row"),
        (b"{}", "not a row (measured_at"),
        (b'{"schema_version": 2}', "newer version"),
    ],
    ids=["cut off", "not text", "deep", "no object", "no fields", "newer"],
)
def test_a_damaged_line_is_reported_with_its_number_and_costs_no_other_row(
    store: Store, line: bytes, reason: str
) -> None:
    store.append([make_row(threads=1)])
    with store.path.open("ab") as file:
        file.write(line + b"\n")
    store.append([make_row(threads=2)])
    contents = store.read()
    assert [row.threads for row in contents.rows] == [1, 2]
    (damage,) = contents.damaged
    assert damage.number == 2
    assert reason in damage.reason


def test_a_line_that_was_cut_off_does_not_swallow_the_next(store: Store) -> None:
    store.append([make_row(threads=1)])
    with store.path.open("ab") as file:
        file.write(b'{"schema_version": 1, "mea')
    store.append([make_row(threads=2)])
    contents = store.read()
    assert [row.threads for row in contents.rows] == [1, 2]
    assert [line.number for line in contents.damaged] == [2]


def test_a_field_of_a_later_version_is_no_obstacle(store: Store) -> None:
    document = make_row().model_dump(mode="json") | {"clock_mhz": 1500}
    store.path.write_text(json.dumps(document) + "\n", encoding="utf-8")
    assert store.read().rows == (make_row(),)


def test_a_failed_write_leaves_the_store_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append([make_row(threads=1)])
    before = store.path.read_bytes()

    def write_half_then_fail(file: int, data: bytes, real: object = os.write) -> int:
        monkeypatch.undo()
        os.write(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write_half_then_fail)
    with pytest.raises(StorageError, match="the disk is full"):
        store.append([make_row(threads=2)])
    assert store.path.read_bytes() == before


def append_many(path: Path, threads: int, count: int) -> None:
    for _ in range(count):
        Store(path).append([make_row(threads=threads, samples_ns=list(range(1, 3000)))])


def test_writers_at_the_same_time_lose_nothing(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_many, args=(store.path, n, 25)) for n in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    contents = store.read()
    assert contents.damaged == ()
    assert sorted(row.threads for row in contents.rows) == [1] * 25 + [2] * 25 + [3] * 25


def test_a_folder_in_its_place_is_named(store: Store) -> None:
    store.path.mkdir()
    with pytest.raises(InputError, match="not a file"):
        store.read()
    with pytest.raises(OutputPathError, match="not a regular file"):
        store.check()
    with pytest.raises(OutputPathError, match="Is a directory"):
        store.append([make_row()])


def test_a_row_without_samples_is_no_row() -> None:
    with pytest.raises(ValueError, match="samples_ns"):
        Row.model_validate(make_row().model_dump() | {"samples_ns": []})
