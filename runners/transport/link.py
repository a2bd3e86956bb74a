"""Links over SSH: through jump hosts, strict about who each host is, noticed when they go silent."""

from __future__ import annotations

import base64
import contextlib
import shlex
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fabric
import paramiko

from .certificates import SUFFIX, read_certificate
from .channel import within
from .faults import CONNECTING, connecting_error
from .host_keys import HostKeys
from .keys import Keys
from .retry import Backoff, Report, silent
from .route import Hop
from .shell import PATIENCE_S

# A link that is silent for this long is lost, s: as long as the device is patient with us.
SILENT_S = PATIENCE_S
_PROBE_S = 5

# Each step of setting up a link: the server's banner, one key, one channel; slow boards take seconds for a key.
BANNER_S = 15.0
AUTHENTICATION_S = 30.0
CHANNEL_S = 30.0


@dataclass(frozen=True)
class SshOptions:
    """How to connect.

    Attributes:
        accept_new_host_key: store the key of an unknown host instead of refusing it.
        config: ssh configuration instead of the user's and the system's.
        connect_timeout_s: for a TCP connection, s.
        backoff: of attempts to connect.
        report: told of each failed attempt.
    """

    accept_new_host_key: bool = False
    config: Path | None = None
    connect_timeout_s: float = 10.0
    backoff: Backoff = field(default_factory=Backoff)
    report: Report = silent


def open_chain(connection: fabric.Connection, connect_timeout_s: float, device: str) -> None:
    """Open a connection, after those before it.

    Raises:
        DeviceError: a host is not reached, not trusted, or does not trust us.
    """
    if isinstance(connection.gateway, fabric.Connection):
        open_chain(connection.gateway, connect_timeout_s, device)
    try:
        within(connect_timeout_s + BANNER_S + AUTHENTICATION_S + CHANNEL_S, connection.open)
    except CONNECTING as error:
        address = f"{connection.host} port {connection.port}"
        raise connecting_error(error, address=address, device=device, step="connecting") from error
    _watch(connection.transport.sock)


class _Policy:
    """Our judgement of host keys; paramiko itself is given none to know, so that it asks."""

    def __init__(self, host_keys: HostKeys) -> None:
        self._host_keys = host_keys

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        certificate = None
        if key.public_blob is not None:
            text = f"{key.public_blob.key_type} {base64.b64encode(key.public_blob.key_blob).decode()}"
            with contextlib.suppress(ValueError):  # of an unknown form: the key alone has to do, as for ssh
                certificate = read_certificate(text)
        self._host_keys.check(key.get_name(), key.asbytes(), certificate)


class _Transport(paramiko.Transport):  # type: ignore[misc]
    """Asks the host for a key, or a certificate, of a type by which it is known."""

    def __init__(self, sock: Any, host_keys: HostKeys, **options: Any) -> None:
        known = host_keys.kinds()
        self._known = {
            name
            for kind in known
            for name in (("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,))
        }
        self._certified = host_keys.has_authority()
        super().__init__(sock, **options)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """Types of host keys, the most wanted first; paramiko offers them in this order."""

        def rank(name: str) -> int:
            if name.endswith(SUFFIX):
                return 0 if self._certified else 3
            return 1 if name in self._known else 2

        return tuple(sorted(super().preferred_keys, key=rank))


def prepare(hop: Hop, options: SshOptions, device: str) -> fabric.Connection:
    """A connection that is not open yet, with those before it."""
    host_keys = HostKeys(
        hop.known_hosts, hop.known_name, accept_new=options.accept_new_host_key, device=device
    )

    def transport(sock: Any, **options: Any) -> paramiko.Transport:
        return _Transport(sock, host_keys, **options)

    gateway: Any = False
    if hop.jump is not None:
        gateway = prepare(hop.jump, options, device)
    elif hop.proxy_command is not None:
        # As ssh does it: by the user's shell.
        gateway = "sh -c " + shlex.quote(f"exec {hop.proxy_command}")
    connection = fabric.Connection(
        hop.host,
        user=hop.user,
        port=hop.port,
        gateway=gateway,
        forward_agent=False,
        connect_timeout=max(1, round(options.connect_timeout_s)),
        # Everything that ssh's configuration says is in the hop; fabric's own files have no say.
        config=fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True),
        connect_kwargs={
            "auth_strategy": Keys(hop, device),
            "transport_factory": transport,
            "banner_timeout": BANNER_S,
            "auth_timeout": AUTHENTICATION_S,
            "channel_timeout": CHANNEL_S,
        },
    )
    connection.client.set_missing_host_key_policy(_Policy(host_keys))
    return connection


def _watch(sock: Any) -> None:
    """Let the system notice a link that went silent; paramiko's own keepalive does not."""
    if not isinstance(sock, socket.socket):
        return  # a channel of a jump host, whose own socket is watched, or a ProxyCommand's pipes
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _PROBE_S),
        ("TCP_KEEPALIVE", _PROBE_S),  # macOS's name of it
        ("TCP_KEEPINTVL", _PROBE_S),
        ("TCP_KEEPCNT", SILENT_S // _PROBE_S - 1),
        ("TCP_USER_TIMEOUT", SILENT_S * 1000),  # Linux: also for bytes that were sent and not acknowledged
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
