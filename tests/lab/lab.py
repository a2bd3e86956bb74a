"""Several simulated devices with one key, one ssh configuration and one inventory."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.addresses import own_address

from .device import SimulatedDevice
from .network import Link
from .setup import Setup

PORT = 2222  # of a device that has a network of its own


class Lab:
    """Devices that go off together.

    Attributes:
        key: the private key that every device knows.
        known_hosts, ssh_config, inventory: written anew whenever a device comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key"
        self.known_hosts = folder / "known_hosts"
        self.ssh_config = folder / "ssh_config"
        self.inventory = folder / "devices.toml"
        self.devices: dict[str, SimulatedDevice] = {}
        self._entries: dict[str, dict[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", self.key], check=True
        )

    def add(self, name: str, setup: Setup, *, profile: str, **entry: Any) -> SimulatedDevice:
        """Switch a device on and write it into the ssh configuration and the inventory.

        Args:
            profile: the inventory's, as are `entry`'s other keys (``workdir``, ``tags``).

        Raises:
            CannotSimulateError: this machine lacks something.
        """
        return self.add_all({name: setup}, profile=profile, **entry)[0]

    def add_all(self, setups: Mapping[str, Setup], *, profile: str, **entry: Any) -> list[SimulatedDevice]:
        """Several at once."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            made = list(pool.map(lambda item: self._switch_on(*item), setups.items()))
        for device in made:
            self.devices[device.name] = device
            self._entries[device.name] = {
                "profile": profile,
                "host": device.address,
                "port": device.port,
                "user": device.user,
                "key": str(self.key),
                "known_hosts": str(self.known_hosts),
                **entry,
            }
        self._write()
        return made

    def _switch_on(self, name: str, setup: Setup) -> SimulatedDevice:
        link = Link.free() if setup.network else None
        address, port = (link.device, PORT) if link is not None else own_address()
        device = SimulatedDevice(name, setup, self.folder / name, address, port, link)
        device.power_on()
        return device

    def entry(self, name: str) -> dict[str, Any]:
        """A device's table of the inventory."""
        return self._entries[name]

    def _write(self) -> None:
        devices = self.devices.values()
        self.known_hosts.write_text("".join(device.known_hosts_line() for device in devices))
        self.ssh_config.write_text(
            "".join(
                f"Host {device.name}\n    HostName {device.address}\n    Port {device.port}\n"
                f"    User {device.user}\n    IdentityFile {self.key}\n    IdentitiesOnly yes\n"
                f"    UserKnownHostsFile {self.known_hosts}\n    StrictHostKeyChecking yes\n\n"
                for device in devices
            )
        )
        self.inventory.write_text("\n".join(map(self._table, self._entries)))

    def _table(self, name: str) -> str:
        lines = [f"[devices.{name}]"]
        for key, value in self._entries[name].items():
            if isinstance(value, int):
                text = str(value)
            elif isinstance(value, str):
                text = _quoted(value)
            else:
                text = "[" + ", ".join(map(_quoted, value)) + "]"
            lines.append(f"{key} = {text}")
        return "\n".join(lines) + "\n"

    def ssh(self, name: str, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """What OpenSSH's own client gets from a device, for comparison."""
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", *options, name, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def close(self) -> None:
        for device in self.devices.values():
            device.power_off()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
