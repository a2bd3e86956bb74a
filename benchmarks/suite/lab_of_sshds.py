"""What a night of simulated boards behind real sshds costs the host that drives them: memory and processor.

The boards are `tests/lab`'s: each an sshd with a file system of its own on this machine, so that link, pushing,
leases, verification and timing are the real ones. They share this machine's cores: how long they take says nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
MODEL = CHECKOUT / "examples/fashion_vgg-tiny_bireal.onnx"
PLAN = """format = 1
name = "sshds"
[[models]]
file = "{model}"
[[devices]]
tags = ["lab"]
threads = [1]
[measure]
min_time = 0.1
max_time = 0.2
precision = 100
"""
LOOK_S = 0.2


@dataclass(frozen=True)
class Cost:
    """Of one night.

    Attributes:
        measured: jobs.
        cpu_s: of the controlling process itself.
        peak_mb: its largest resident set.
        threads: at most.
    """

    devices: int
    measured: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    threads: int


@contextmanager
def lab(count: int, folder: Path) -> Iterator[Path]:
    """The inventory of so many boards, which are on as long as the block runs.

    Raises:
        RuntimeError: this machine can't simulate them.
    """
    command = [sys.executable, "-m", "lab", "up", "--devices", str(count), "--kind", "linux"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT / "tests")}
    log = folder.with_suffix(".log")
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            [*command, "--folder", str(folder)], env=environment, stdout=stream, stderr=stream
        ) as process,
    ):
        try:
            while "logs:" not in log.read_text(encoding="utf-8"):
                if process.poll() is not None:
                    raise RuntimeError(log.read_text(encoding="utf-8"))
                time.sleep(LOOK_S)
            yield folder / "devices.toml"
        finally:
            process.terminate()


def night(count: int, folder: Path) -> Cost:
    """A night of so many boards.

    Raises:
        RuntimeError: the boards can't be had, or not all was measured.
    """
    (folder / "lab.toml").write_text(PLAN.format(model=MODEL), encoding="utf-8")
    with lab(count, folder / "lab") as inventory:
        command = [sys.executable, "-P", "-m", "bibench_deploy.cli.app", "nightly", "lab.toml", "--json"]
        begun, peak_mb, cpu_s, threads = time.monotonic(), 0.0, 0.0, 0
        with subprocess.Popen(
            [*command, "--inventory", str(inventory)],
            cwd=folder,
            stdout=(folder / "said").open("wb"),
            stderr=(folder / "log").open("wb"),
        ) as process:
            while process.poll() is None:
                status = _status(process.pid)
                peak_mb = max(peak_mb, status.get("VmHWM", 0) / 1000)
                threads = max(threads, status.get("Threads", 0))
                cpu_s = max(cpu_s, _cpu_s(process.pid))
                time.sleep(LOOK_S)
        wall_s = time.monotonic() - begun
    try:
        counts = json.loads((folder / "said").read_text(encoding="utf-8"))["counts"]
    except (ValueError, KeyError) as error:
        raise RuntimeError((folder / "log").read_text(encoding="utf-8")) from error
    measured = sum(counts.values())
    return Cost(count, measured, wall_s, cpu_s, peak_mb, threads)


def _status(pid: int) -> dict[str, int]:
    """Numbers of ``/proc/PID/status``; empty for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines)
    return {entry[0].rstrip(":"): int(entry[1]) for entry in words if len(entry) > 1 and entry[1].isdigit()}


def _cpu_s(pid: int) -> float:
    """Processor time of a process itself, s; 0 for one that has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
