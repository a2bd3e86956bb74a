"""Options of the commands that work on devices, and the devices that they choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from bibench_deploy.device_profiles import Device, DeviceProfile

InventoryOption = Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        metavar="FILE",
        help="Your devices; by default devices.toml of your configuration folder.",
    ),
]
ProfilesOption = Annotated[
    list[Path] | None,
    typer.Option("--profiles", metavar="DIR", help="A folder with your own device profiles (repeatable)."),
]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Devices with this tag (repeatable).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Devices; 'local' is this machine.")
]
NewHostKeyOption = Annotated[
    bool,
    typer.Option(
        "--accept-new-host-key", help="Trust a device that is seen for the first time, and keep its key."
    ),
]


def chosen_devices(
    names: Sequence[str], tags: Sequence[str], inventory: Path | None, folders: Sequence[Path]
) -> tuple[Device, ...]:
    """The devices that the user named or chose by tag, each once, in his order; ``local`` is this machine.

    Args:
        names, tags: each may be a list with commas.
        inventory: the file; the user's own by default.
        folders: of the user's device profiles.

    Raises:
        InputError: none was named, or an unknown one, or tag; the inventory or a profile is not valid.
    """
    from bibench_deploy.device_profiles import LOCAL, load_profiles, read_inventory, split_names

    wanted, groups = split_names(names), split_names(tags)
    if not wanted and not groups:
        raise InputError("no device was named", remedy="name devices, or choose some with --tag")
    profiles = load_profiles(folders)
    mine = read_inventory(inventory)
    found = {
        device.name: device
        for device in mine.resolve((name for name in wanted if name != LOCAL), groups, profiles)
    }
    if LOCAL in wanted:
        found[LOCAL] = local_device(profiles)
    return tuple(found[name] for name in dict.fromkeys((*wanted, *found)))


def local_device(profiles: Mapping[str, DeviceProfile]) -> Device:
    """This machine, with the generic profile of its architecture.

    Raises:
        InputError: an architecture without one.
    """
    import platform

    from bibench_deploy.device_profiles import LOCAL, Device

    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    for profile in profiles.values():
        if profile.arch == machine and not profile.clusters:
            return Device(LOCAL, profile)
    raise InputError(
        f"there is no profile for machines of the kind {machine}", where=LOCAL, remedy="make one (--profiles)"
    )


def missing_files(device: Device) -> list[str]:
    """Files of this machine that a device's entry names and that are not there, in words."""
    entry = device.entry
    files = {"key": entry.key, "known_hosts": entry.known_hosts} if entry else {}
    return [f"{name}: there is no file {file}" for name, file in files.items() if file and not file.is_file()]
