"""What the probe's script printed, as facts. Pure, and never fails: what can't be read is unknown."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from bibench_deploy.device_profiles import CoreType

from .facts import Battery, CoreGroup, Cpu, DeviceFacts, WorkFolder, Zone, group_cores
from .probe_script import END, EXECUTED

#: uname's names for what Linux calls otherwise.
_MACHINES = {"arm64": "aarch64", "amd64": "x86_64", "armv8l": "armv7l"}
#: e_machine of an ELF header (System V ABI).
_ELF_MACHINES = {3: "i386", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv"}
#: macOS's names of extensions (sysctl hw.optional) in the spelling of Linux's cpuinfo.
_APPLE_FEATURES = {
    "neon": "asimd",
    "AdvSIMD": "asimd",
    "armv8_crc32": "crc32",
    "arm.FEAT_CRC32": "crc32",
    "arm.FEAT_LSE": "atomics",
    "arm.FEAT_FP16": "asimdhp",
    "arm.FEAT_RDM": "asimdrdm",
    "arm.FEAT_DotProd": "asimddp",
    "arm.FEAT_I8MM": "i8mm",
    "arm.FEAT_BF16": "bf16",
}
#: A shell's status for a file that it found and could not execute (POSIX, 2.8.2).
_NOT_EXECUTABLE = 126
#: Figures beyond this are no figures: a sensor that shows its error code, a text that is all digits.
_MOST = 10**15
#: A thermal zone outside of this shows no temperature of a chip that runs: unplugged sensors print -274000 or 0.
_COLDEST, _HOTTEST = -40.0, 150.0


def parse(output: bytes, cores: Mapping[str, CoreType]) -> DeviceFacts:
    """What the probe's script printed, as facts; never fails: what can't be read is unknown."""
    lines = output.decode("utf-8", errors="replace").replace("\0", "").splitlines()
    said: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        key, _, value = line.partition("=")
        said[key].append(value.strip())
    first = {key: values[0] for key, values in said.items()}
    apple = _colon_pairs(said["sysctl"])
    cpus = _cpus(said["cpuinfo"], first)
    return DeviceFacts(
        system=first.get("system"),
        kernel=first.get("kernel"),
        machine=_machine(first.get("machine")),
        userland_bits=_userland_bits(first),
        userland_arch=_ELF_MACHINES.get(_elf_machine(_elf(first)) or 0),
        libc=first.get("glibc") or first.get("libc"),
        model=first.get("model") or first.get("android_model") or None,
        cpu_name=_cpu_name(said["cpuinfo"], first, apple),
        cpus=cpus,
        groups=group_cores(cpus, cores) or _apple_groups(apple),
        allowed=_length_of_list(first.get("allowed")),
        features=_features(said["cpuinfo"]) or _apple_features(apple),
        memory_mib=_memory(said["meminfo"], "MemTotal") or _scaled(apple.get("hw.memsize"), 2**20),
        available_mib=_memory(said["meminfo"], "MemAvailable"),
        zones=_zones(first),
        battery=_battery(first, said["pmset"]),
        load=_load(first, apple),
        throttled=_throttled(first),
        android=first.get("android"),
        termux=first.get("termux") == "yes",
        workdir=_work_folder(first),
        complete=bool(lines) and lines[-1] == END,
    )


def _whole(text: str | None) -> int | None:
    """A whole number that can be one; sysfs and sysctl print them bare."""
    if text is None or not re.fullmatch(r"-?[0-9]{1,16}", text.strip(), re.ASCII):
        return None
    number = int(text)
    return number if abs(number) <= _MOST else None


def _scaled(text: str | None, unit: int) -> float | None:
    """A figure above zero in a larger unit; zero is what drivers print that know nothing."""
    number = _whole(text)
    return None if number is None or number <= 0 else number / unit


def _colon_pairs(lines: Sequence[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _machine(text: str | None) -> str | None:
    return None if text is None else _MACHINES.get(text, text)


def _elf(first: Mapping[str, str]) -> list[int]:
    """The first bytes of the shell's file; empty unless it is an ELF file (a script, Mach-O)."""
    found = [_whole(word) for word in first.get("elf", "").split()]
    header = [byte for byte in found if byte is not None]
    return header if len(header) == 20 and header[:4] == [0x7F, 0x45, 0x4C, 0x46] else []


