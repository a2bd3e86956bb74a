"""Proving to a host who we are: keys of the agent and of files, in ssh's order. Never a password."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentSSH
from paramiko.pkey import UnknownKeyType

from bibench_deploy.errors import AuthenticationError, ConnectionLostError

from .certificates import Certificate, read_certificate_file, user_flaw
from .route import Hop

_STEP = "logging in"


class Keys:
    """Tries the keys of a hop; paramiko's client calls ``authenticate``.

    Args:
        hop: whose keys.
        device: for messages.
    """

    def __init__(self, hop: Hop, device: str) -> None:
        self._hop = hop
        self._device = device
        self._tried: list[str] = []
        self._unusable: list[str] = []
        self._flawed = False  # a certificate counts nowhere

    def authenticate(self, transport: Any) -> None:
        """Log in.

        Raises:
            AuthenticationError: no key is accepted, or none would be.
            ConnectionLostError: the link broke meanwhile.
        """
        try:
            # First, as ssh does: it says what the host takes, and lets in who needs no proof.
            self._answered(transport.auth_none(self._hop.user))
            return
        except paramiko.BadAuthenticationType as error:
            self._check_kinds(error.allowed_types)
        except paramiko.SSHException as error:
            self._check_link(transport, error)
        with _agent(self._hop.agent) as agent:
            for name, key in self._keys(agent):
                self._tried.append(name)
                try:
                    self._answered(transport.auth_publickey(self._hop.user, key))
                    return
                except paramiko.SSHException as error:
                    self._check_link(transport, error)
        raise self._refused("refused every key")

    def _keys(self, agent: AgentSSH | None) -> Iterator[tuple[str, Any]]:
        """The keys to be tried, each once: those that the user named, the agent's, those in their usual places."""
        held = {key.blob: key for key in agent.get_keys()} if agent is not None else {}
        certificates = list(self._certificates())
        done: set[bytes] = set()
        for path in self._hop.keys:
            public = _public(path)
            if public in held:
                done.add(public)
                yield from _certified(f"{path} (agent)", held[public], public, certificates)
            else:
                yield from self._file(path, done, certificates, wanted=True)
        if self._hop.agent_keys:
            for public, key in held.items():
                if public not in done:
                    done.add(public)
                    name = f"agent: {getattr(key, 'comment', '') or key.get_name()}"
                    yield from _certified(name, key, public, certificates)
        for path in self._hop.default_keys:
            yield from self._file(path, done, certificates, wanted=False)

    def _file(
        self, path: Path, done: set[bytes], certificates: list[tuple[str, Certificate]], *, wanted: bool
    ) -> Iterator[tuple[str, Any]]:
        """The key of a file, with each of its certificates and without."""
        try:
            key = paramiko.PKey.from_path(path)
        except FileNotFoundError:
            if wanted:
                self._unusable.append(f"{path}: no such file")
            return
        except (paramiko.PasswordRequiredException, TypeError):
            # cryptography's word for a missing passphrase is a TypeError.
            if _public(path) not in done:
                self._unusable.append(
                    f"{path}: needs its passphrase, so put it into the agent: ssh-add {path}"
                )
            return
        except (OSError, ValueError, paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm) as error:
            self._unusable.append(f"{path}: not a usable key ({error})")
            return
        if key.asbytes() in done:
            return
        done.add(key.asbytes())
        yield from _certified(str(path), key, key.asbytes(), certificates)

    def _certificates(self) -> Iterator[tuple[str, Certificate]]:
        """Those that the user named, then those beside his keys; one that counts nowhere is not tried."""
        beside = [Path(f"{path}-cert.pub") for path in (*self._hop.keys, *self._hop.default_keys)]
        for path in dict.fromkeys((*self._hop.certificates, *beside)):
            try:
                certificate = read_certificate_file(path)
                flaw = user_flaw(certificate, time.time())
            except FileNotFoundError:
                if path in self._hop.certificates:
                    self._unusable.append(f"{path}: no such file")
                continue
            except (OSError, ValueError) as error:
                flaw = f"not a usable certificate ({error})"
            if flaw is None:
                yield str(path), certificate
            else:
                self._unusable.append(f"{path}: {flaw}")
                self._flawed = True

    def _answered(self, further: list[str]) -> None:
        if further:
            raise AuthenticationError(
                f"{self._hop.host} wants a second proof ({', '.join(further)})",
                device=self._device,
                step=_STEP,
                remedy="let this account in with a key alone",
            )

    def _check_kinds(self, allowed: list[str]) -> None:
        if "publickey" not in allowed:
            who, copy = self._who()
            raise AuthenticationError(
                f"{who} takes no keys, only {' or '.join(allowed) or 'nothing'}",
                device=self._device,
                step=_STEP,
                remedy=f"let its SSH server take keys (PubkeyAuthentication yes in its sshd_config), then {copy}; "
                "passwords are never used",
            )

    def _check_link(self, transport: Any, error: Exception) -> None:
        """Go on after a refused key; not if the host is gone."""
        if transport.is_active():
            return
        if self._tried:
            raise self._refused("closed the connection after too many keys") from error
        raise ConnectionLostError(
            f"{self._hop.host} closed the connection before any key was tried",
            device=self._device,
            step=_STEP,
            remedy="look into the device's log (journalctl -u ssh)",
        ) from error

    def _refused(self, what: str) -> AuthenticationError:
        who, copy = self._who()
        tried = f"; tried: {', '.join(self._tried)}" if self._tried else "; there was no key to try"
        unusable = "".join(f"; {reason}" for reason in self._unusable)
        return AuthenticationError(
            f"{who} {what}{tried}{unusable}",
            device=self._device,
            step=_STEP,
            remedy=("have the certificate signed anew, or " if self._flawed else "")
            + "check the user (`user` of the inventory, User in ~/.ssh/config), or add a key to the account: "
            + f"{copy} (passwords are never used)",
        )

    def _who(self) -> tuple[str, str]:
        """The account, and the command that takes a key there."""
        who = f"{self._hop.user}@{self._hop.host}"
        port = f"-p {self._hop.port} " if self._hop.port != 22 else ""
        return who, f"ssh-copy-id {port}{who}"


def _certified(
    name: str, key: Any, public: bytes, certificates: list[tuple[str, Certificate]]
) -> Iterator[tuple[str, Any]]:
    """A key with each of its certificates, then without, as ssh does."""
    for path, certificate in certificates:
        if certificate.key == public:
            key.public_blob = paramiko.PublicBlob(certificate.kind, certificate.blob)
            yield f"{name} with {path}", key
    key.public_blob = None
    yield name, key


def _public(path: Path) -> bytes:
    """The public key beside a private one; empty if there is none."""
    try:
        return bytes(paramiko.PublicBlob.from_file(f"{path}.pub").key_blob)
    except (OSError, ValueError, IndexError):
        return b""


@contextlib.contextmanager
def _agent(path: str | None) -> Iterator[AgentSSH | None]:
    """The agent that listens on a socket; None where there is none, or it does not answer."""
    if path is None:
        yield None
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(10.0)
        agent = AgentSSH()
        try:
            connection.connect(path)
            agent._connect(connection)
        except (OSError, paramiko.SSHException):
            yield None
            return
        yield agent
