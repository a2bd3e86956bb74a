"""Where devices come from: the user's inventory, or a lab that gives them to one control host at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bibench_deploy.device_profiles import DeviceProfile, read_inventory

from .base import DeviceProvider
from .inventory import InventoryProvider

__all__ = ["DeviceProvider", "InventoryProvider", "provider"]


def provider(
    lab: str | None, inventory: Path | None, profiles: Mapping[str, DeviceProfile], *, wait: bool = True
) -> DeviceProvider:
    """Where a command's devices come from.

    Args:
        lab: URL of a lab, as ``labgrid://HOST:PORT``; None for the inventory alone.
        inventory: the file; the user's own by default.
        profiles: by id.
        wait: until a device that someone else has reserved is free; refused otherwise.

    Raises:
        InputError: not the URL of a lab, or beside one a file that is no inventory.
        MissingExtraError: the lab's client is not installed.
    """
    if lab is None:
        return InventoryProvider(inventory, profiles)
    from .labgrid import LabgridProvider, address_of

    return LabgridProvider(address_of(lab), read_inventory(inventory), profiles, wait=wait)
