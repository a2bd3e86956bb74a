"""Whether a host is the one that it was: known_hosts files, read and judged as ssh does."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from hmac import HMAC, compare_digest
from pathlib import Path

from bibench_deploy.errors import HostKeyError

from .certificates import Certificate, host_flaw

SSH_PORT = 22


class Trust(Enum):
    """What known_hosts files say of a host key."""

    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True)
class KnownKey:
    """A line of a known_hosts file.

    Attributes:
        names: first field: patterns with commas, or one hashed name.
        kind: key type, as in "ssh-ed25519".
        blob: the public key.
        revoked: marked ``@revoked``.
        authority: marked ``@cert-authority``: its key signs those of hosts.
        where: "FILE:LINE".
    """

    names: str
    kind: str
    blob: bytes
    revoked: bool
    authority: bool
    where: str

    def is_for(self, name: str) -> bool:
        """Whether the line speaks of this name."""
        if self.names.startswith("|1|"):
            return _is_hash_of(self.names, name)
        patterns = self.names.lower().split(",")
        if any(p.startswith("!") and _matches(p[1:], name) for p in patterns):
            return False
        return any(_matches(p, name) for p in patterns)


def known_name(host: str, port: int) -> str:
    """How known_hosts calls a host."""
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def parse_known_hosts(text: str, file: str) -> list[KnownKey]:
    """The keys of a known_hosts file; lines that are none are left out, as ssh does."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if marker not in ("", "@revoked", "@cert-authority") or len(words) < 3:
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        where = f"{file}:{number}"
        revoked, authority = marker == "@revoked", marker == "@cert-authority"
        found.append(KnownKey(words[0], words[1], blob, revoked, authority, where))
    return found


def trust(known: Sequence[KnownKey], name: str, blob: bytes) -> Trust:
    """What known_hosts lines say of the key that a host shows. Pure.

    A key that is known of the host without its port is trusted on every port that no line names, as ssh does.

    Args:
        name: as ``known_name`` gives it.
        blob: of the shown key.
    """
    if any(key.revoked and key.blob == blob and key.is_for(name) for key in known):
        return Trust.REVOKED
    mine = [key for key in known if not key.revoked and not key.authority and key.is_for(name)]
    if any(key.blob == blob for key in mine):
        return Trust.TRUSTED
    if mine:
        return Trust.CHANGED
    host = _without_port(name)
    elsewhere = trust(known, host, blob) if host != name else Trust.UNKNOWN
    return Trust.UNKNOWN if elsewhere is Trust.CHANGED else elsewhere


def certificate_flaw(
    known: Sequence[KnownKey], name: str, certificate: Certificate, now: float
) -> str | None:
    """Why a certificate does not prove who a host is, by known_hosts lines; None if it does. Pure.

    Args:
        name: as ``known_name`` gives it.
        now: seconds since 1970.
    """
    host = _without_port(name)
    signer = [key for key in known if key.blob == certificate.authority]
    if any(key.revoked and (key.is_for(name) or key.is_for(host)) for key in signer):
        return "its authority is revoked"
    if not any(key.authority and (key.is_for(name) or key.is_for(host)) for key in signer):
        return f"its authority {fingerprint(certificate.authority)} is not that of known_hosts"
    return host_flaw(certificate, host, now)


