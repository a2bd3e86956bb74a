"""A PostgreSQL server of one's own: a cluster in a temporary folder, on a socket there, by an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Where Debian keeps the server's programs, which are not on the path.
_DEBIAN = Path("/usr/lib/postgresql")
_NOBODY = 65534
# PostgreSQL refuses to run as root.
_PREFIX = (
    ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups") if os.geteuid() == 0 else ()
)

# A machine that has other tests to run is slow; pg_ctl gives up after a minute by itself.
_PATIENCE_S = 300
_WAITS = ("-w", "-t", str(_PATIENCE_S))


def programs() -> Path | None:
    """The folder of the server's programs; None where it is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(_DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return folders[-1] if folders else None


@contextmanager
def server() -> Iterator[str]:
    """A running server; yields the URL of its database without the database's name.

    Durable as a server is in use: nothing is switched off, since tests are about what is not lost.
    """
    where = programs()
    assert where, "PostgreSQL is not installed"
    folder = Path(tempfile.mkdtemp(prefix="bibench-pg-"))  # short: a socket's path has 107 characters
    try:
        if _PREFIX:
            os.chown(folder, _NOBODY, _NOBODY)
        data = folder / "data"
        _run(where / "initdb", "-D", data, "-U", "bibench", "-A", "trust", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c shared_buffers=16MB"
        _run(where / "pg_ctl", "-D", data, *_WAITS, "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://bibench@/{{}}?host={folder}"
        finally:
            # Nothing is to be kept, and the checkpoint of a slower stop takes minutes where the disk is busy.
            _run(where / "pg_ctl", "-D", data, *_WAITS, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [*_PREFIX, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=_PATIENCE_S + 60,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
