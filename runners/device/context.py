"""A device as a row of the store knows it: the host, and the conditions of a measurement. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bibench_deploy.runners.clocks import Looks, of_cores
from bibench_deploy.runners.clusters import ranges
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.host import Host

from .facts import Cpu, DeviceFacts
from .watching import Seen


def host_of(facts: DeviceFacts) -> Host:
    """The device as a row of the store knows it. Unknown cores count as one."""
    known = [count for count in (facts.cores, facts.allowed) if count]
    cores = min(known, default=1)
    clusters = tuple(group.count for group in facts.groups)
    return Host(
        cpu=facts.model or facts.cpu_name or facts.machine or "unknown",
        arch=facts.machine or "unknown",
        cores=cores,
        system=" ".join(filter(None, (facts.system, facts.kernel))) or "unknown",
        governor=facts.governors[0] if facts.governors else None,
        clusters=clusters if sum(clusters) == cores else (),  # which of them may be used is not known
    )


def context_of(
    before: DeviceFacts,
    after: DeviceFacts | None,
    pinned: Sequence[int] = (),
    seen: Seen | None = None,
    abi: str | None = None,
) -> RunContext:
    """The conditions of a measurement, from two looks at the device; the second may have failed.

    Args:
        pinned: cores that it was pinned to; none where it was not.
        seen: what was seen in its turns.
        abi: what the program was built for.
    """
    meanwhile = seen or Seen()
    usage = meanwhile.usage

    def used(facts: DeviceFacts) -> list[Cpu]:
        return [cpu for cpu in facts.cpus if not pinned or cpu.number in pinned]

    def clocks(facts: DeviceFacts | None) -> dict[int, float] | None:
        return {cpu.number: cpu.now_mhz for cpu in used(facts) if cpu.now_mhz} or None if facts else None

    def temperatures(facts: DeviceFacts | None) -> dict[str, float] | None:
        return {zone.name: zone.celsius for zone in facts.zones} or None if facts else None

    during = Looks().and_then(*(of_cores(look, pinned) for look in meanwhile.clocks_mhz))
    return RunContext(
        governor=next((cpu.governor for cpu in used(before) if cpu.governor), None),
        clock_mhz_before=clocks(before),
        clock_mhz_during=dict(during.slowest) or None,
        clock_mhz_during_most=dict(during.fastest) or None,
        clock_mhz_after=clocks(after),
        temperature_c_before=temperatures(before),
        temperature_c_after=temperatures(after),
        throttle_bits_before=before.throttled,
        throttle_bits=after.throttled if after else None,
        load_before=before.load,
        load_after=after.load if after else None,
        other_load=meanwhile.other_load,
        cpuset=usage.cpuset,
        affinity=ranges(pinned) or None,
        peak_memory_bytes=usage.peak_memory_bytes,
        page_faults_minor=usage.page_faults_minor,
        page_faults_major=usage.page_faults_major,
        context_switches_voluntary=usage.context_switches_voluntary,
        context_switches_involuntary=usage.context_switches_involuntary,
        handover_ns=usage.handover_ns,
        abi=abi,
        kernel_release=before.kernel,
    )
