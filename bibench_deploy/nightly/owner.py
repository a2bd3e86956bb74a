"""Who has claimed jobs: a name for this process, and whether another process of this workspace still lives.

Each process keeps a locked file in the workspace. A lock ends with its process, however that ends, so whoever gets
it knows that the process is gone: its jobs need not wait until their beats are stale.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bibench_deploy.files import make_folder, storage_error

FOLDER = ".owners"


@contextmanager
def owner(workspace: Path) -> Iterator[str]:
    """A name that no other process has, alive while the block runs.

    Raises:
        OutputPathError, StorageError: the workspace can't be written.
    """
    folder = workspace / FOLDER
    make_folder(folder)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    path = folder / name
    file = _opened(path, create=True)
    assert file is not None, "it was just made"
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield name
    finally:
        path.unlink(missing_ok=True)
        os.close(file)  # which also gives the lock back


def is_dead(workspace: Path, name: str) -> bool:
    """Whether a process that had this workspace is gone for certain; False where nothing is known."""
    path = workspace / FOLDER / name
    file = _opened(path, create=False)
    if file is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(file)


def _opened(path: Path, create: bool) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o644)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path) from error
