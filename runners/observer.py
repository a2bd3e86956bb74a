"""What else is true on this machine while something is measured: clocks, temperatures, load, usage."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from .clocks import Looks, of_cores
from .clusters import ranges
from .context import RunContext
from .host import load_average

PROC = Path("/proc")
SYS = Path("/sys")
KILO = 1000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a process and the children that it waited for used; None where the system does not tell."""

    peak_memory_bytes: int | None = None
    page_faults_minor: int | None = None
    page_faults_major: int | None = None
    context_switches_voluntary: int | None = None
    context_switches_involuntary: int | None = None
    cpuset: str | None = None
    cpu_seconds: float = 0.0
    #: From one thread to another, ns, once a turn.
    handovers_ns: Sequence[float] = ()

    @property
    def handover_ns(self) -> float | None:
        """Their median; None where there is none."""
        return median(self.handovers_ns) if self.handovers_ns else None


def own_usage(peak_memory_bytes: int | None, handovers_ns: Sequence[float] = (), proc: Path = PROC) -> Usage:
    """This process's, children included (an engine may be one).

    Args:
        peak_memory_bytes, handovers_ns: of the process that executes the artefact.
    """
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Usage(
        peak_memory_bytes=peak_memory_bytes,
        page_faults_minor=own.ru_minflt + children.ru_minflt,
        page_faults_major=own.ru_majflt + children.ru_majflt,
        context_switches_voluntary=own.ru_nvcsw + children.ru_nvcsw,
        context_switches_involuntary=own.ru_nivcsw + children.ru_nivcsw,
        cpuset=_status(proc / "self/status").get("Cpus_allowed_list"),
        cpu_seconds=sum(who.ru_utime + who.ru_stime for who in (own, children)),
        handovers_ns=tuple(handovers_ns),
    )


def own_peak_memory(proc: Path = PROC) -> int | None:
    """The largest resident set of this process, bytes."""
    # Not ru_maxrss, which on Linux keeps what the process was before exec.
    words = _status(proc / "self/status").get("VmHWM", "").split()
    return int(words[0]) * 1024 if words else None


class Observer:
    """Looks at the machine when it is made, whenever it is told to, and at the end.

    Args:
        proc, sys: where the kernel's files are.
        cpus: cores that the measured process is pinned to; none where it is not.
    """

    def __init__(self, proc: Path = PROC, sys: Path = SYS, cpus: Collection[int] = ()) -> None:
        self._proc, self._sys, self._cpus = proc, sys, cpus
        self._clocks = self._used_clocks()
        self._temperatures = temperatures(sys)
        self._throttled = throttle_bits(sys)
        self._load = load_average()
        self._looks = Looks()
        self._busy_at: tuple[float, float] | None = None
        self._other_seconds = self._turn_seconds = 0.0

    def begin(self) -> None:
        """A turn begins."""
        busy = busy_seconds(self._proc)
        self._busy_at = None if busy is None else (monotonic(), busy)

    def end(self, own_seconds: float) -> None:
        """The turn ended.

        Args:
            own_seconds: processor time that the measured process used in it.
        """
        busy = busy_seconds(self._proc)
        if self._busy_at is None or busy is None:
            return
        started, before = self._busy_at
        self._turn_seconds += monotonic() - started
        self._other_seconds += max(0.0, busy - before - own_seconds)

    def look(self) -> None:
        """Note the clocks while the engine is at work."""
        self._looks = self._looks.and_then(self._used_clocks() or {})

    def context(self, usage: Usage) -> RunContext:
        """What was seen, and how things are now."""
        return RunContext(
            governor=governor(self._sys, min(self._cpus, default=0)),
            clock_mhz_before=self._clocks,
            clock_mhz_during=dict(self._looks.slowest) or None,
            clock_mhz_during_most=dict(self._looks.fastest) or None,
            clock_mhz_after=self._used_clocks(),
            temperature_c_before=self._temperatures,
            temperature_c_after=temperatures(self._sys),
            throttle_bits_before=self._throttled,
            throttle_bits=throttle_bits(self._sys),
            load_before=self._load,
            load_after=load_average(),
            other_load=self._other_seconds / self._turn_seconds if self._turn_seconds else None,
            cpuset=usage.cpuset,
            affinity=ranges(self._cpus) or None,
            peak_memory_bytes=usage.peak_memory_bytes,
            page_faults_minor=usage.page_faults_minor,
            page_faults_major=usage.page_faults_major,
            context_switches_voluntary=usage.context_switches_voluntary,
            context_switches_involuntary=usage.context_switches_involuntary,
            handover_ns=usage.handover_ns,
            abi=_abi(),
            kernel_release=platform.release(),
        )

    def _used_clocks(self) -> dict[int, float] | None:
        return dict(of_cores(clocks(self._sys) or {}, self._cpus)) or None


def busy_seconds(proc: Path = PROC) -> float | None:
    """Time that all cores together worked since boot, a hypervisor's share too; None where it is not told."""
    ticks = busy_ticks((_text(proc / "stat") or "").partition("\n")[0])
    return None if ticks is None else ticks / TICKS


def busy_ticks(line: str) -> int | None:
    """The same in the kernel's own unit, of the first line of ``/proc/stat``; None where it is no such line."""
    words = line.split()
    if len(words) < 9 or words[0] != "cpu" or not all(word.isdigit() for word in words[1:9]):
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words[1:9])
    return user + nice + system + irq + softirq + steal


def clocks(sys: Path = SYS) -> dict[int, float] | None:
    """Present clock of each core in MHz; None where the system shows none (virtual machines)."""
    found = {}
    for folder in sys.glob("devices/system/cpu/cpu[0-9]*"):
        kilohertz = _number(folder / "cpufreq/scaling_cur_freq")
        if kilohertz:
            found[int(folder.name.removeprefix("cpu"))] = kilohertz / KILO
    return dict(sorted(found.items())) or None


def temperatures(sys: Path = SYS) -> dict[str, float] | None:
    """°C by thermal zone; None where there is none."""
    found = {}
    for zone in sorted(sys.glob("class/thermal/thermal_zone*")):
        milli = _number(zone / "temp")
        if milli is not None:
            # Two zones of one type are told apart by their number.
            kind = _text(zone / "type") or "zone"
            name = kind if kind not in found else f"{kind} {zone.name.removeprefix('thermal_zone')}"
            found[name] = milli / KILO
    return found or None


def throttle_bits(sys: Path = SYS) -> int | None:
    """A Raspberry Pi's throttle bits; None on other machines."""
    text = _text(sys / "devices/platform/soc/soc:firmware/get_throttled")
    return int(text, 16) if text else None


def governor(sys: Path = SYS, cpu: int = 0) -> str | None:
    """The frequency policy of a core; None where there is none to see."""
    return _text(sys / f"devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor")


def _abi() -> str:
    """Machine, system and C library, as in "x86_64-linux-glibc"."""
    library = platform.libc_ver()[0]
    return "-".join(part for part in (platform.machine(), platform.system().lower(), library) if part)


def _status(path: Path) -> dict[str, str]:
    lines = (_text(path) or "").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.lstrip("-").isdigit() else None


def _text(path: Path) -> str | None:
    """None where the file is absent or its driver gives an error (a sensor that is asleep)."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None
