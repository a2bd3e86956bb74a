"""What would spoil a measurement on a device, or make a run impossible, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bibench_deploy.device_profiles import CoreType, DeviceProfile

from .contradictions import contradictions
from .facts import DeviceFacts
from .finding import Finding

#: Other work on this share of the cores shows in the figures (as ``profile`` warns about this machine).
BUSY_SHARE = 0.5
#: Android and laptops save power below this.
LOW_BATTERY_PERCENT = 20
#: The program, one artefact with its twin and the inputs: a ResNet18 in full precision is 45 MiB.
ROOM_MIB = 200.0
#: Room for the program and a small artefact; with less nothing can be pushed.
LEAST_ROOM_MIB = 8.0
#: A Raspberry Pi lowers its clock at 80 °C (raspberrypi.com, config.txt: temp_limit); phones do it earlier.
HOT_CELSIUS = 75.0
#: What is left of the highest clock below which a limit is no rounding.
_CLOCK_KEPT = 0.98

#: Governors under which the clock rests low until work has run for a while.
_SLOW_GOVERNORS = ("powersave", "conservative")
_STEADY_GOVERNORS = ("performance",)
_AS_ROOT = "as root: echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"

#: Bits of ``vcgencmd get_throttled`` (raspberrypi.com, documentation of vcgencmd); + 16: since it was switched on.
_UNDER_VOLTAGE, _CAPPED, _THROTTLED, _SOFT_LIMIT = 0, 1, 2, 3
_SINCE_BOOT = 16


def diagnose(facts: DeviceFacts, profile: DeviceProfile) -> tuple[Finding, ...]:
    """Everything about the device that its user should know before he measures, the worst first."""
    found = (
        *_system(facts, profile),
        *_work_folder(facts),
        *_governor(facts),
        *_clock_limit(facts),
        *_pi(facts),
        *_load(facts),
        *_temperature(facts),
        *_battery(facts),
    )
    return _sorted(found)


def examine(facts: DeviceFacts, profile: DeviceProfile, cores: Mapping[str, CoreType]) -> tuple[Finding, ...]:
    """What ``diagnose`` says, and where the device is not what its profile says; each code once, the worst first.

    Args:
        cores: the table of core types.
    """
    diagnosis = diagnose(facts, profile)
    told = {finding.code for finding in diagnosis}
    denied = (finding for finding in contradictions(facts, profile, cores) if finding.code not in told)
    return _sorted((*diagnosis, *denied))


def _sorted(found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    order = ("impossible", "warning", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _system(facts: DeviceFacts, profile: DeviceProfile) -> Iterator[Finding]:
    install = "install the 64-bit version of the system (Raspberry Pi OS: choose 64-bit in the Imager)"
    if profile.arch == "aarch64" and facts.machine == "armv7l":
        yield Finding(
            "impossible",
            "32-bit-kernel",
            "a 32-bit system on a 64-bit processor",
            "64-bit programs don't run on it, and 32-bit ones have half the vector registers: figures of another "
            "machine",
            install,
        )
    elif profile.arch != "armv7l" and facts.userland_bits == 32 and facts.machine == profile.arch:
        yield Finding(
            "warning",
            "32-bit-userland",
            "32-bit programs on a 64-bit kernel",
            "the native engine's program runs, since it brings all that it needs; a 64-bit program that needs the "
            "system's libraries (lce_benchmark_model) does not",
            install,
        )
    elif facts.machine is not None and facts.machine != profile.arch:
        yield Finding(
            "impossible",
            "architecture",
            f"the device is {facts.machine}, its profile '{profile.id}' is for {profile.arch}",
            "a program for the one does not run on the other",
            "choose the profile of the board that it is ('bibench-deploy devices list --all')",
        )


def _work_folder(facts: DeviceFacts) -> Iterator[Finding]:
    folder = facts.workdir
    if folder is None:
        return
    elsewhere = "give the device another work folder (workdir in the inventory)"
    where = folder.checked or folder.path
    if folder.is_file:
        yield Finding(
            "impossible", "workdir-file", f"the work folder {folder.path} is a file", "nothing can be pushed",
            elsewhere,
        )  # fmt: skip
        return
    if folder.writable is False:
        full = _is_full(folder.free_mib, folder.refusal)
        read_only = "read-only" in (folder.refusal or "").lower()
        what = "is full" if full else "is read-only" if read_only else "can't be written"
        said = f" ({folder.refusal})" if folder.refusal and not full and not read_only else ""
        yield Finding(
            "impossible",
            "workdir-full" if full else "workdir-read-only" if read_only else "workdir-refused",
            f"the work folder {where} {what}{said}",
            "nothing can be pushed to the device",
            "free some space there ('bibench-deploy devices clean'), or " + elsewhere
            if full
            else "look at the disk: Linux remounts a failing card read-only; or " + elsewhere
            if read_only
            else elsewhere,
        )
        return
    if folder.executable is False:
        yield _not_executable(facts, where, elsewhere)
    if folder.free_mib is not None and folder.free_mib < ROOM_MIB:
        yield Finding(
            "impossible" if folder.free_mib < LEAST_ROOM_MIB else "warning",
            "workdir-full" if folder.free_mib < LEAST_ROOM_MIB else "workdir-room",
            f"only {folder.free_mib:.0f} MiB are free in {where}",
            "a model in full precision with its program takes 50 MiB and more",
            "free some space there ('bibench-deploy devices clean'), or " + elsewhere,
        )


def _is_full(free_mib: float | None, refusal: str | None) -> bool:
    said = (refusal or "").lower()
    return "no space" in said or "quota" in said or (free_mib is not None and free_mib < 1)


def _not_executable(facts: DeviceFacts, where: str, elsewhere: str) -> Finding:
    if facts.android is not None or facts.termux:
        return Finding(
            "impossible",
            "termux-exec",
            f"Android does not let files in {where} be executed",
            "programs that are pushed there can't be started: shared storage (/sdcard) never allows it, and apps "
            "built for Android 10 or later can't execute files of their own",
            "keep the work folder below Termux's home, and install Termux from F-Droid or GitHub, not from the "
            "Play Store",
        )
    return Finding(
        "impossible",
        "workdir-noexec",
        f"files in {where} can't be executed: it is mounted noexec",
        "the program that is pushed there can't be started",
        f"{elsewhere}, or mount it with exec",
    )


def _governor(facts: DeviceFacts) -> Iterator[Finding]:
    slow = [name for name in facts.governors if name in _SLOW_GOVERNORS]
    other = [name for name in facts.governors if name not in (*_SLOW_GOVERNORS, *_STEADY_GOVERNORS)]
    remedy = _AS_ROOT
    if facts.android is not None or facts.termux:
        remedy = (
            "Android lets only root change it: measure longer (--min-time), plugged in, with the screen on"
        )
    if slow:
        yield Finding(
            "warning",
            "governor",
            f"the clock's governor is '{slow[0]}'",
            "the clock stays low, or rises only after a while: latencies come out too high and spread widely",
            remedy,
        )
    elif other:
        yield Finding(
            "note",
            "governor",
            f"the clock follows the governor '{other[0]}'",
            "the first runs are slower until the clock has risen; 'performance' gives steadier figures",
            remedy,
        )


def _clock_limit(facts: DeviceFacts) -> Iterator[Finding]:
    for cpu in facts.cpus:
        if cpu.limit_mhz and cpu.max_mhz and cpu.limit_mhz < _CLOCK_KEPT * cpu.max_mhz:
            yield Finding(
                "warning",
                "clock-limit",
                f"the clock of core {cpu.number} is limited to {cpu.limit_mhz:.0f} of {cpu.max_mhz:.0f} MHz",
                "latencies are those of a slower board",
                "look for a power-saving mode, a thermal limit, or scaling_max_freq",
            )
            return


def _pi(facts: DeviceFacts) -> Iterator[Finding]:
    bits = facts.throttled
    if not bits:
        return

    def has(bit: int) -> bool:
        return bool(bits >> bit & 1)

    supply = "use the board's own power supply and a short cable, and take off what it feeds over USB"
    cooling = "give it a heat sink or a fan, let it cool down, and switch it off and on to clear the record"
    if has(_UNDER_VOLTAGE):
        yield Finding(
            "warning", "under-voltage", "the board gets too little voltage at this moment",
            "it lowers its clock by itself, and may crash", supply,
        )  # fmt: skip
    elif has(_UNDER_VOLTAGE + _SINCE_BOOT):
        yield Finding(
            "warning", "under-voltage", "the board had too little voltage since it was switched on",
            "under load it happens again, and then the clock is lowered in the middle of a measurement", supply,
        )  # fmt: skip
    if has(_THROTTLED) or has(_CAPPED) or has(_SOFT_LIMIT):
        yield Finding(
            "warning", "throttled", "the board holds its clock down at this moment",
            "latencies are those of a slower board", cooling,
        )  # fmt: skip
    elif has(_THROTTLED + _SINCE_BOOT) or has(_CAPPED + _SINCE_BOOT) or has(_SOFT_LIMIT + _SINCE_BOOT):
        yield Finding(
            "warning", "throttled", "the board held its clock down since it was switched on",
            "a long measurement heats it up again, and its later runs are slower than the first", cooling,
        )  # fmt: skip


def _load(facts: DeviceFacts) -> Iterator[Finding]:
    cores = facts.allowed or facts.cores
    if facts.load is not None and cores is not None and facts.load > BUSY_SHARE * cores:
        yield Finding(
            "warning",
            "busy",
            f"the device is busy (load {facts.load:.1f} on {cores} cores)",
            "other work takes the cores and the memory: latencies come out too high",
            "end what runs on it, or wait: the figure is the mean of the last minute",
        )


def _temperature(facts: DeviceFacts) -> Iterator[Finding]:
    hottest = max(facts.zones, key=lambda zone: zone.celsius, default=None)
    if hottest is not None and hottest.celsius >= HOT_CELSIUS:
        yield Finding(
            "warning",
            "hot",
            f"the sensor '{hottest.name}' shows {hottest.celsius:.0f} °C",
            "a chip this hot lowers its clock",
            "let it cool down, and give it air",
        )


def _battery(facts: DeviceFacts) -> Iterator[Finding]:
    battery = facts.battery
    if battery is not None and battery.percent < LOW_BATTERY_PERCENT and battery.discharging is not False:
        yield Finding(
            "warning",
            "battery",
            f"the battery is at {battery.percent} % and not being charged",
            "phones and laptops save power then and lower their clocks",
            "plug it in",
        )
