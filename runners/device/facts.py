"""What a device said about itself. Whatever it could not say is None or empty, which means unknown, never zero."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from bibench_deploy.device_profiles import CoreType
from bibench_deploy.device_profiles.cores import core_name


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cpu(_Facts):
    """One core, as Linux numbers them.

    Attributes:
        midr: implementer and part, as ``0x41:0xd08``.
        capacity: speed relative to the fastest core of the board, 1024 being the fastest (Linux ``cpu_capacity``).
        max_mhz: highest clock that the hardware has.
        limit_mhz: highest clock that is allowed at present.
        now_mhz: clock as the probe looked.
        governor: policy that sets the clock.
    """

    number: int
    online: bool | None = None
    midr: str | None = None
    capacity: int | None = None
    max_mhz: float | None = None
    limit_mhz: float | None = None
    now_mhz: float | None = None
    governor: str | None = None


class CoreGroup(_Facts):
    """Cores that are alike.

    Attributes:
        core: name of the core type; None where it is not in the table.
        midr: implementer and part of its cores.
        cpus: numbers of the cores, as ``taskset`` takes them; empty where the system has no numbers (macOS).
    """

    core: str | None
    midr: str | None
    count: int
    max_mhz: float | None = None
    cpus: tuple[int, ...] = ()


class Zone(_Facts):
    """A temperature sensor, in °C."""

    name: str
    celsius: float


class Battery(_Facts):
    """Charge in percent, and whether it is being used up."""

    percent: int
    discharging: bool | None = None


class WorkFolder(_Facts):
    """The folder on the device for what is pushed.

    Attributes:
        path: absolute.
        exists: whether it is there.
        is_file: something else than a folder is in its place.
        checked: the folder that was looked at: ``path``, or the nearest one above it.
        free_mib: room in it for this user, in MiB.
        writable: whether a file could be written.
        refusal: what the system said when not.
        executable: whether a file in it can be executed.
    """

    path: str
    exists: bool = False
    is_file: bool = False
    checked: str | None = None
    free_mib: float | None = None
    writable: bool | None = None
    refusal: str | None = None
    executable: bool | None = None


class DeviceFacts(_Facts):
    """One device, as it was when the probe looked.

    Attributes:
        system: as ``uname -s`` prints it: Linux, Darwin.
        kernel: release of the kernel.
        machine: architecture of the kernel as ``uname -m`` of Linux prints it (macOS's arm64 is aarch64).
        userland_bits: 32 or 64: what the programs are built for.
        userland_arch: architecture that the shell is built for.
        libc: glibc with its version, musl or bionic.
        model: the board's name.
        cpu_name: the processor's name.
        cpus: the cores, by number; empty on macOS.
        groups: cores that are alike, fastest first.
        allowed: how many cores this login may use.
        features: instruction set extensions that every core has, as Linux's cpuinfo spells them.
        load: processes that wanted to run, mean of the last minute.
        throttled: a Raspberry Pi's bits of ``vcgencmd get_throttled``.
        android: version of Android.
        termux: whether the login is Termux's.
        complete: whether the probe's output came whole.
    """

    system: str | None = None
    kernel: str | None = None
    machine: str | None = None
    userland_bits: int | None = None
    userland_arch: str | None = None
    libc: str | None = None
    model: str | None = None
    cpu_name: str | None = None
    cpus: tuple[Cpu, ...] = ()
    groups: tuple[CoreGroup, ...] = ()
    allowed: int | None = None
    features: tuple[str, ...] = ()
    memory_mib: float | None = None
    available_mib: float | None = None
    zones: tuple[Zone, ...] = ()
    battery: Battery | None = None
    load: float | None = None
    throttled: int | None = None
    android: str | None = None
    termux: bool = False
    workdir: WorkFolder | None = None
    complete: bool = False

    @property
    def cores(self) -> int | None:
        """Cores of the device; None where not known."""
        return sum(group.count for group in self.groups) or None

    @property
    def governors(self) -> tuple[str, ...]:
        """The policies that set clocks, each once."""
        return tuple(dict.fromkeys(cpu.governor for cpu in self.cpus if cpu.governor))


def group_cores(cpus: tuple[Cpu, ...], cores: Mapping[str, CoreType]) -> tuple[CoreGroup, ...]:
    """Cores that are alike, fastest first: by capacity where the kernel tells it, otherwise by clock."""
    alike: dict[tuple[int | None, float | None, str | None], list[Cpu]] = {}
    for cpu in cpus:
        alike.setdefault((cpu.capacity, cpu.max_mhz, cpu.midr), []).append(cpu)
    fastest_first = sorted(alike.items(), key=lambda item: (-(item[0][0] or 0), -(item[0][1] or 0.0)))
    return tuple(
        CoreGroup(
            core=core_name(midr, cores) if midr else None,
            midr=midr,
            count=len(members),
            max_mhz=max_mhz,
            cpus=tuple(cpu.number for cpu in members),
        )
        for (_, max_mhz, midr), members in fastest_first
    )
