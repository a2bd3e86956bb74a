"""Where a device is not what its profile says. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from bibench_deploy.device_profiles import CoreType, DeviceProfile, features

from .facts import DeviceFacts
from .finding import Finding

#: Clocks are printed rounded (2.4 GHz for 2361 MHz), and makers round both ways.
CLOCK_TOLERANCE = 0.05
#: Linux counts the memory that is left after firmware, kernel and graphics took theirs: 906 MiB of a Pi's 1024.
MEMORY_LEAST = 0.75

_WRONG_PROFILE = "choose the profile of the board that it is ('bibench-deploy devices list --all')"


def contradictions(
    facts: DeviceFacts, profile: DeviceProfile, cores: Mapping[str, CoreType]
) -> tuple[Finding, ...]:
    """Every fact of the device that the profile denies; what either does not know is no contradiction.

    Args:
        cores: the table of core types.
    """
    return (
        *_architecture(facts, profile),
        *_cores(facts, profile),
        *_core_types(facts, profile),
        *_clocks(facts, profile),
        *_features(facts, profile, cores),
        *_memory(facts, profile),
    )


def _differs(
    code: str, what: str, why: str = "results would be kept under the wrong board's name"
) -> Finding:
    return Finding("warning", code, what, why, _WRONG_PROFILE)


def _architecture(facts: DeviceFacts, profile: DeviceProfile) -> Iterator[Finding]:
    # A 32-bit kernel on a 64-bit board is the right board with the wrong system: the doctor's business.
    ran_as = {profile.arch, "armv7l"} if profile.arch == "aarch64" else {profile.arch}
    if facts.machine is not None and facts.machine not in ran_as:
        yield _differs(
            "architecture",
            f"the device is {facts.machine}; the profile '{profile.id}' says {profile.arch}",
            "a program for the one does not run on the other",
        )


def _cores(facts: DeviceFacts, profile: DeviceProfile) -> Iterator[Finding]:
    if facts.cores is not None and profile.cores is not None and facts.cores != profile.cores:
        yield _differs(
            "cores", f"the device has {facts.cores} cores; the profile '{profile.id}' says {profile.cores}"
        )


def _core_types(facts: DeviceFacts, profile: DeviceProfile) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for group in facts.groups:
        if group.core is None:
            return  # a core that the table does not know may be any
        seen[group.core] += group.count
    told: Counter[str] = Counter()
    for cluster in profile.clusters:
        told[cluster.core] += cluster.count
    if seen and told and set(seen) != set(told):
        yield _differs(
            "core-types", f"the device has {_counts(seen)}; the profile '{profile.id}' says {_counts(told)}"
        )


def _counts(cores: Counter[str]) -> str:
    return " + ".join(f"{count} × {core}" for core, count in cores.items())


def _clocks(facts: DeviceFacts, profile: DeviceProfile) -> Iterator[Finding]:
    seen = [group.max_mhz for group in facts.groups if group.max_mhz is not None]
    told = [cluster.max_mhz for cluster in profile.clusters if cluster.max_mhz is not None]
    if seen and told and abs(max(seen) - max(told)) > CLOCK_TOLERANCE * max(told):
        yield Finding(
            "warning",
            "clock",
            f"the device's highest clock is {max(seen):.0f} MHz; the profile '{profile.id}' says {max(told)} MHz",
            "its latencies don't compare with those of other boards of this name; ceilings are off by as much",
            "look for overclocking or a limit in its configuration, or make a profile of your own (--profiles)",
        )


def _features(facts: DeviceFacts, profile: DeviceProfile, cores: Mapping[str, CoreType]) -> Iterator[Finding]:
    # 32-bit kernels spell the extensions differently (neon for asimd).
    if not facts.features or facts.machine != profile.arch:
        return
    missing = sorted(features(profile, cores) - set(facts.features))
    if missing:
        yield Finding(
            "note",
            "features",
            f"the device does not show {', '.join(missing)}, which the profile '{profile.id}' says it has",
            "programs that ask the system for these take slower kernels; old kernels don't list new extensions",
            "a newer system, or nothing: the native engine needs none of them beyond NEON (asimd)",
        )


def _memory(facts: DeviceFacts, profile: DeviceProfile) -> Iterator[Finding]:
    if facts.memory_mib is None or not profile.memory_mib:
        return
    fits = any(MEMORY_LEAST * size <= facts.memory_mib <= size for size in profile.memory_mib)
    if not fits:
        sold = ", ".join(f"{size}" for size in profile.memory_mib)
        yield _differs(
            "memory",
            f"the device has {facts.memory_mib:.0f} MiB of memory; the profile '{profile.id}' says {sold} MiB",
        )
