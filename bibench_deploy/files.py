"""Files that are either whole or not there: written beside, then renamed."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bibench_deploy.errors import OutputPathError, StorageError


def check_output(path: Path) -> None:
    """Refuse an output path before any work is done for it.

    Raises:
        OutputPathError: its folder is missing or can't be written, or something other than a file is in the way.
    """
    if path.is_dir():
        raise OutputPathError("is a folder, not a file", where=str(path), remedy="give the file's name too")
    if path.exists() and not path.is_file():
        raise OutputPathError("not a regular file", where=str(path), remedy="choose another path")
    if not path.parent.is_dir():
        raise OutputPathError("the folder does not exist", where=str(path.parent), remedy="make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputPathError(
            "no permission to write here", where=str(path.parent), remedy="choose another folder"
        )


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is whole, or as it was before.

    Raises:
        OutputPathError: see ``check_output``.
        StorageError: the disk is full or failed.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together: all of them, or none.

    All are whole on the disk before the first takes its name.

    Raises:
        OutputPathError: see ``check_output``.
        StorageError: the disk is full or failed.
    """
    beside: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            check_output(path)
            try:
                beside[path] = _write_beside(path, data)
            except OSError as error:
                raise storage_error(error, path) from error
        for path, written in beside.items():
            try:
                written.replace(path)
            except OSError as error:
                raise storage_error(error, path) from error
    finally:
        for written in beside.values():
            written.unlink(missing_ok=True)


def _write_beside(path: Path, data: bytes) -> Path:
    """A hidden file in the same folder; it is gone if it could not be written whole."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.chmod(0o666 & ~_umask())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def make_folder(path: Path) -> None:
    """Make a folder and those above it, and see that files can be made in it.

    Raises:
        OutputPathError: it can't be made or written.
        StorageError: the disk is full or failed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: Path) -> OutputPathError | StorageError:
    """What an operating system's error on writing means to a user."""
    where = str(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError("the disk is full", where=where, remedy="free some space and run it again")
    if error.errno == errno.EIO:
        return StorageError("input/output error", where=where, remedy="check the disk")
    return OutputPathError(
        f"can't be written ({os.strerror(error.errno or 0)})", where=where, remedy="choose another folder"
    )


def _umask() -> int:
    # mkstemp makes files for the owner alone; a result gets the permissions that any new file would.
    mask = os.umask(0)
    os.umask(mask)
    return mask
