"""The user's own inventory as a source of devices: nobody to ask, so nothing to reserve."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bibench_deploy.device_profiles import Device, DeviceProfile, read_inventory
from bibench_deploy.device_profiles.inventory import default_path

from .base import Say


class InventoryProvider:
    """See ``DeviceProvider``.

    Args:
        path: the file, read when it is needed; the user's own by default.
        profiles: by id.
    """

    def __init__(self, path: Path | None, profiles: Mapping[str, DeviceProfile]) -> None:
        self._path, self._profiles = path, profiles

    @property
    def where(self) -> str:
        """For messages."""
        return str(self._path or default_path())

    def names(self) -> tuple[str, ...]:
        """All entries, in the file's order.

        Raises:
            InputError: the file is no inventory.
        """
        return tuple(read_inventory(self._path).entries)

    def resolve(self, names: Sequence[str], tags: Sequence[str]) -> tuple[Device, ...]:
        """See ``Inventory.resolve``.

        Raises:
            InputError: an unknown name, tag or profile, or the file is no inventory.
        """
        return read_inventory(self._path).resolve(names, tags, self._profiles)

    @contextmanager
    def reserved(self, device: Device, say: Say, stop: threading.Event) -> Iterator[Device]:
        """The device as it is: the lease that lies on it keeps others away."""
        yield device

    def check(self, device: Device) -> None:
        """Nobody can take it away."""
