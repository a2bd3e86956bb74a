"""The user's own inventory as a source of devices: nobody to ask, so nothing to reserve."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bibench_deploy.device_profiles import Device, DeviceProfile, Inventory

from .base import Say


class InventoryProvider:
    """See ``DeviceProvider``.

    Args:
        inventory: the devices.
        profiles: by id.
    """

    def __init__(self, inventory: Inventory, profiles: Mapping[str, DeviceProfile]) -> None:
        self._inventory, self._profiles = inventory, profiles

    def resolve(self, names: Sequence[str], tags: Sequence[str]) -> tuple[Device, ...]:
        """See ``Inventory.resolve``.

        Raises:
            InputError: an unknown name, tag or profile.
        """
        return self._inventory.resolve(names, tags, self._profiles)

    @contextmanager
    def reserved(self, device: Device, say: Say, stop: threading.Event) -> Iterator[Device]:
        """The device as it is: the lease that lies on it keeps others away."""
        yield device

    def check(self, device: Device) -> None:
        """Nobody can take it away."""
