"""``bibench-deploy devices probe`` and ``devices doctor``: what devices really are, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.device_options import Chosen, choosing_devices, missing_files
from bibench_deploy.cli.options import JsonOption
from bibench_deploy.errors import DeviceError

if TYPE_CHECKING:
    from bibench_deploy.device_profiles import CoreType, Device
    from bibench_deploy.runners.device.facts import DeviceFacts
    from bibench_deploy.runners.device.finding import Finding

#: Exit code of the doctor when a device can't be used: device or infrastructure.
CAN_NOT_RUN = 3


@choosing_devices
def probe(chosen: Chosen, as_json: JsonOption = False) -> None:
    """Read what devices really are: cores, clocks, memory, sensors; and where their profiles say otherwise."""
    from bibench_deploy.cli.device_fact_views import print_facts_of
    from bibench_deploy.runners.device.contradictions import contradictions

    cores = chosen.cores()
    rows: list[dict[str, Any]] = []
    errors: list[DeviceError] = []
    for device in chosen.devices:
        try:
            facts = _facts(chosen, device, cores)
        except DeviceError as error:
            errors.append(error)
            rows.append({"device": device.name, "profile": device.profile.id, "error": str(error)})
            continue
        found = contradictions(facts, device.profile, cores)
        rows.append(
            {
                "device": device.name,
                "profile": device.profile.id,
                "facts": facts.model_dump(mode="json"),
                "contradictions": [asdict(finding) for finding in found],
            }
        )
        if not as_json:
            print_facts_of(device, facts, console.stdout())
            for finding in found:
                console.warn(f"{device.name}: {finding.what}; {finding.why}")
    if as_json:
        console.print_json({"devices": rows})
    for failure in errors[:-1]:
        console.warn(str(failure))
    if errors:
        raise errors[-1]


@choosing_devices
def doctor(chosen: Chosen, as_json: JsonOption = False) -> None:
    """Say what would spoil a measurement on devices, or make a run impossible, and what to do about it.

    Exit code 3 if a device can't be used at all; 0 with warnings alone.
    """
    from bibench_deploy.cli.device_fact_views import print_findings

    cores = chosen.cores()
    rows: list[dict[str, Any]] = []
    for device in chosen.devices:
        found = _examine(chosen, device, cores)
        usable = all(finding.severity != "impossible" for finding in found)
        rows.append(
            {
                "device": device.name,
                "profile": device.profile.id,
                "usable": usable,
                "findings": [asdict(finding) for finding in found],
            }
        )
        if not as_json:
            print_findings(device, found, console.stdout())
    if as_json:
        console.print_json({"devices": rows})
    if not all(row["usable"] for row in rows):
        raise typer.Exit(CAN_NOT_RUN)


def _facts(chosen: Chosen, device: Device, cores: dict[str, CoreType]) -> DeviceFacts:
    """
    Raises:
        DeviceError: the device can't be reached or did not answer.
    """
    from bibench_deploy.runners.device.probe import probe as ask

    with chosen.open(device) as transport:
        return ask(transport, device.workdir, cores)


def _examine(chosen: Chosen, device: Device, cores: dict[str, CoreType]) -> list[Finding]:
    """All that is found, the worst first; each code once."""
    from bibench_deploy.runners.device.doctor import examine

    before = list(_missing_files(device))
    if before:
        return before
    try:
        facts = _facts(chosen, device, cores)
    except DeviceError as error:
        return [_unreachable(device, error)]
    return list(examine(facts, device.profile, cores))


def _missing_files(device: Device) -> Iterator[Finding]:
    from bibench_deploy.runners.device.finding import Finding

    for what in missing_files(device):
        yield Finding(
            "impossible",
            "missing-key",
            what,
            "the device can't be entered, or its host key can't be checked",
            "correct the path in the inventory; make a key with ssh-keygen and take it there with ssh-copy-id",
        )


def _unreachable(device: Device, error: DeviceError) -> Finding:
    from bibench_deploy.runners.device.finding import Finding

    remedy = error.remedy or "look whether it is switched on and in the network"
    if device.entry is None and "devices add" not in remedy:
        remedy += f"; '{device.name}' is not in your inventory ('bibench-deploy devices add')"
    return Finding("impossible", "unreachable", error.message, "nothing can be run on it", remedy)
