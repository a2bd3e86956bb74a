"""Somebody who uses the command with a lab: a home, a workspace and an inventory of his own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from support.command import COMMAND, environment

from .lab import Lab

# Few runs: what a simulated device needs for them means nothing.
QUICK = ("--min-time", "0.02", "--max-time", "0.1", "--min-runs", "3")

# Programs for boards are built once a machine (a minute each), and not once a home.
CACHE = str(Path(platformdirs.user_cache_dir("bibench-deploy")).parent)


class User:
    """Attributes:
    home: also the working folder of his commands; his workspace is in it.
    """

    def __init__(self, lab: Lab, home: Path, workspace: Path) -> None:
        self.lab, self.home = lab, home
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        shutil.copytree(workspace, home / "bibench-workspace")

    def variables(self, **more: str) -> dict[str, str]:
        ours = environment(HOME=str(self.home), XDG_CACHE_HOME=CACHE, **more)
        for name in ("SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            ours.pop(name, None)
        return ours

    def bibench(
        self, *arguments: str | Path, timeout_s: float = 120, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """The command to its end."""
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=self.home,
            env=self.variables(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    @contextmanager
    def starts(self, *arguments: str | Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """The command in a process group of its own, as a shell starts it; ended at the latest on exit."""
        with subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=self.home,
            env=self.variables(**variables),
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

    def profiling(self, device: str, *options: str | Path, threads: str = "1") -> Sequence[str | Path]:
        """Arguments that measure the workspace quickly."""
        return (
            "profile",
            "--inventory",
            self.lab.inventory,
            "--device",
            device,
            "--threads",
            threads,
            *QUICK,
            *options,
        )

    def profile(
        self, device: str, *options: str | Path, threads: str = "1", timeout_s: float = 120, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return self.bibench(
            *self.profiling(device, *options, threads=threads), timeout_s=timeout_s, **variables
        )

    def stored(self) -> list[dict[str, Any]]:
        """The rows that his workspace keeps."""
        done = self.bibench("results", "list", "--json")
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
        return rows
