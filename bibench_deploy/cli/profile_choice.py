"""What ``profile`` measures and where; what is left out, and what will disturb the figures, is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bibench_deploy.cli import console, targets
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bibench_deploy.device_profiles import Device
    from bibench_deploy.profile_plan import Plan, Target
    from bibench_deploy.runners.providers import DeviceProvider
    from bibench_deploy.runners.timing import MeasureRule
    from bibench_deploy.runners.workspace import Artefact

#: Other work on this share of the cores shows in the figures.
BUSY = 0.5


def timed_here(chosen: Sequence[Artefact], named: bool) -> frozenset[str] | None:
    """Engines whose artefacts are timed on this machine; None for all, where the user named the artefacts."""
    from bibench_deploy.converters.engine import engine_names
    from bibench_deploy.runners.session import is_timed_here

    if named:
        return None
    return frozenset(filter(is_timed_here, [*engine_names(), *(a.manifest.engine for a in chosen)]))


def targets_of(
    names: Sequence[str],
    remote: dict[str, Device],
    source: DeviceProvider,
    counts: Sequence[int],
    manner: targets.Manner,
    named: bool,
    here: frozenset[str] | None,
) -> list[Target]:
    """The devices that are measured on, this machine as one of them.

    Args:
        names: in the order in which they are shown.
        remote: those that are not this machine.
        named: whether the user named the artefacts: one that a device can't execute is an error then.
        here: engines whose artefacts are timed on this machine; see ``timed_here``.
    """
    from bibench_deploy.local_place import local
    from bibench_deploy.profile_plan import Target

    if not remote:
        _warn_about_this_machine(counts, manner.cpus)
        return [Target(name, local(manner.cpus), here) for name in names]
    from bibench_deploy.device_profiles import load_cores
    from bibench_deploy.runners.device.place import engines

    cores, on_devices = load_cores(), engines(lambda message: console.stderr().print(message, markup=False))
    return [
        targets.target(remote[name], cores, on_devices, counts, manner, named, source)
        if name in remote
        else Target(name, local(manner.cpus), here)
        for name in names
    ]


def plan_of(
    chosen: Sequence[Artefact], counts: Sequence[int], rule: MeasureRule, measured_on: Sequence[Target]
) -> Plan:
    """What is measured; says what is left out.

    Raises:
        InputError: nothing is left.
    """
    from bibench_deploy.profile_plan import Plan
    from bibench_deploy.runners.workspace import groups

    plan = Plan(groups(chosen), counts, rule)
    for target in measured_on:
        left_out = [
            a for a in chosen if target.engines is not None and a.manifest.engine not in target.engines
        ]
        if left_out:
            engines = ", ".join(sorted({artefact.manifest.engine for artefact in left_out}))
            why = (
                f"{engines} does not run on this machine"
                if target.name == targets.LOCAL
                else f"no program of {engines} is registered for devices (see 'engines add')"
            )
            console.warn(f"{target.name}: {why}: {len(left_out)} artefacts left out")
        if len(left_out) == len(chosen):
            raise InputError(
                "none of the artefacts can be executed on it",
                where=target.name,
                remedy=f"convert the model for: {', '.join(sorted(target.engines or ()))}",
            )
    return plan


def _warn_about_this_machine(counts: Sequence[int], cpus: str | None) -> None:
    from bibench_deploy.runners.clusters import choose_local
    from bibench_deploy.runners.host import load_average, local_host

    host = local_host()
    over = targets.oversubscribed(counts, len(choose_local(cpus)) if cpus else host.cores)
    if over:
        console.warn(over)
    load = load_average()
    if load is not None and load > BUSY * host.cores:
        console.warn(f"the machine is busy (load {load:.1f} on {host.cores} cores): figures will be too high")
    if host.governor not in (None, "performance"):
        console.warn(
            f"the clock follows the governor '{host.governor}'; 'performance' gives steadier figures"
        )
