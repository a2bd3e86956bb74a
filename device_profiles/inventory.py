"""The user's inventory: which boards he has, and how he reaches each one.

The file ``devices.toml`` holds one table a device::

    [devices.kitchen-pi]
    profile = "rpi4"          # id or alias of a device profile
    host = "192.168.1.20"     # address, name, or a host alias of ~/.ssh/config
    user = "pi"
    tags = ["nightly"]

A device without a table is reached as ``ssh`` itself would reach it: its name is a host alias of the user's
``~/.ssh/config``. Then the name has to be a profile's, since nothing else says what the board is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bibench_deploy.errors import InputError, did_you_mean

from .profile import LOCAL, DeviceProfile, find_profile, profile_names
from .reach import Port, UserName, WorkFolder
from .toml_data import parse_toml, validated

FILE = "devices.toml"

#: What may stand after ``devices.`` and in a comma list: no blank, no quote, no leading dash.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
DeviceName = Annotated[str, Field(pattern=NAME_PATTERN)]
# Anything ssh takes as a host, and nothing that a program would take as an option.
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:\[][A-Za-z0-9._:%\[\]-]*$")]
# As ssh's -J and ProxyJump: [user@]host[:port], several with commas.
JumpHosts = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\[][A-Za-z0-9._:%@,\[\]+-]*$")]

_REMEDY = "see docs/devices.md for the keys of a device"
_NO_PASSWORDS = (
    "passwords are not kept: make a key with ssh-keygen and take it to the device with ssh-copy-id"
)


class HostEntry(BaseModel):
    """How one user reaches one board; what is left out is ``~/.ssh/config``'s, then the profile's, then ssh's.

    Attributes:
        profile: id or alias of the board's profile.
        host: address, name, or a host alias of ``~/.ssh/config``.
        user: login on the device.
        port: TCP port of the sshd, 1 to 65535.
        key: private key file; ``~`` and a path relative to the inventory's folder are resolved on reading.
        known_hosts: file of host keys instead of the user's own; resolved as ``key`` is.
        jump: jump hosts, ``[user@]host[:port]``, several with commas.
        workdir: folder on the device for what is pushed: absolute, or relative to the login's home.
        tags: groups that ``--tag`` chooses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    profile: Annotated[str, Field(min_length=1)]
    host: HostName
    user: UserName | None = None
    port: Port | None = None
    key: Path | None = None
    known_hosts: Path | None = None
    jump: JumpHosts | None = None
    workdir: WorkFolder | None = None
    tags: tuple[DeviceName, ...] = ()

    @field_validator("key", "known_hosts", mode="after")
    @classmethod
    def _is_a_file_name(cls, path: Path | None) -> Path | None:
        if path is not None and not path.name:  # "" and "." are the folder itself
            raise ValueError("a file name is needed")
        return path


@dataclass(frozen=True)
class Device:
    """A board that a command can work on.

    Attributes:
        name: as the user typed it, or the inventory's name.
        profile: facts about the board.
        entry: how it is reached; None stands for the host alias ``name`` of ``~/.ssh/config``.
    """

    name: str
    profile: DeviceProfile
    entry: HostEntry | None = None

    @property
    def host(self) -> str:
        """What ssh is asked for: an address, a name or a host alias of ``~/.ssh/config``."""
        return self.entry.host if self.entry else self.name

    @property
    def workdir(self) -> str:
        """Folder on the device for what is pushed: absolute, or relative to the login's home."""
        return (self.entry and self.entry.workdir) or self.profile.reach.workdir


