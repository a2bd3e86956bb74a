"""What the commands about devices share: their options, and the devices that they choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.cli import console, targets
from bibench_deploy.cli.options import sharing
from bibench_deploy.cli.targets import AcceptOption, InventoryOption, ProfilesOption, TagOption
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from bibench_deploy.device_profiles import CoreType, Device, DeviceProfile
    from bibench_deploy.runners.transport.base import Transport
    from bibench_deploy.runners.transport.retry import Retry

NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Devices; 'local' is this machine.")
]


@dataclass(frozen=True)
class Chosen:
    """Devices that the user chose, in his order, and how they are reached.

    Attributes:
        profiles: folders of the user's own.
    """

    devices: tuple[Device, ...]
    accept_new_host_key: bool
    profiles: Sequence[Path]

    def cores(self) -> dict[str, CoreType]:
        """What is known of core types, by name.

        Raises:
            InputError: the user's own are not valid.
        """
        from bibench_deploy.device_profiles import load_cores

        return load_cores(self.profiles)

    def open(self, device: Device) -> AbstractContextManager[Transport]:
        """The way to one of them, open; tells the user of each attempt that failed.

        Raises:
            DeviceError: it can't be reached, trusted or entered.
        """
        from bibench_deploy.device_profiles import LOCAL

        if device.name == LOCAL:
            from bibench_deploy.runners.transport.local import LocalTransport

            return LocalTransport()
        from bibench_deploy.runners.transport.link import SshOptions
        from bibench_deploy.runners.transport.ssh import open_transport

        options = SshOptions(accept_new_host_key=self.accept_new_host_key, report=_say_retry)
        return open_transport(device, options)


def _choose(
    names: NamesArgument = None,
    tag: TagOption = None,
    accept_new_host_key: AcceptOption = False,
    inventory: InventoryOption = None,
    profiles: ProfilesOption = None,
) -> Chosen:
    devices = chosen_devices(names or [], tag or [], inventory, profiles or [])
    return Chosen(devices, accept_new_host_key, profiles or [])


#: Gives a command, whose first parameter is ``chosen``, the options that choose devices and how they are reached.
choosing_devices = sharing(_choose)


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
    from bibench_deploy.device_profiles import load_profiles

    wanted, found = targets.choose(names, tags, inventory, folders)
    if not wanted:
        raise InputError("no device was named", remedy="name devices, or choose some with --tag")
    return tuple(found.get(name) or local_device(load_profiles(folders)) for name in wanted)


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


def _say_retry(retry: Retry) -> None:
    console.warn(f"{retry.error.message}; again in {retry.delay_s:.0f} s ({retry.attempt} of {retry.of})")