def _elf_machine(header: Sequence[int]) -> int | None:
    return header[18] + 256 * header[19] if header else None


def _userland_bits(first: Mapping[str, str]) -> int | None:
    header = _elf(first)
    if header:
        return {1: 32, 2: 64}.get(header[4])
    bits = _whole(first.get("long_bit"))
    return bits if bits in (32, 64) else None


def _cpus(cpuinfo: Sequence[str], first: Mapping[str, str]) -> tuple[Cpu, ...]:
    midrs = _midrs(cpuinfo)
    keys = [key.split(".") for key in first if key.startswith("cpu.")]
    numbers = {number for key in keys if len(key) == 3 and (number := _whole(key[1])) is not None}
    return tuple(_cpu(number, midrs.get(number), first) for number in sorted(numbers | set(midrs)))


def _cpu(number: int, midr: str | None, first: Mapping[str, str]) -> Cpu:
    def of(name: str) -> str | None:
        return first.get(f"cpu.{number}.{name}")

    capacity = _whole(of("capacity"))
    online = of("online")
    return Cpu(
        number=number,
        online=None if online not in ("0", "1") else online == "1",
        midr=midr or _midr_of_register(of("midr")),
        capacity=capacity if capacity and capacity > 0 else None,
        max_mhz=_scaled(of("max_khz"), 1000),
        limit_mhz=_scaled(of("limit_khz"), 1000),
        now_mhz=_scaled(of("now_khz"), 1000),
        governor=of("governor"),
    )


def _midrs(cpuinfo: Sequence[str]) -> dict[int, str | None]:
    """Implementer and part by the number of the core; None where cpuinfo has no such lines (x86)."""
    midrs: dict[int, str | None] = {}
    number, implementer = None, None
    for line in cpuinfo:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "processor" and (found := _whole(value)) is not None:
            number, implementer = found, None
            midrs[number] = None
        elif key == "CPU implementer":
            implementer = _hexadecimal(value)
        elif key == "CPU part" and number is not None and implementer is not None:
            part = _hexadecimal(value)
            midrs[number] = None if part is None else f"0x{implementer & 0xFF:02x}:0x{part & 0xFFF:03x}"
    return midrs


def _hexadecimal(text: str | None) -> int | None:
    return int(text, 16) if text is not None and re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", text) else None


def _midr_of_register(text: str | None) -> str | None:
    """The register MIDR_EL1: implementer in bits 31 to 24, part in bits 15 to 4 (Arm Architecture Reference)."""
    value = _hexadecimal(text)
    return None if not value else f"0x{value >> 24 & 0xFF:02x}:0x{value >> 4 & 0xFFF:03x}"


def _features(cpuinfo: Sequence[str]) -> tuple[str, ...]:
    lines = [line.partition(":") for line in cpuinfo]
    sets = [set(value.split()) for key, _, value in lines if key.strip() in ("Features", "flags")]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def _apple_features(apple: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        sorted({name for key, name in _APPLE_FEATURES.items() if apple.get(f"hw.optional.{key}") == "1"})
    )


def _apple_groups(apple: Mapping[str, str]) -> tuple[CoreGroup, ...]:
    """macOS numbers its performance levels, the fastest being 0; on an Intel Mac there are none."""
    levels = [_whole(apple.get(f"hw.perflevel{level}.physicalcpu")) for level in (0, 1)]
    counts = [count for count in levels if count] or [_whole(apple.get("hw.ncpu")) or 0]
    return tuple(CoreGroup(core=None, midr=None, count=count) for count in counts if count > 0)


