"""Facts about the machine that measures: what a latency means nothing without."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Host:
    """One machine.

    Attributes:
        cpu: name of the processor.
        arch: as ``uname -m`` prints it.
        cores: cores that this process may use.
        system: operating system and release.
        governor: the frequency policy of the first core; None where there is none to see (virtual machines).
        clusters: how many of these cores are in each cluster, fastest first; empty where that is not known.
    """

    cpu: str
    arch: str
    cores: int
    system: str
    governor: str | None
    clusters: tuple[int, ...] = ()


def local_host(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Host:
    """This machine."""
    governor = _text(sys / "devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None
    return Host(
        cpu=cpu_name(_text(proc / "cpuinfo")) or platform.processor() or platform.machine(),
        arch=platform.machine(),
        cores=_usable_cores(),
        system=f"{platform.system()} {platform.release()}",
        governor=governor,
    )


def cpu_name(cpuinfo: str) -> str | None:
    """The processor's name in the text of ``/proc/cpuinfo``; the board's where the CPU has none (ARM)."""
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip().lower(), value.strip())
    for key in ("model name", "model", "hardware"):
        # On x86 "model" is a number of the family; on ARM it is the board.
        if facts.get(key) and not facts[key].isdigit():
            return facts[key]
    return None


def load_average() -> float | None:
    """Processes that wanted to run, mean of the last minute; None where the system has no such figure."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _text(file: Path) -> str:
    # A fact that the system does not show is left out, it is not an error.
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
