"""Rows from files that ``exporters`` wrote, and from other stores."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from bibench_deploy.errors import InputError

from .extras import load
from .fields import SAMPLES, document
from .jsonlines import Contents, Damaged, read_lines, row_from
from .row import Row
from .store import Store

Samples = Mapping[str, Sequence[int]]

_STORES = (".sqlite", ".db", ".sqlite3")
_AGAIN = "export it again with 'results export'"


def read_source(source: str, samples: Path | None = None) -> Contents:
    """The rows of an exported file, or of a store by its URL or file.

    Args:
        samples: the file of samples in long form that belongs to rows in CSV.

    Raises:
        InputError: no such file, another format, or not what its name says.
        MissingExtraError: Parquet without pyarrow, PostgreSQL without its driver.
        StoreError: the store can't be read.
    """
    path = Path(source)
    if "://" in source or path.suffix.lower() in _STORES:
        store = Store.at(source)
        if store.path and not store.path.is_file():
            raise InputError("there is no such store", where=store.where, remedy="check the path")
        return store.read()
    if not path.is_file():
        raise InputError("there is no such file", where=source, remedy="check the path")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"rows can't be imported from '{path.suffix}'",
            where=source,
            remedy=f"give a store, or a file that ends in {', '.join(_READERS)}",
        )
    return reader(path, samples)


def _jsonlines(path: Path, samples: Path | None) -> Contents:
    return read_lines(path)


def _json(path: Path, samples: Path | None) -> Contents:
    try:
        documents = from_json(path.read_bytes())
    except ValueError as error:
        raise InputError(f"not JSON ({error})", where=str(path), remedy=_AGAIN) from error
    if not isinstance(documents, list):
        raise InputError("not a list of rows", where=str(path), remedy="export it with 'results export'")
    return _contents(path, (row_from(found, to_json(found)) for found in documents))


def _parquet(path: Path, samples: Path | None) -> Contents:
    return _tabular(path, _parquet_records(path), _samples_of(samples))


def _csv(path: Path, samples: Path | None) -> Contents:
    if samples is None:
        raise InputError(
            "a CSV of rows holds no samples",
            where=str(path),
            remedy="give what 'results export --samples FILE' wrote with --samples, or import JSON lines",
        )
    return _tabular(path, _csv_records(path), _samples_of(samples))


_READERS: Mapping[str, Callable[[Path, Path | None], Contents]] = {
    ".jsonl": _jsonlines,
    ".json": _json,
    ".parquet": _parquet,
    ".csv": _csv,
}


def _tabular(path: Path, records: Iterable[Mapping[str, Any]], samples: Samples) -> Contents:
    def rows() -> Iterable[Row | str]:
        for found in records:
            try:
                latencies = found.get(SAMPLES)
                latencies = samples.get(str(found.get("id")), []) if latencies is None else latencies
                built = document(found, latencies)
            except ValueError as error:
                yield f"not a row ({error})"
            else:
                yield row_from(_numbered(built), b"")

    return _contents(path, rows())


def _numbered(built: dict[str, Any]) -> dict[str, Any]:
    # Its schema version decides what a row means, so it is a number already, or what follows says that it is none.
    version = str(built.get("schema_version", ""))
    return built | ({"schema_version": int(version)} if version.isdecimal() else {})


def _samples_of(path: Path | None) -> Samples:
    """Samples in long form by the id of their row, in the order of their runs."""
    if path is None:
        return {}
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), remedy="check the path")
    records = _parquet_records(path) if path.suffix.lower() == ".parquet" else _csv_records(path)
    found: dict[str, list[tuple[int, int]]] = {}
    try:
        for line in records:
            found.setdefault(line["id"], []).append((int(line["run"]), int(line["latency_ns"])))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"not samples in long form ({type(error).__name__}: {error})",
            where=str(path),
            remedy="it needs the columns id, run and latency_ns, as 'results export --samples' writes them",
        ) from error
    return {key: [latency for _, latency in sorted(runs)] for key, runs in found.items()}


def _csv_records(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a CSV ({error})", where=str(path), remedy=_AGAIN) from error


def _parquet_records(path: Path) -> list[dict[str, Any]]:
    arrow, parquet = load("pyarrow", "Parquet"), load("pyarrow.parquet", "Parquet")
    try:
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"not a Parquet file ({error})", where=str(path), remedy=_AGAIN) from error
    return found


def _contents(path: Path, found: Iterable[Row | str]) -> Contents:
    rows: list[Row] = []
    damaged: list[Damaged] = []
    for number, row in enumerate(found, start=1):
        if isinstance(row, Row):
            rows.append(row)
        else:
            damaged.append(Damaged(f"{path.name}, row {number}", row))
    return Contents(tuple(rows), tuple(damaged))
