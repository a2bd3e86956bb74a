"""A sweep that was interrupted is continued by the same command: which rows it has already.

While a sweep is under way, the workspace holds ``.sweeps/<key>.json`` with its id; the key is a hash of all that
the command is to measure. Rows bear the id as their ``session``, so the store alone says what is done. The file
goes when nothing is left to be measured.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from bibench_deploy.files import make_folder, storage_error, write_atomically
from bibench_deploy.results import Row

FOLDER = ".sweeps"
#: A model and its twin are compared: measured longer apart than this, they are measured again.
MOST_AGE = timedelta(hours=24)

#: Device, sha256 of the artefact, threads.
Key = tuple[str, str, int]


@dataclass
class Sweep:
    """What one command measures, perhaps in several runs of it.

    Attributes:
        id: the rows' ``session``.
        started_at: of its first run.
        continued: whether there was one.
        path: its file; None where another process is at the same sweep right now, and this one is another.
    """

    id: str
    started_at: datetime
    continued: bool
    path: Path | None
    _lock: int | None = None

    def done(self, rows: Iterable[Row]) -> dict[Key, Row]:
        """Of a store's rows those that need not be measured again; the last of each."""
        return {key_of(row): row for row in rows if row.session == self.id}

    def finish(self) -> None:
        """Nothing is left: the same command starts anew."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Let another process continue it."""
        if self._lock is not None:
            os.close(self._lock)  # which also gives the lock back
            self._lock = None


def key_of(row: Row) -> Key:
    """Which of a sweep's jobs a row is of."""
    return row.device, row.sha256, row.threads


def open_sweep(
    workspace: Path, jobs: Sequence[Key], options: dict[str, Any], fresh: bool, now: datetime | None = None
) -> Sweep:
    """The sweep of a command in a workspace: the interrupted one, or a new one.

    Args:
        jobs: all that is to be measured, options: how; another of either is another sweep.
        fresh: forget what was interrupted.
        now: the present time by default.

    Raises:
        OutputPathError, StorageError: the workspace can't be written.
    """
    now = now or datetime.now(UTC)
    text = json.dumps([sorted(jobs), options], sort_keys=True)
    folder = workspace / FOLDER
    make_folder(folder)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    lock = _locked(path.with_suffix(".lock"))
    if lock is None:
        return Sweep(uuid4().hex, now, False, None)
    kept = None if fresh else _kept(path, now)
    if kept is not None:
        return Sweep(kept[0], kept[1], True, path, lock)
    sweep = Sweep(uuid4().hex, now, False, path, lock)
    write_atomically(path, json.dumps({"sweep": sweep.id, "started_at": now.isoformat()}).encode() + b"\n")
    return sweep


def _kept(path: Path, now: datetime) -> tuple[str, datetime] | None:
    """Id and start of the interrupted sweep; None without one, and for a damaged or old file, which is replaced."""
    try:
        document = json.loads(path.read_bytes())
        found = str(document["sweep"]), datetime.fromisoformat(document["started_at"])
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: a new sweep replaces it
        return None
    return found if timedelta(0) <= now - found[1] <= MOST_AGE else None


def _locked(path: Path) -> int | None:
    """An open file that is locked until it is closed; None where another process has it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system knows no locks: then nothing is continued
        os.close(file)
        return None
    return file
