"""What the stages above know of a source of devices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from bibench_deploy.device_profiles import Device

Say = Callable[[str], None]


class DeviceProvider(Protocol):
    """A source of devices. Its methods may be called by several threads at once.

    That a device is *reserved* says that no other user of the source gets it. That no one measures there at the
    same time is the business of the lease on the device itself, which a session takes in any case.
    """

    @property
    def where(self) -> str:
        """The source, for messages."""
        ...

    def names(self) -> tuple[str, ...]:
        """All devices there are.

        Raises:
            InputError, InfrastructureError: the source can't be asked.
        """
        ...

    def resolve(self, names: Sequence[str], tags: Sequence[str]) -> tuple[Device, ...]:
        """The devices with these names, then those that have any of these tags; each once, order kept.

        Nothing is reserved: the address of a device may be unknown until it is.

        Raises:
            InputError: an unknown name, tag or profile.
            InfrastructureError: the source can't be asked.
        """
        ...

    def reserved(self, device: Device, say: Say, stop: threading.Event) -> AbstractContextManager[Device]:
        """A device of ``resolve``, ours while the block runs; entering waits until it is free.

        Args:
            say: told what is waited for.
            stop: set by another thread when the command is to be ended.

        Returns:
            A context manager that yields the device with the address by which it is reached.

        Raises:
            DeviceError: it can't be had; transient where trying again may help.
            Stopped: told to.
        """
        ...

    def check(self, device: Device) -> None:
        """Make sure that a reserved device still is ours: what was measured on it since the last time may be kept.

        Raises:
            TransientDeviceError: someone else was given it meanwhile.
        """
        ...
