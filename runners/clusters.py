"""Which cores a user means by ``big``, ``little``, ``all`` or ``0-3`` on one machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from bibench_deploy.errors import InputError

from .device.facts import Cpu, group_cores
from .threads import parse_ranges

SYS = Path("/sys")
KILO = 1000
NAMES = ("big", "little", "all")
#: Linux builds for up to 8192 cores; no board has a tenth of it.
LAST_CPU = 1023


def check_request(request: str) -> str:
    """A request without blanks around it.

    Raises:
        InputError: it is neither a name nor a list of cores.
    """
    text = request.strip()
    if text not in NAMES:
        _numbers(text)
    return text


def choose_cpus(request: str, cpus: Collection[Cpu], allowed: Collection[int] | None) -> tuple[int, ...]:
    """The numbers of the cores that a request means on one machine, ascending.

    ``little`` is the slowest cluster, ``big`` all the others, by the kernel's ``cpu_capacity`` and the highest
    clock (ncnn's powersave modes draw the same line, at the mean of the highest clocks).

    Args:
        request: as ``check_request`` takes it.
        cpus: of the machine.
        allowed: cores that the login may use; None where that is not known.

    Raises:
        InputError: the machine has no such cores.
    """
    usable = tuple(
        cpu for cpu in cpus if cpu.online is not False and (allowed is None or cpu.number in allowed)
    )
    present = sorted(cpu.number for cpu in usable)
    if request == "all" and present:
        return tuple(present)
    if request in NAMES:
        groups = group_cores(usable, {})
        if len(groups) < 2:
            raise _refused(request, f"all cores are alike, as far as the system tells ({_these(present)})")
        chosen = groups[-1:] if request == "little" else groups[:-1]
        return tuple(sorted(number for group in chosen for number in group.cpus))
    wanted = _numbers(request)
    missing = [number for number in wanted if number not in present]
    if missing:
        raise _refused(
            request, f"there is no core {ranges(missing)}, or it may not be used ({_these(present)})"
        )
    return wanted


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as the kernel writes lists of cores: ``0-3,6``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def local_cpus(sys: Path = SYS) -> tuple[Cpu, ...]:
    """This machine's cores; those that the system does not show are not among them."""
    found = []
    for folder in sys.glob("devices/system/cpu/cpu[0-9]*"):
        online = _whole(folder / "online")
        kilohertz = _whole(folder / "cpufreq/cpuinfo_max_freq")
        found.append(
            Cpu(
                number=int(folder.name.removeprefix("cpu")),
                online=None if online is None else bool(online),
                capacity=_whole(folder / "cpu_capacity"),
                max_mhz=kilohertz / KILO if kilohertz else None,
            )
        )
    return tuple(sorted(found, key=lambda cpu: cpu.number))


def cluster_sizes(cpus: Iterable[Cpu], usable: Collection[int] | None = None) -> tuple[int, ...]:
    """How many cores each cluster has, fastest first; of those that are on and may be used.

    Args:
        usable: their numbers; None for all.
    """
    chosen = (cpu for cpu in cpus if cpu.online is not False and (usable is None or cpu.number in usable))
    return tuple(group.count for group in group_cores(tuple(chosen), {}))


def choose_local(request: str) -> tuple[int, ...]:
    """As ``choose_cpus``, on this machine.

    Raises:
        InputError: there are no such cores, or the system pins no process.
    """
    usable = local_numbers()
    if usable is None:
        raise _refused(request, "this system lets no process choose its cores")
    return choose_cpus(request, local_cpus(), usable)


def local_numbers() -> frozenset[int] | None:
    """Cores that this process may use; None where the system lets no process choose."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None


def _numbers(text: str) -> tuple[int, ...]:
    remedy = "write big, little, all, or numbers like 0-3 or 0,2"
    return parse_ranges(text, 0, LAST_CPU, "--cpus", "the number of a core", remedy)


def _refused(request: str, why: str) -> InputError:
    return InputError(
        f"'{request}': {why}", where="--cpus", remedy="write all, or numbers of cores that are there"
    )


def _these(numbers: Collection[int]) -> str:
    return f"usable: {ranges(numbers) or 'unknown'}"


def _whole(path: Path) -> int | None:
    # A fact that the system does not show is left out, it is not an error.
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
