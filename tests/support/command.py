"""The command as a user starts it: a process of its own. Or in this one, where only what it says matters."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

from bibench_deploy.cli import console

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


def bibench_here(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What ``bibench`` gives, from this process: without the second that a new one takes to import everything.

    For commands that read, write and tell. Not for what is timed, interrupted or has fewer privileges; and each
    command is started as a process by some test, too.
    """
    from bibench_deploy.cli.app import app

    command = ["bibench-deploy", *map(str, arguments)]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        chdir(cwd),
        mock.patch.dict(os.environ, environment(**variables), clear=True),
        mock.patch.object(sys, "argv", command),
        mock.patch.object(console, "settings", console.Settings(debug=False)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = console.guarded(app)
    said = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(command, code, *said)


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
