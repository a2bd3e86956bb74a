"""``convert --verify-on``: what new artefacts compute on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from bibench_deploy.cli import console, targets
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bibench_deploy.device_profiles import Device
    from bibench_deploy.runners.device.place import DevicePlace

_NO_PROGRAM = "no program of {engine} is registered (bibench-deploy engines add {engine} PATH)"
_NOT_TOLD = "its engine's program does not tell what it computes on the artefact's stored rows"


def chosen(name: str, inventory: Path | None, profiles: Sequence[Path]) -> Device:
    """The device to verify on.

    Raises:
        InputError: it is unknown, several, or this machine.
    """
    device = targets.one(targets.choose([name], [], inventory, profiles))
    if device is None:
        raise InputError(
            "artefacts are always verified on this machine", where="--verify-on local", remedy="name a device"
        )
    return device


def verify_on(
    device: Device, artefacts: Sequence[Path], manner: targets.Manner, profiles: Sequence[Path]
) -> list[dict[str, Any]]:
    """Execute artefacts on a device and compare their outputs; one entry each, ``verified`` None if unknown.

    Raises:
        DeviceComputesOtherwiseError: one computes something else there.
        DeviceError, EngineError, InputError: it can't be executed there.
    """
    from bibench_deploy.device_profiles import load_cores
    from bibench_deploy.runners.device.place import engines, opened

    def say(message: str) -> None:
        console.stderr().print(message, markup=False, soft_wrap=True)

    known = engines(say)
    with opened(targets.session(device, load_cores(profiles), manner, "convert", say), known) as place:
        return [_verified(device.name, place, path, set(known)) for path in artefacts]


def show(found: Sequence[dict[str, Any]]) -> None:
    """Print what was found, a line each."""
    for entry in found:
        what = f"{entry['engine']} {entry['variant']} on {entry['device']}"
        if entry["verified"]:
            typer.echo(
                f"  {what}: verified, {entry['rows']} row{'s' * (entry['rows'] != 1)}: {entry['basis']}"
            )
        else:
            typer.echo(f"  {what}: not verified: {entry['basis']}")


def _verified(device: str, place: DevicePlace, path: Path, known: set[str]) -> dict[str, Any]:
    from bibench_deploy.runners.workspace import read_artefact

    artefact = read_artefact(path)
    manifest = artefact.manifest
    entry: dict[str, Any] = {
        "device": device,
        "engine": manifest.engine,
        "variant": manifest.variant,
        "path": str(path),
        "verified": None,
        "rows": 0,
    }
    if manifest.engine not in known:
        return entry | {"basis": _NO_PROGRAM.format(engine=manifest.engine)}
    on_device = place.on_device(artefact)
    check = on_device.check()
    session = on_device.session
    agreement = session.persistently(lambda: on_device.verify(check, 1, f"verifying {path.name}"))
    if agreement is None:
        return entry | {"basis": _NOT_TOLD}
    facts = {"identical": agreement.identical, "largest_difference": agreement.largest}
    return entry | {"verified": True, "rows": agreement.rows, "basis": agreement.basis, **facts}
