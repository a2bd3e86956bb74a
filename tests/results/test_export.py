"""Rows leave the store in other tools' formats and come back as they were."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from bibench_deploy import api
from bibench_deploy.errors import InputError
from bibench_deploy.results import Selection, Store
from bibench_deploy.results.exporters import (
    FORMATS,
    SAMPLE_FORMATS,
    samples_to_csv,
    to_csv,
    to_sql,
    writer_of,
)
from bibench_deploy.results.extras import load
from bibench_deploy.results.fields import FIELDS, record
from bibench_deploy.results.frame import frame
from bibench_deploy.results.importers import read_source
from bibench_deploy.results.listing import to_markdown
from bibench_deploy.results.row import Row
from bibench_deploy.runners.context import RunContext
from support.rows import MS, make_row

# Texts that formats stumble over, facts of every kind, and what is unknown.
ROWS = (
    make_row(),
    make_row(
        id=UUID("a" * 32),
        measured_at=datetime(2026, 11, 21, 1, 2, 3, 456789, tzinfo=UTC),
        session="a night",
        model='a "quoted", one|line\nand another',
        changes=["pads +1", "größer; kleiner"],
        verified=False,
        verified_on_device=True,
        threads=4,
        cpus="0-3",
        kernel=None,
        verdict="unstable",
        reasons=["the clock moved"],
        metadata={"bibench.accuracy": "0.9186", "bibench.arch": "vgg-tiny"},
        inputs=[[1, 3, 32, 32]],
        context=RunContext(
            clock_mhz_before={0: 1500.0, 1: 600.5}, load_before=0.0, page_faults_minor=0, throttle_bits=2**19
        ),
        samples_ns=[1, 2**62, 17],
        turns=[2, 1],
    ),
    make_row(threads=8, state="not_applicable", reasons=["one thread only"], samples_ns=[]),
)


def has(module: str) -> bool:
    try:
        load(module, "a test")
    except InputError:
        return False
    return True


needs_pandas = pytest.mark.skipif(not has("pandas"), reason="needs the extra data: pandas can't be imported")
needs_pyarrow = pytest.mark.skipif(
    not has("pyarrow"), reason="needs the extra data: pyarrow can't be imported"
)


@pytest.mark.parametrize("suffix", ["jsonl", "json", pytest.param("parquet", marks=needs_pyarrow)])
def test_what_was_exported_is_imported_as_it_was(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"rows.{suffix}"
    file.write_bytes(FORMATS[suffix](ROWS))
    contents = read_source(str(file))
    assert (contents.rows, contents.damaged) == (ROWS, ())


@pytest.mark.parametrize("suffix", ["csv", pytest.param("parquet", marks=needs_pyarrow)])
def test_a_csv_comes_back_with_its_samples(tmp_path: Path, suffix: str) -> None:
    rows, samples = tmp_path / "rows.csv", tmp_path / f"samples.{suffix}"
    rows.write_bytes(to_csv(ROWS))
    samples.write_bytes(SAMPLE_FORMATS[suffix](ROWS))
    contents = read_source(str(rows), samples)
    assert (contents.rows, contents.damaged) == (ROWS, ())


def test_a_csv_without_its_samples_is_no_measurement(tmp_path: Path) -> None:
    rows, samples = tmp_path / "rows.csv", tmp_path / "samples.csv"
    rows.write_bytes(to_csv(ROWS))
    with pytest.raises(InputError, match="holds no samples"):
        read_source(str(rows))
    samples.write_bytes(samples_to_csv(ROWS[:1]))
    contents = read_source(str(rows), samples)
    assert contents.rows == (ROWS[0], ROWS[2])
    assert [damage.where for damage in contents.damaged] == ["rows.csv, row 2"]


def test_sql_makes_a_store(tmp_path: Path) -> None:
    file = tmp_path / "made.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(to_sql(ROWS).decode())
    assert read_source(str(file)).rows == ROWS


def test_importing_again_adds_nothing(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(FORMATS["jsonl"](ROWS))
    assert store.append(read_source(str(file)).rows).added == len(ROWS)
    again = store.append(read_source(str(file)).rows)
    assert (again.added, again.present, again.differing) == (0, len(ROWS), ())
    assert store.read().rows == ROWS


def test_a_csv_has_one_line_a_row_and_empty_is_unknown() -> None:
    found = list(csv.DictReader(io.StringIO(to_csv(ROWS).decode(), newline="")))
    assert len(found) == len(ROWS)
    first, second, third = found
    assert (first["session"], first["context_load_before"], second["context_load_before"]) == (
        "",
        "0.1",
        "0.0",
    )
    assert (first["median_ms"], first["runs"], third["median_ms"], third["runs"]) == ("10.0", "30", "", "0")
    assert (second["verified"], second["verified_on_device"], first["verified_on_device"]) == (
        "false",
        "true",
        "",
    )
    assert json.loads(second["context_clock_mhz_before"]) == {"0": 1500.0, "1": 600.5}


def test_long_form_has_one_line_a_run_in_its_order() -> None:
    found = list(csv.DictReader(io.StringIO(samples_to_csv(ROWS[1:2]).decode())))
    assert [(line["run"], line["latency_ns"]) for line in found] == [
        ("1", "1"),
        ("2", str(2**62)),
        ("3", "17"),
    ]
    assert {line["id"] for line in found} == {str(ROWS[1].id)}


def test_markdown_shows_what_differs_and_says_what_does_not() -> None:
    rows = [make_row(threads=n, samples_ns=[12 * MS // n] * 30) for n in (1, 2)]
    above, empty, head, rule, *lines = to_markdown(rows).decode().splitlines()
    assert "device local, engine larq, model resnet18, variant bnn" in above
    assert empty == ""
    assert head == "| id | measured at | threads | median ms |"
    assert rule == "| --- | --- | --- | --- |"
    assert [line.split(" | ")[2:] for line in lines] == [["1", "12.0 |"], ["2", "6.00 |"]]
    assert "one\\|line and another" in to_markdown(ROWS).decode()


def test_every_fact_of_a_row_is_a_field() -> None:
    assert {field.path[0] for field in FIELDS} == set(Row.model_fields) - {"samples_ns"}
    assert len({field.name for field in FIELDS}) == len(FIELDS)
    kinds = {field.name: field.kind for field in FIELDS}
    expected = {
        "schema_version": "whole",
        "id": "text",
        "measured_at": "moment",
        "state": "text",
        "verified_on_device": "truth",
        "host_cores": "whole",
        "context_load_before": "real",
        "context_throttle_bits": "whole",
        "context_clock_mhz_before": "json",
        "changes": "json",
    }
    assert {name: kinds[name] for name in expected} == expected
    assert set(kinds) <= set(record(ROWS[0]))


@needs_pandas
def test_a_data_frame_has_types_and_keeps_unknown_apart_from_zero() -> None:
    found = frame(ROWS)
    assert list(found["threads"]) == [1, 4, 8]
    assert {name: str(found.dtypes[name]) for name in ("threads", "verified_on_device", "measured_at")} == {
        "threads": "Int64",
        "verified_on_device": "boolean",
        "measured_at": "datetime64[us, UTC]",
    }
    assert list(found["context_page_faults_minor"].isna()) == [True, False, True]
    assert found["context_page_faults_minor"][1] == 0
    assert list(found["median_ms"].isna()) == [False, False, True]
    long = frame(ROWS, samples=True)
    assert len(long) == 33
    assert list(long.columns) == [
        "id",
        "device",
        "engine",
        "model",
        "variant",
        "threads",
        "cpus",
        "run",
        "latency_ns",
    ]
    assert len(frame([])) == 0


@needs_pandas
def test_python_reads_a_part_of_a_store_and_refuses_one_that_is_not_there(tmp_path: Path) -> None:
    store = tmp_path / "lab.sqlite"
    Store.at(str(store)).append(ROWS)
    assert list(api.results(store, selection=Selection(threads=(4, 8)))["threads"]) == [4, 8]
    with pytest.raises(InputError, match="there is no such store"):
        api.results(tmp_path / "lap.sqlite")
    assert not (tmp_path / "lap.sqlite").exists()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("absent.jsonl", None, "no such file"),
        ("absent.sqlite", None, "no such store"),
        ("rows.xlsx", b"", "can't be imported from '.xlsx'"),
        ("rows.json", b"{", "not JSON"),
        ("rows.json", b"{}", "not a list of rows"),
        pytest.param("rows.parquet", b"PAR1", "not a Parquet file", marks=needs_pyarrow),
        ("rows.csv", b"\xff\xfe", "holds no samples"),
    ],
)
def test_what_can_not_be_imported(tmp_path: Path, name: str, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said) as caught:
        read_source(str(tmp_path / name))
    assert name in str(caught.value)


@pytest.mark.parametrize("text", ["id,run\n1,2\n", "id,run,latency_ns\n1,x,3\n", "\xff"])
def test_samples_that_are_none(tmp_path: Path, text: str) -> None:
    rows, samples = tmp_path / "rows.csv", tmp_path / "samples.csv"
    rows.write_bytes(to_csv(ROWS))
    samples.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"samples\.csv"):
        read_source(str(rows), samples)


@pytest.mark.parametrize("name", ["rows", "rows.xlsx", ".csv"])
def test_a_name_that_says_no_format(name: str) -> None:
    with pytest.raises(InputError, match=r"format|suffix"):
        writer_of(Path(name))
