"""The store of a workspace: one JSON object a line, only ever appended to.

A line is whole or absent: rows are written with one ``write`` under a lock on the file and then synced, and a
write that fails is taken back. A line that is damaged all the same (a disk, an editor) is reported with its
number and costs no other row.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from bibench_deploy.errors import InputError, OutputPathError
from bibench_deploy.files import make_folder, storage_error

from .row import SCHEMA, Row

FILE_NAME = "results.jsonl"


@dataclass(frozen=True)
class DamagedLine:
    """A line that is no row. Numbers start at 1, as editors count."""

    number: int
    reason: str


@dataclass(frozen=True)
class Contents:
    """What a store holds, in the order of appending."""

    rows: tuple[Row, ...]
    damaged: tuple[DamagedLine, ...]


class Store:
    """The store in one file.

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of_workspace(cls, workspace: Path) -> Store:
        """The store of a workspace."""
        return cls(workspace / FILE_NAME)

    def append(self, rows: Sequence[Row]) -> None:
        """Append rows: all or none.

        Raises:
            OutputPathError: the file can't be written.
            StorageError: the disk is full or failed; the store is as it was before.
        """
        if not rows:
            return
        data = b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
        try:
            self._append(data)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def check(self) -> None:
        """Refuse a store that can't be written, before any work is done for it.

        Raises:
            OutputPathError: its folder or the file itself can't be written.
            StorageError: the disk is full or failed.
        """
        make_folder(self.path.parent)
        if self.path.exists() and not self.path.is_file():
            raise OutputPathError("not a regular file", where=str(self.path), remedy="move it away")
        if self.path.exists() and not os.access(self.path, os.W_OK):
            raise OutputPathError("no permission to write", where=str(self.path), remedy="chmod u+w it")

    def _append(self, data: bytes) -> None:
        with self._locked() as file:
            before = os.fstat(file).st_size
            # A line that was cut off must not swallow the first of ours.
            torn = before > 0 and os.pread(file, 1, before - 1) != b"\n"
            try:
                _write(file, b"\n" + data if torn else data)
                os.fsync(file)
            except BaseException:
                os.ftruncate(file, before)
                raise

    def read(self) -> Contents:
        """All rows, and the lines that are none; empty where there is no file yet.

        Raises:
            InputError: it is not a file.
            OSError: it can't be read.
        """
        if not self.path.exists():
            return Contents((), ())
        if not self.path.is_file():
            raise InputError("not a file", where=str(self.path), remedy="move it away")
        rows: list[Row] = []
        damaged: list[DamagedLine] = []
        for number, line in enumerate(self.path.read_bytes().split(b"\n"), start=1):
            if not line.strip():
                continue
            parsed = _parse(line)
            if isinstance(parsed, Row):
                rows.append(parsed)
            else:
                damaged.append(DamagedLine(number, parsed))
        return Contents(tuple(rows), tuple(damaged))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)  # which also gives the lock back


def _write(file: int, data: bytes) -> None:
    """One ``write``; the system takes less only when the disk is full or a signal came in between."""
    while data:
        data = data[os.write(file, data) :]


def _parse(line: bytes) -> Row | str:
    """The row of a line, or why it is none."""
    try:
        document = from_json(line)
    except ValueError as error:
        return f"not JSON ({error})"
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        return f"written by a newer version of bibench-deploy (schema {version}, this one reads {SCHEMA})"
    try:
        return Row.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        return f"not a row ({'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']})"
