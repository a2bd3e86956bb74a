"""Files that are either whole or not there: written beside, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from bibench_deploy.errors import OutputPathError, StorageError

#: What a user does about a place that can't be written, where he named it himself.
ELSEWHERE = "choose another folder"


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


def check_folder(path: Path, mark: str) -> None:
    """Refuse a folder that ``replace_folder`` would refuse.

    Raises:
        OutputPathError: it holds files but not the one called ``mark``, so it is none of ours; it is a file; or the
            folder above it is missing or can't be written.
    """
    if path.exists() and not path.is_dir():
        raise OutputPathError("is a file, not a folder", where=str(path), remedy="choose another name")
    if path.is_dir() and any(path.iterdir()) and not (path / mark).is_file():
        raise OutputPathError(
            "holds other files, which would be lost",
            where=str(path),
            remedy="choose a folder that is empty or does not exist",
        )
    above = path.resolve().parent
    if not above.is_dir():
        raise OutputPathError("the folder does not exist", where=str(above), remedy="make it first")
    if not os.access(above, os.W_OK):
        raise OutputPathError("no permission to write here", where=str(above), remedy="choose another folder")


def replace_folder(path: Path, files: Iterable[tuple[str, bytes]], mark: str) -> None:
    """Put a folder of these files in the place of one that an earlier call made, of which nothing stays.

    It is written beside and takes its name when it is whole; the old one steps aside a moment before. If making the
    files fails, the old one stays as it was.

    Args:
        files: paths within the folder, and what they hold.
        mark: name of an empty file that tells a folder of ours from any other.

    Raises:
        OutputPathError: see ``check_folder``.
        StorageError: the disk is full or failed.
    """
    check_folder(path, mark)
    place = path.resolve()  # a link stays a link
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".tmp", dir=place.parent))
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        beside.chmod(place.stat().st_mode if place.is_dir() else 0o777 & ~_umask())
        write_atomically(beside / mark, b"")
        for name, data in files:
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(beside / name, data)
        _swap(beside, place)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _swap(new: Path, place: Path) -> None:
    """Rename ``new`` to ``place``; what was there is ``new`` afterwards, or there again if that failed."""
    if not place.exists():
        new.rename(place)
        return
    old = new.with_suffix(".old")
    place.rename(old)
    try:
        new.rename(place)
    except BaseException:
        old.rename(place)
        raise
    old.rename(new)


def make_folder(path: Path, elsewhere: str = ELSEWHERE) -> None:
    """Make a folder and those above it, and see that files can be made in it.

    Args:
        elsewhere: how a user chooses another one.

    Raises:
        OutputPathError: it can't be made or written.
        StorageError: the disk is full or failed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise storage_error(error, path, elsewhere) from error


def storage_error(error: OSError, path: Path, elsewhere: str = ELSEWHERE) -> OutputPathError | StorageError:
    """What an operating system's error on writing means to a user; ``elsewhere``: how he chooses another place."""
    where = str(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError("the disk is full", where=where, remedy="free some space and run it again")
    if error.errno == errno.EIO:
        return StorageError("input/output error", where=where, remedy="check the disk")
    return OutputPathError(
        f"can't be written ({os.strerror(error.errno or 0)})", where=where, remedy=elsewhere
    )


def _umask() -> int:
    # mkstemp makes files for the owner alone; a result gets the permissions that any new file would.
    mask = os.umask(0)
    os.umask(mask)
    return mask
