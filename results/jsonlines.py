"""Rows as lines of JSON: what the store was in version 0.1, and what it is exported as.

A line that is damaged (a disk, an editor, a writer that was killed) is reported with its number and costs no
other row.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from pydantic import ValidationError
from pydantic_core import from_json

from .row import SCHEMA, Row, upgraded

# Rows of schema 1 had no id: theirs follows from their line, so that importing them again adds nothing.
_NAMESPACE = UUID("6fd1b2c1-5c5b-4c39-9d3c-0b4b1e1d0b1e")


@dataclass(frozen=True)
class Damaged:
    """Something that is no row.

    Attributes:
        where: the file and line, or the row of the store.
    """

    where: str
    reason: str


@dataclass(frozen=True)
class Contents:
    """Rows in their order, and what should have been one."""

    rows: tuple[Row, ...]
    damaged: tuple[Damaged, ...] = ()


def read_lines(path: Path) -> Contents:
    """All rows of a file.

    Raises:
        OSError: it can't be read.
    """
    rows: list[Row] = []
    damaged: list[Damaged] = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        parsed = _parse(line)
        if isinstance(parsed, Row):
            rows.append(parsed)
        else:
            damaged.append(Damaged(f"{path.name}:{number}", parsed))
    return Contents(tuple(rows), tuple(damaged))


def line_of(row: Row) -> bytes:
    """A row as one line, its end included."""
    return row.model_dump_json().encode() + b"\n"


def row_from(document: Any, source: bytes) -> Row | str:
    """The row of a parsed document, or why it is none.

    Args:
        source: the document as it was written.
    """
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        return f"written by a newer version of bibench-deploy (schema {version}, this one reads {SCHEMA})"
    if version == 1:
        document = upgraded(document, uuid5(_NAMESPACE, sha256(source.strip()).hexdigest()))
    return valid_row(document)


def valid_row(document: Any) -> Row | str:
    """The row of a document of today's schema, or why it is none."""
    try:
        return Row.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        return f"not a row ({'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']})"


def _parse(line: bytes) -> Row | str:
    try:
        document = from_json(line)
    except ValueError as error:
        return f"not JSON ({error})"
    return row_from(document, line)
