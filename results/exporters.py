"""Rows as files of other tools: CSV, Parquet, JSON, JSON lines, Markdown, SQL. All are written with ``fields``."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bibench_deploy.errors import InputError

from .extras import load
from .fields import SAMPLES, Value, record, sample_records
from .frame import columns
from .jsonlines import line_of
from .listing import to_markdown
from .row import Row
from .store import Store

if TYPE_CHECKING:
    import pyarrow as pa

Writer = Callable[[Sequence[Row]], bytes]


def to_csv(rows: Sequence[Row]) -> bytes:
    """One line a row, with the summary of its samples and without them."""
    return _csv(map(record, rows), list(columns()))


def samples_to_csv(rows: Sequence[Row]) -> bytes:
    """One line a sample."""
    return _csv((line for row in rows for line in sample_records(row)), list(columns(samples=True)))


def to_parquet(rows: Sequence[Row]) -> bytes:
    """One line a row, its samples as a list of int64.

    Raises:
        MissingExtraError, InputError: pyarrow is not installed, or does not fit what else is.
    """
    pa = load("pyarrow", "Parquet")
    records = [record(row) for row in rows]
    arrays = {name: pa.array([found[name] for found in records], _arrow(name)) for name in columns()}
    arrays[SAMPLES] = pa.array([row.samples_ns for row in rows], pa.list_(pa.int64()))
    return _parquet(pa.table(arrays))


def samples_to_parquet(rows: Sequence[Row]) -> bytes:
    """One line a sample.

    Raises:
        MissingExtraError, InputError: pyarrow is not installed, or does not fit what else is.
    """
    pa = load("pyarrow", "Parquet")
    names = columns(samples=True)
    lines = [line for row in rows for line in sample_records(row)]
    return _parquet(
        pa.table({name: pa.array([line[name] for line in lines], _arrow(name, True)) for name in names})
    )


def to_jsonlines(rows: Sequence[Row]) -> bytes:
    """One object a line, samples included."""
    return b"".join(map(line_of, rows))


def to_json(rows: Sequence[Row]) -> bytes:
    """One array of objects, samples included."""
    return b"[" + b",\n ".join(line_of(row).strip() for row in rows) + b"]\n"


def to_sql(rows: Sequence[Row]) -> bytes:
    """Statements for SQLite that make a store of these rows out of an empty file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.sqlite"
        store = Store.at(str(file))
        store.check()
        store.append(rows)
        with closing(sqlite3.connect(file)) as connection:
            return "".join(f"{statement}\n" for statement in connection.iterdump()).encode()


FORMATS: Mapping[str, Writer] = {
    "csv": to_csv,
    "parquet": to_parquet,
    "jsonl": to_jsonlines,
    "json": to_json,
    "md": to_markdown,
    "sql": to_sql,
}
SAMPLE_FORMATS: Mapping[str, Writer] = {"csv": samples_to_csv, "parquet": samples_to_parquet}
# Formats that hold no single sample.
WITHOUT_SAMPLES = ("csv", "md")


def writer_of(path: Path, formats: Mapping[str, Writer] = FORMATS) -> Writer:
    """The format that a file's name asks for.

    Raises:
        InputError: none of these.
    """
    name = path.suffix.removeprefix(".").lower()
    if name not in formats:
        raise InputError(
            f"'{path.suffix}' is no format of rows" if path.suffix else "its name has no suffix",
            where=str(path),
            remedy=f"end its name with one of .{', .'.join(formats)}",
        )
    return formats[name]


def _csv(records: Iterable[Mapping[str, Value]], names: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_text(found[name]) for name in names] for found in records)
    return text.getvalue().encode()


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _arrow(name: str, samples: bool = False) -> pa.DataType:
    pa = load("pyarrow", "Parquet")
    match columns(samples)[name]:
        case "whole":
            return pa.int64()
        case "real":
            return pa.float64()
        case "truth":
            return pa.bool_()
        case "moment":
            return pa.timestamp("us", tz="UTC")
    return pa.string()


def _parquet(table: pa.Table) -> bytes:
    data = io.BytesIO()
    load("pyarrow.parquet", "Parquet").write_table(table, data, compression="zstd")
    return data.getvalue()
