"""What the libraries' exceptions mean to a user. Pure."""

from __future__ import annotations

import errno
import os
import socket

import paramiko
from paramiko.ssh_exception import (
    ChannelException,
    IncompatiblePeer,
    NoValidConnectionsError,
    ProxyCommandFailure,
)

from bibench_deploy.errors import ConnectionLostError, DeviceError, PermanentDeviceError, UnreachableError

_LOOK = "check that the device is on, its address and its network"

# What a failure to connect can be, beside a DeviceError of our own.
CONNECTING = (OSError, EOFError, paramiko.SSHException)


def connecting_error(error: Exception, *, address: str, device: str, step: str) -> DeviceError:
    """The error of a connection that could not be made.

    Args:
        address: "HOST port PORT", for the message.
    """
    kind, message, remedy = _meaning(error)
    return kind(f"{address}: {message}", device=device, step=step, remedy=remedy)


def _meaning(error: Exception) -> tuple[type[DeviceError], str, str]:
    if isinstance(error, socket.gaierror):
        return (
            UnreachableError,
            f"the name is not found ({error.strerror})",
            "check the spelling, and the network",
        )
    if isinstance(error, TimeoutError):
        return UnreachableError, "no answer", _LOOK
    if isinstance(error, NoValidConnectionsError):
        return _refused(error)
    if isinstance(error, ProxyCommandFailure):
        return UnreachableError, f"the ProxyCommand ended: {error}", "try it by hand"
    if isinstance(error, ChannelException):
        return UnreachableError, f"the jump host can't reach it ({error.text})", _LOOK
    if isinstance(error, IncompatiblePeer):
        return PermanentDeviceError, f"no common algorithm ({error})", "update the SSH server of the device"
    if isinstance(error, OSError):
        reason = os.strerror(error.errno) if error.errno else str(error)
        return UnreachableError, reason, _LOOK
    if "banner" in str(error):
        return UnreachableError, "accepts connections, but no SSH server answers there", "check the port"
    return ConnectionLostError, f"broke while connecting ({error or type(error).__name__})", _LOOK


def _refused(error: NoValidConnectionsError) -> tuple[type[DeviceError], str, str]:
    numbers = {one.errno for one in error.errors.values()}
    if errno.ECONNREFUSED in numbers:
        return (
            UnreachableError,
            "connection refused",
            "check that an SSH server runs there, and the port (Termux has 8022)",
        )
    return UnreachableError, " and ".join(sorted(os.strerror(n) for n in numbers if n)), _LOOK