def _cpu_name(cpuinfo: Sequence[str], first: Mapping[str, str], apple: Mapping[str, str]) -> str | None:
    pairs = _colon_pairs(cpuinfo)
    names = (pairs.get("model name"), apple.get("machdep.cpu.brand_string"), first.get("android_soc"))
    return next((name for name in (*names, pairs.get("Hardware")) if name), None)


def _length_of_list(text: str | None) -> int | None:
    """How many numbers a list of the kernel holds, as ``0-3,6``."""
    cores = 0
    for part in (text or "").split(","):
        low, dash, high = part.strip().partition("-")
        first, last = _whole(low), _whole(high) if dash else _whole(low)
        if first is None or last is None or not 0 <= first <= last:
            return None
        cores += last - first + 1
    return cores


def _memory(meminfo: Sequence[str], name: str) -> float | None:
    words = _colon_pairs(meminfo).get(name, "").split()
    return _scaled(words[0], 1024) if words else None


def parse_zones(output: bytes) -> tuple[Zone, ...]:
    """The temperatures of what a probe's script printed."""
    lines = (line.partition("=") for line in output.decode("utf-8", errors="replace").splitlines())
    return _zones({key: value.strip() for key, _, value in lines})


def _zones(first: Mapping[str, str]) -> tuple[Zone, ...]:
    zones = []
    for key, value in first.items():
        found = re.fullmatch(r"zone\.([0-9]{1,4})\.temp", key)
        milli = _whole(value)
        if found is None or milli is None:
            continue
        celsius = milli / 1000
        if milli != 0 and _COLDEST <= celsius <= _HOTTEST:
            zones.append(Zone(name=first.get(f"zone.{found[1]}.type") or f"zone {found[1]}", celsius=celsius))
    return tuple(zones)


def _battery(first: Mapping[str, str], pmset: Sequence[str]) -> Battery | None:
    percent, discharging = _whole(first.get("battery")), None
    if "battery_status" in first:
        discharging = first["battery_status"] == "Discharging"
    if percent is None:
        text = "\n".join(pmset)
        found = re.search(r"([0-9]{1,3})%", text, re.ASCII)
        percent = int(found[1]) if found else None
        discharging = "Battery Power" in text
    return (
        None
        if percent is None or not 0 <= percent <= 100
        else Battery(percent=percent, discharging=discharging)
    )


def _load(first: Mapping[str, str], apple: Mapping[str, str]) -> float | None:
    # Linux: "0.52 0.58 …"; macOS: "{ 1.52 1.58 1.61 }"; uptime: "… load average: 0.52, …"; a comma for a point too.
    uptime = first.get("uptime", "").rpartition("load average")[2]
    for text in (first.get("load"), apple.get("vm.loadavg"), uptime):
        found = re.search(r"([0-9]{1,6})[.,]([0-9]{1,3})", text or "", re.ASCII)
        if found:
            return float(f"{found[1]}.{found[2]}")
    return None


def _throttled(first: Mapping[str, str]) -> int | None:
    told = first.get("throttled", "").rpartition("=")[2]
    return _hexadecimal(told or None) if told else _hexadecimal(first.get("throttled_sysfs"))


def _work_folder(first: Mapping[str, str]) -> WorkFolder | None:
    if not first.get("work.path"):
        return None
    status = _whole(first.get("work.executed"))
    written = first.get("work.written")
    return WorkFolder(
        path=first["work.path"],
        exists="work.exists" in first,
        is_file="work.is_file" in first,
        checked=first.get("work.checked") or None,
        free_mib=_free(first.get("work.df", "")),
        writable=None if written is None else written == "yes",
        refusal=first.get("work.refusal"),
        executable={EXECUTED: True, _NOT_EXECUTABLE: False}.get(status) if status is not None else None,
    )


def _free(df: str) -> float | None:
    """df's line: device, size, used, available, capacity in percent, where; in KiB."""
    words = df.split()
    for place, word in enumerate(words):
        if place >= 2 and re.fullmatch(r"[0-9]{1,3}%", word, re.ASCII):
            free = _whole(words[place - 1])
            return None if free is None or free < 0 else free / 1024
    return None
