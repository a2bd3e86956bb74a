"""What version 0.1 kept in results.jsonl is taken over, once, and nothing of it is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.results import Store
from bibench_deploy.results.jsonlines import line_of, read_lines
from support.rows import MS, make_row


def old_document(**facts: Any) -> dict[str, Any]:
    """A row as version 0.1 wrote it."""
    return {
        "schema_version": 1,
        "measured_at": "2026-11-21T22:15:00.123456Z",
        "tool": "0.1.0",
        "device": "local",
        "host": {"cpu": "a", "arch": "aarch64", "cores": 4, "system": "Linux 6.1", "governor": "ondemand"},
        "engine": "larq",
        "versions": {"larq-compute-engine": "0.16.0"},
        "model": "resnet18",
        "variant": "bnn",
        "file": "resnet18.larq.tflite",
        "sha256": "b" * 64,
        "source_sha256": "0" * 64,
        "size_bytes": 1_000_000,
        "binary_ops": 19,
        "verified": True,
        "changes": [],
        "threads": 1,
        "kernel": "indirect",
        "load_before": 0.5,
        "load_after": None,
        "warmup_runs": 3,
        "samples_ns": [10 * MS] * 30,
    } | facts


def old_line(**facts: Any) -> bytes:
    return json.dumps(old_document(**facts)).encode() + b"\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_rows_are_taken_over_with_their_order_and_their_meaning(file: Path) -> None:
    file.write_bytes(old_line(threads=2) + old_line(threads=1))
    rows = Store.of_workspace(file.parent).read().rows
    assert [row.threads for row in rows] == [2, 1]
    assert (rows[0].schema_version, rows[0].samples_ns) == (2, [10 * MS] * 30)
    context = rows[0].context
    assert (context.governor, context.load_before, context.load_after) == ("ondemand", 0.5, None)


def test_it_happens_once_and_the_file_stays(file: Path) -> None:
    before = old_line(threads=1) + old_line(threads=2)
    file.write_bytes(before)
    for _ in range(3):
        store = Store.of_workspace(file.parent)
        store.append([make_row(threads=8)])
    assert [row.threads for row in store.read().rows] == [1, 2, 8, 8, 8]
    assert file.read_bytes() == before


def test_pruned_rows_do_not_come_back(file: Path) -> None:
    file.write_bytes(old_line())
    store = Store.of_workspace(file.parent)
    store.remove(row.id for row in store.read().rows)
    assert Store.of_workspace(file.parent).read().rows == ()


def test_what_an_old_version_adds_later_is_taken_over_too(file: Path) -> None:
    file.write_bytes(old_line(threads=1))
    assert len(Store.of_workspace(file.parent).read().rows) == 1
    file.write_bytes(old_line(threads=1) + old_line(threads=2))
    assert [row.threads for row in Store.of_workspace(file.parent).read().rows] == [1, 2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"schema_version": 1, "measured_at"', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a row"),
        (b"{}", "not a row (measured_at"),
        (b'{"schema_version": 1}', "not a row (measured_at"),
        (b'{"schema_version": 1, "host": 3}', "not a row (measured_at"),
        (b'{"schema_version": 3}', "newer version"),
    ],
    ids=["cut off", "not text", "deep", "no object", "no fields", "old", "wrong host", "newer"],
)
def test_a_damaged_line_is_reported_with_its_number_and_costs_no_other_row(
    file: Path, line: bytes, reason: str
) -> None:
    file.write_bytes(old_line(threads=1) + line + b"\n" + old_line(threads=2))
    for _ in range(2):  # as long as the file lies there
        contents = Store.of_workspace(file.parent).read()
        assert [row.threads for row in contents.rows] == [1, 2]
        (damage,) = contents.damaged
        assert damage.where == "results.jsonl:2"
        assert reason in damage.reason
    file.unlink()
    assert Store.of_workspace(file.parent).read().damaged == ()


def test_a_repaired_line_is_taken_over(file: Path) -> None:
    file.write_bytes(b"{\n" + old_line(threads=1))
    assert len(Store.of_workspace(file.parent).read().damaged) == 1
    file.write_bytes(old_line(threads=2) + old_line(threads=1))
    contents = Store.of_workspace(file.parent).read()
    assert (sorted(row.threads for row in contents.rows), contents.damaged) == ([1, 2], ())


def test_a_field_of_a_later_version_is_no_obstacle(file: Path) -> None:
    row = make_row()
    document = json.loads(line_of(row)) | {"humidity": 0.4}
    file.write_text(json.dumps(document) + "\n", encoding="utf-8")
    assert read_lines(file).rows == (row,)


def test_reading_an_empty_workspace_makes_nothing(tmp_path: Path) -> None:
    assert Store.of_workspace(tmp_path).read().rows == ()
    assert list(tmp_path.iterdir()) == []
