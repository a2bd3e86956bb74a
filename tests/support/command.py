"""The command as a user starts it: a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-P", "-m", "bibench_deploy.cli.app")


def environment(**variables: str) -> dict[str, str]:
    """This process's, with nothing in it that changes what the command prints or where it looks."""
    ours = ("BIBENCH_DEBUG", "BIBENCH_WORKSPACE", "COLUMNS", "FORCE_COLOR")
    return {name: value for name, value in os.environ.items() if name not in ours} | variables


# Root may write anywhere; this starts a command without that privilege. Empty where we are not root.
ORDINARY: tuple[str, ...] = ()
if os.geteuid() == 0:
    ORDINARY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override")


def bibench(
    *arguments: str | Path, cwd: Path, prefix: Sequence[str] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end.

    Args:
        prefix: starts it, such as ``ORDINARY``.
    """
    return subprocess.run(
        [*prefix, *COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def started(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a process group of its own, as a shell does; it is ended at the latest on exit.

    Args:
        env: all of its environment; ``environment()`` by default.
    """
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of a size such as 64k; skips the test where none can be mounted."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("this machine does not let root mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def is_clean(stderr: str) -> bool:
    """Whether a message is one to a user: no traceback, no internal error."""
    return "Traceback" not in stderr and "internal error" not in stderr
