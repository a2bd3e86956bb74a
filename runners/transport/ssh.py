"""A device at the other end of SSH: fabric and paramiko below, strict about who the host is."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import fabric

from bibench_deploy.device_profiles.inventory import Device
from bibench_deploy.errors import ConnectionLostError, DeviceError, PermanentDeviceError, StepTimeoutError

from .channel import Channel, goodbye, within
from .exchange import Wire
from .faults import CONNECTING
from .link import CHANNEL_S, SshOptions, open_chain, prepare
from .retry import retrying
from .route import Hop, read_config, route
from .shell import PATIENCE_S, reaper
from .shelled import ShelledTransport

# paramiko writes the tracebacks of its threads to its log; what matters of them reaches us as exceptions.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def open_transport(device: Device, options: SshOptions | None = None) -> SshTransport:
    """A connection to a device.

    Raises:
        DeviceError: it can't be reached, trusted or entered.
        InputError: the ssh configuration can't be read.
    """
    options = options or SshOptions()
    home = Path.home()
    hop = route(device, read_config(options.config, home), os.environ, home)
    transport = SshTransport(device.name, hop, options)
    try:
        transport.connect()
    except BaseException as error:
        transport.close()
        if device.entry is None and hop.host == device.name and isinstance(error.__cause__, socket.gaierror):
            raise _not_entered(device) from error
        raise
    return transport


def _not_entered(device: Device) -> PermanentDeviceError:
    """The first thing that a new user meets: a profile is known by this name, a host is not."""
    return PermanentDeviceError(
        f"'{device.name}' is a profile, and nothing says where yours is: no entry of your inventory, no HostName "
        "in ~/.ssh/config, and the network does not know the name",
        device=device.name,
        step="connecting",
        remedy=f"bibench-deploy devices add {device.name} --profile {device.name} --host ADDRESS",
    )


class SshTransport(ShelledTransport):
    """Scripts, files and a link that is made anew when it broke.

    Args:
        device: name, for messages.
        hop: the way.
        options: see there.
    """

    def __init__(self, device: str, hop: Hop, options: SshOptions) -> None:
        super().__init__(device)
        self._hop = hop
        self._options = options
        self._connection: fabric.Connection | None = None
        # Names of runs whose end the device could not tell; it may still be busy with them.
        self._unfinished: list[str] = []

    def connect(self) -> None:
        """Make the link if there is none.

        Raises:
            DeviceError: see ``open_transport``.
        """
        if self._connection is None or not self._connection.is_connected:
            self._drop()
            self._connection = retrying(self._connected, self._options.backoff, self._options.report)
            self._reap()

    def open_wire(self, command: str, name: str, step: str) -> Wire:
        """See ``ShelledTransport``."""
        self.connect()
        return self._wire(command, name, step)

    def close(self) -> None:
        """See ``Transport.close``."""
        self._drop()

    def _wire(self, command: str, name: str, step: str) -> Wire:
        assert self._connection is not None
        transport = self._connection.transport

        def open_channel() -> Any:
            channel = transport.open_session(timeout=CHANNEL_S)
            channel.exec_command(command)
            return channel

        try:
            channel = within(CHANNEL_S + 5.0, open_channel)
        except CONNECTING as error:
            active = transport.is_active()
            self._drop()
            if isinstance(error, TimeoutError):
                raise StepTimeoutError(
                    "the device opens no session", device=self.device, step=step, remedy="run it again"
                ) from error
            raise ConnectionLostError(
                f"the device refused a session ({error})" if active else "the connection broke",
                device=self.device,
                step=step or None,
                remedy="check power and network of the device, then run it again",
            ) from error

        def doubt() -> None:
            self._unfinished.append(name)
            self._drop()

        return Channel(channel, doubt)

    def _reap(self) -> None:
        """After a broken link: see that nothing of us is left running on the device."""
        if not self._unfinished:
            return
        names, self._unfinished = self._unfinished, []
        step = "stopping what the broken link left running"
        try:
            done = self.exchange_over(self._wire, reaper(names), 2.0 * PATIENCE_S, b"", step)
        except DeviceError:
            self._unfinished += names
            raise
        if done.status != 0:
            self._unfinished += names
            raise StepTimeoutError(
                "a process of the interrupted step can't be killed",
                device=self.device,
                step=step,
                remedy="restart the device",
            )

    def _connected(self) -> fabric.Connection:
        """A new link.

        Raises:
            DeviceError: see ``open_transport``.
        """
        connection = prepare(self._hop, self._options, self.device)
        try:
            open_chain(connection, self._options.connect_timeout_s, self.device)
        except BaseException:
            goodbye(connection.close)
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            goodbye(connection.close)