def fingerprint(blob: bytes) -> str:
    """A key as ssh shows it to people."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


class HostKeys:
    """The known_hosts files of one host.

    Args:
        files: the files that are read, the first of them is where a new key is put.
        name: as ``known_name`` gives it.
        accept_new: store the key of an unknown host instead of refusing it; a changed one is always refused.
        device: for messages.
    """

    def __init__(self, files: Sequence[Path], name: str, *, accept_new: bool, device: str) -> None:
        self._files = tuple(files)
        self._name = name
        self._accept_new = accept_new
        self._device = device

    def kinds(self) -> list[str]:
        """Types of the keys that are known of the host: it should show one of those.

        Raises:
            HostKeyError: a file can't be read.
        """
        return [key.kind for key in self._mine() if not key.revoked and not key.authority]

    def has_authority(self) -> bool:
        """Whether somebody is known who signs the host's keys: it should show a certificate.

        Raises:
            HostKeyError: a file can't be read.
        """
        return any(key.authority for key in self._mine())

    def check(self, kind: str, blob: bytes, certificate: Certificate | None = None) -> None:
        """Trust the key that the host shows, or raise.

        Args:
            certificate: that it shows with the key. It decides where an authority is known; otherwise the key.

        Raises:
            HostKeyError: unknown, changed or revoked, or a file can't be read or written.
        """
        known = self._known()
        verdict = trust(known, self._name, blob)
        flaw = None
        if certificate is not None and verdict is not Trust.REVOKED and self.has_authority():
            flaw = certificate_flaw(known, self._name, certificate, time.time())
            if flaw is None:
                return
        if verdict is Trust.TRUSTED:
            return
        shown = f"{kind} {fingerprint(blob)}"
        if verdict is Trust.UNKNOWN:
            if flaw is not None:
                raise self._error(
                    f"the certificate of the host key of {self._name} does not count: {flaw}",
                    "look at it on the device (`ssh-keygen -Lf` on its /etc/ssh/ssh_host_*-cert.pub), and at the "
                    "clocks of both; let the authority sign the key anew",
                )
            if not self._accept_new:
                raise self._error(
                    f"the host key of {self._name} is unknown: {shown}",
                    "compare it with the device's own (`ssh-keygen -lf` on its /etc/ssh/ssh_host_*_key.pub), "
                    "then connect once by ssh, or repeat with --accept-new-host-key",
                )
            self._store(kind, blob)
            return
        revoked = verdict is Trust.REVOKED
        mine = [key for key in self._mine() if not key.authority and key.revoked == revoked]
        lines = ", ".join(key.where for key in mine if not revoked or key.blob == blob)
        if revoked:
            raise self._error(
                f"the host key of {self._name} is revoked: {shown} ({lines})", "find out why it was revoked"
            )
        file = lines.split(", ")[0].rpartition(":")[0]
        raise self._error(
            f"the host key of {self._name} is not the one known from {lines}: it now shows {shown}",
            "someone may be between you and the device, or it was set up anew; only if you are sure of that: "
            f"ssh-keygen -R '{self._name}' -f '{file}'",
        )

    def _mine(self) -> list[KnownKey]:
        host = _without_port(self._name)
        return [key for key in self._known() if key.is_for(self._name) or key.is_for(host)]

    def _known(self) -> list[KnownKey]:
        found: list[KnownKey] = []
        for file in self._files:
            try:
                text = file.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._error(
                    f"{file} can't be read ({error.strerror})", "repair its permissions"
                ) from error
            found += parse_known_hosts(text, str(file))
        return found

    def _store(self, kind: str, blob: bytes) -> None:
        """Append a line in one write, as ssh does: the file may be a link, and other processes append, too."""
        line = f"{self._name} {kind} {base64.b64encode(blob).decode()}\n".encode()
        file = next((f for f in self._files if str(f) != os.devnull), None)
        if file is None:
            raise self._error("there is no known_hosts file to put it in", "name one with `known_hosts`")
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = b"\n" + line
                os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise self._error(
                f"{file} can't be written ({error.strerror})", "repair its permissions"
            ) from error

    def _error(self, message: str, remedy: str) -> HostKeyError:
        return HostKeyError(message, device=self._device, step="connecting", remedy=remedy)


def _without_port(name: str) -> str:
    match = re.fullmatch(r"\[(.+)\]:\d+", name)
    return match[1] if match else name


def _is_hash_of(hashed: str, name: str) -> bool:
    """``|1|SALT|HMAC-SHA1(SALT, NAME)``, both base64: ssh's HashKnownHosts."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:])
    except (ValueError, binascii.Error):
        return False
    return compare_digest(HMAC(salt, name.encode(), hashlib.sha1).digest(), digest)


def _matches(pattern: str, name: str) -> bool:
    # In ssh's patterns a bracket is a bracket.
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