@dataclass(frozen=True)
class Inventory:
    """The devices of one user.

    Attributes:
        path: the file; it need not exist.
        entries: by name, in the file's order.
    """

    path: Path
    entries: Mapping[str, HostEntry] = field(default_factory=dict)

    def resolve(
        self, names: Iterable[str], tags: Iterable[str], profiles: Mapping[str, DeviceProfile]
    ) -> tuple[Device, ...]:
        """The devices with these names, then those that have any of these tags; each once, order kept.

        The local machine is no device of an inventory: callers take ``local`` out first.

        Raises:
            InputError: an unknown name, tag or profile.
        """
        wanted = dict.fromkeys(names)
        for tag in tags:
            wanted |= dict.fromkeys(self._tagged(tag))
        return tuple(self.device(name, profiles) for name in wanted)

    def device(self, name: str, profiles: Mapping[str, DeviceProfile]) -> Device:
        """The device of this name.

        Raises:
            InputError: neither the inventory nor the profiles know it, or its entry names an unknown profile.
        """
        if name in self.entries:
            entry = self.entries[name]
            return Device(name, find_profile(entry.profile, profiles, where=self.where(name)), entry)
        if name not in profile_names(profiles):
            raise self._unknown(name, profiles)
        return Device(name, find_profile(name, profiles))

    def where(self, name: str) -> str:
        """A table of the file, for messages."""
        return f"{self.path} [devices.{name}]"

    def _tagged(self, tag: str) -> list[str]:
        tagged = [name for name, entry in self.entries.items() if tag in entry.tags]
        if not tagged:
            known = sorted({tag for entry in self.entries.values() for tag in entry.tags})
            raise InputError(
                f"no device has the tag '{tag}'",
                where=str(self.path),
                remedy=f"the tags are: {', '.join(known)}"
                if known
                else 'give devices tags = ["nightly"] there',
            )
        return tagged

    def _unknown(self, name: str, profiles: Mapping[str, DeviceProfile]) -> InputError:
        meant = did_you_mean(name, [*self.entries, *profile_names(profiles)])
        mine = f"your inventory {self.path} has: {', '.join(self.entries) or 'none'}; "
        return InputError(
            f"unknown device '{name}'",
            remedy=f"{meant}{mine}the profiles are: {', '.join(sorted(profiles))}; "
            "add yours with 'bibench-deploy devices add'",
        )


def default_path() -> Path:
    """``devices.toml`` in the folder where this system keeps a user's configuration."""
    from platformdirs import user_config_path

    return user_config_path("bibench-deploy", appauthor=False) / FILE


def read_inventory(path: Path | None = None) -> Inventory:
    """The inventory in a file; the user's own, which may be missing, where none is given.

    Raises:
        InputError: a given file is missing, or a file is not a valid inventory.
    """
    file = path or default_path()
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        if path is None:
            return Inventory(file)
        raise InputError(
            "there is no such inventory", where=str(file), remedy="make it with 'bibench-deploy devices add'"
        ) from error
    except OSError as error:
        raise InputError(f"can't be read ({error.strerror})", where=str(file), remedy=_REMEDY) from error
    return parse_inventory(data, file)


def parse_inventory(data: bytes, path: Path) -> Inventory:
    """The inventory in the bytes of a file.

    Raises:
        InputError: not a valid inventory; names the table and the key.
    """
    document = parse_toml(data, str(path))
    tables = document.pop("devices", {})
    if document or not isinstance(tables, dict):
        raise InputError(
            f"not a valid inventory ({next(iter(document), 'devices')}: not a table [devices.NAME])",
            where=str(path),
            remedy=_REMEDY,
        )
    return Inventory(path, {name: read_entry(name, table, path) for name, table in tables.items()})


def read_entry(name: str, table: object, path: Path) -> HostEntry:
    """One device's table in an inventory's file; its files' paths are made absolute.

    Raises:
        InputError: a name or a key that can't be.
    """
    where = Inventory(path).where(name)
    check_name(name, where)
    if isinstance(table, dict) and "password" in table:
        raise InputError("a password has no place here", where=where, remedy=_NO_PASSWORDS)
    entry = validated(HostEntry, table, what="device", where=where, remedy=_REMEDY)
    files = {"key": entry.key, "known_hosts": entry.known_hosts}
    return entry.model_copy(
        update={key: path.parent / file.expanduser() for key, file in files.items() if file is not None}
    )


def is_name(text: str) -> bool:
    """Whether a device, or a tag, may be called so."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def check_name(name: str, where: str) -> None:
    """Refuse a device name that could not be typed or that means something else.

    Raises:
        InputError: as said.
    """
    if name == LOCAL:
        raise InputError(f"'{LOCAL}' always is this machine", where=where, remedy="choose another name")
    if not is_name(name):
        raise InputError(
            f"'{name}' can't name a device", where=where, remedy="use letters, digits, '.', '_', '+' and '-'"
        )


def split_names(values: Iterable[str]) -> tuple[str, ...]:
    """Names of ``--device a,b --device c``, each once, in order.

    Raises:
        InputError: an empty name.
    """
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise InputError("an empty name in a list of devices or tags", remedy="write them as a,b,c")
    return tuple(dict.fromkeys(names))
