"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bibench_deploy.errors import OutputPathError


def check_output(path: Path) -> None:
    """OutputPathError unless a file can be put at the path; asked before long work, not after it."""
    if path.is_dir():
        raise OutputPathError("is a folder, not a file", where=str(path), remedy="give the file's name too")
    if not path.parent.is_dir():
        raise OutputPathError("the folder does not exist", where=str(path.parent), remedy="create it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputPathError(
            "no permission to write here", where=str(path.parent), remedy="choose another folder"
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the path, then move into place: a reader sees the old file or the new one.

    Raises:
        OutputPathError: the folder is missing or can't be written.
        OSError: the disk is full or failed; nothing is left behind.
    """
    check_output(path)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    # mkstemp makes files private; what a user asked for should be as readable as anything else of his.
    mask = os.umask(0)
    os.umask(mask)
    return mask
