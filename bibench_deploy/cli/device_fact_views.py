"""What devices said about themselves, and what was found, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bibench_deploy.cli.device_views import print_facts
from bibench_deploy.device_profiles import Device
from bibench_deploy.runners.device.facts import CoreGroup, DeviceFacts, WorkFolder
from bibench_deploy.runners.device.finding import Finding

if TYPE_CHECKING:
    from rich.console import Console

UNKNOWN = "unknown"
_COLOURS = {"impossible": "red", "warning": "yellow", "note": "cyan"}
_SHOWN_FEATURES = (
    "asimd", "neon", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2",
    "avx2", "avx512f", "avx512_vpopcntdq", "avx512_bitalg",
)  # fmt: skip


def print_facts_of(device: Device, facts: DeviceFacts, out: Console) -> None:
    """One device, one fact a line; what it did not say is called unknown."""
    battery = facts.battery
    rows = {
        "device": f"{device.name} (profile {device.profile.id})",
        "board": facts.model or UNKNOWN,
        "processor": facts.cpu_name or ("" if any(group.core for group in facts.groups) else UNKNOWN),
        "system": _words(facts.system, facts.kernel, f"Android {facts.android}" if facts.android else None),
        "architecture": _words(
            facts.machine, f"{facts.userland_bits}-bit programs" if facts.userland_bits else None
        ),
        "C library": facts.libc or UNKNOWN,
        "cores": "\n".join(_group(group) for group in facts.groups) or UNKNOWN,
        "extensions": " ".join(name for name in _SHOWN_FEATURES if name in facts.features) or UNKNOWN,
        "governor": ", ".join(facts.governors) or UNKNOWN,
        "clock now": _clocks(facts),
        "load": f"{facts.load:.2f}" if facts.load is not None else UNKNOWN,
        "memory": _mib(facts.memory_mib, facts.available_mib),
        "temperature": ", ".join(f"{zone.celsius:.0f} °C {zone.name}" for zone in facts.zones) or UNKNOWN,
        "throttling": f"{facts.throttled:#x}" if facts.throttled is not None else "",
        "battery": f"{battery.percent} %" if battery else "",
        "work folder": _folder(facts.workdir),
    }
    print_facts(rows, out)


def _words(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part) or UNKNOWN


def _bits(bits: int | None) -> str | None:
    return f"{bits}-bit programs" if bits else None


def _group(group: CoreGroup) -> str:
    core = group.core or (f"unknown core {group.midr}" if group.midr else "core")
    clock = f", {group.max_mhz:.0f} MHz" if group.max_mhz else ""
    numbers = f" (cpu {', '.join(map(str, group.cpus))})" if group.cpus else ""
    return f"{group.count} × {core}{clock}{numbers}"


def _clocks(facts: DeviceFacts) -> str:
    clocks = dict.fromkeys(f"{cpu.now_mhz:.0f}" for cpu in facts.cpus if cpu.now_mhz is not None)
    return f"{', '.join(clocks)} MHz" if clocks else UNKNOWN


def _mib(total: float | None, available: float | None) -> str:
    if total is None:
        return UNKNOWN
    free = f", {available:.0f} MiB available" if available is not None else ""
    return f"{total:.0f} MiB{free}"


def _folder(folder: WorkFolder | None) -> str:
    if folder is None:
        return UNKNOWN
    words = [
        "is there" if folder.exists else "will be made",
        f"{folder.free_mib:.0f} MiB free" if folder.free_mib is not None else "free room unknown",
        {True: "writable", False: "not writable", None: "writable unknown"}[folder.writable],
        {True: "executable", False: "not executable", None: "executable unknown"}[folder.executable],
    ]
    return f"{folder.path}: {', '.join(words)}"


def print_findings(device: Device, findings: Sequence[Finding], out: Console) -> None:
    """One device's findings: what, why and what to do."""
    from rich.markup import escape

    if not findings:
        out.print(f"{device.name}: nothing is wrong", markup=False)
        return
    out.print(f"{device.name}:", markup=False)
    for finding in findings:
        colour = _COLOURS[finding.severity]
        out.print(f"  [{colour}]{finding.severity}[/{colour}]: {escape(finding.what)}", soft_wrap=True)
        out.print(f"    why: {finding.why}", soft_wrap=True, markup=False)
        out.print(f"    what to do: {finding.remedy}", soft_wrap=True, markup=False)
