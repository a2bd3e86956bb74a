"""The most binary work that a device's cores can do, by the table of core types and the clocks seen there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bibench_deploy.device_profiles import CoreType

from .facts import DeviceFacts

MEGA_PER_GIGA = 1000


def predicted_gmacs(
    facts: DeviceFacts,
    cores: Mapping[str, CoreType],
    clock_mhz: Mapping[int, float],
    threads: int,
    pinned: Collection[int] = (),
) -> float | None:
    """10⁹ binary multiply-accumulates in a second that so many threads can't pass; see ``device_profiles.cores``.

    Where they may run is the system's choice, so the fastest cores count; a thread beyond the cores brings nothing.

    Args:
        cores: the table of core types.
        clock_mhz: of each core, as it was seen while they were at work.
        pinned: cores that the threads may use; none for all.

    Returns:
        None where a core's type or its clock is not known.
    """
    of_core = {cpu: cores.get(group.core or "") for group in facts.groups for cpu in group.cpus}
    rates = []
    for cpu in pinned or of_core:
        core, mhz = of_core.get(cpu), clock_mhz.get(cpu)
        per_cycle = core.popcount_ceiling if core else None
        if per_cycle is None or mhz is None:
            return None
        rates.append(per_cycle * mhz / MEGA_PER_GIGA)
    return sum(sorted(rates, reverse=True)[:threads]) or None
