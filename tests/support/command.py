"""The command as a user starts it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = (sys.executable, "-P", "-m", "bibench_deploy.cli.app")


def environment(**variables: str) -> dict[str, str]:
    """This process's, with nothing in it that changes what the command prints or where it looks."""
    ours = ("BIBENCH_DEBUG", "BIBENCH_WORKSPACE", "COLUMNS", "FORCE_COLOR")
    return {name: value for name, value in os.environ.items() if name not in ours} | variables


def bibench(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def started(*arguments: str | Path, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a process group of its own, as a shell does; it is ended at the latest on exit."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
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


def is_clean(stderr: str) -> bool:
    """Whether a message is one to a user: no traceback, no internal error."""
    return "Traceback" not in stderr and "internal error" not in stderr
