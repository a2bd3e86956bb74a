"""Somebody who uses the command with a lab: a home, a workspace and an inventory of his own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bibench_deploy.results import Store
from support.command import COMMAND, environment, started

from .lab import Lab

# As few runs as there can be: what a simulated device needs for them means nothing.
QUICK = ("--min-time", "0.02", "--max-time", "0.02", "--min-runs", "3", "--precision", "100")


class User:
    """Attributes:
    home: also the working folder of his commands; his workspace is in it.
    cache: holds the programs for devices.
    """

    def __init__(self, lab: Lab, home: Path, workspace: Path, cache: Path) -> None:
        self.lab, self.home, self.cache = lab, home, cache
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        shutil.copytree(workspace, home / "bibench-workspace")

    def variables(self, **more: str) -> dict[str, str]:
        ours = environment(HOME=str(self.home), XDG_CACHE_HOME=str(self.cache), **more)
        for name in ("SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            ours.pop(name, None)
        return ours

    def bibench(
        self, *arguments: str | Path, timeout_s: float = 240, **variables: str
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

    def starts(
        self, *arguments: str | Path, **variables: str
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        """The command in a process group of its own, as a shell starts it; ended at the latest on exit."""
        return started(*arguments, cwd=self.home, env=self.variables(**variables))

    def profiling(
        self, device: str, *options: str | Path, threads: str = "1", twin: bool = False
    ) -> Sequence[str | Path]:
        """Arguments that measure the workspace quickly; its full-precision twin only where it is wanted."""
        what = () if twin else ("bibench-workspace/tiny.native.bbm",)
        where = ("--inventory", self.lab.inventory, "--device", device)
        return ("profile", *what, *where, "--threads", threads, *QUICK, *options)

    def profile(
        self, device: str, *options: str | Path, threads: str = "1", twin: bool = False, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return self.bibench(*self.profiling(device, *options, threads=threads, twin=twin), **variables)

    def stored(self) -> list[dict[str, Any]]:
        """The rows that his workspace keeps; how the command lists them is tests/cli's."""
        contents = Store.of_workspace(self.home / "bibench-workspace").read()
        assert contents.damaged == ()
        return [row.model_dump() for row in contents.rows]
