"""OpenSSH certificates of hosts and of users (its PROTOCOL.certkeys): what they say, and what is wrong with one.

Pure, but for ``read_certificate_file``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

#: Of the names of certificates' types, as in "ssh-ed25519-cert-v01@openssh.com".
SUFFIX = "-cert-v01@openssh.com"

# The type of a signature that OpenSSH takes from no authority any more (CASignatureAlgorithms): RSA with SHA-1.
_SHA1 = b"\x00\x00\x00\x07ssh-rsa"


@dataclass(frozen=True)
class Certificate:
    """What an authority says of a key.

    Attributes:
        kind, blob: of the whole certificate, as it is sent.
        of_host: it is for hosts; otherwise for users.
        key: the public key that it is of.
        authority: the public key of who signed it.
        names: of the hosts or accounts that it is for, literally; empty for any.
        after, before: when it counts, seconds since 1970.
        options: those that who does not know them has to refuse.
        signed: the authority's signature is right, and of a kind that counts.
    """

    kind: str
    blob: bytes
    of_host: bool
    key: bytes
    authority: bytes
    names: tuple[str, ...]
    after: int
    before: int
    options: tuple[str, ...]
    signed: bool


def read_certificate(line: str) -> Certificate:
    """A certificate as it stands in a ``-cert.pub`` file.

    Raises:
        ValueError: it is none.
    """
    words = line.split()
    try:
        found = load_ssh_public_identity(" ".join(words[:2]).encode())
        if not isinstance(found, SSHCertificate):
            raise ValueError("a key without a certificate")
        blob = base64.b64decode(words[1])
        return Certificate(
            kind=words[0],
            blob=blob,
            of_host=found.type is SSHCertificateType.HOST,
            key=_blob(found.public_key()),
            authority=_blob(found.signature_key()),
            names=tuple(name.decode("utf-8", "replace") for name in found.valid_principals),
            after=found.valid_after,
            before=found.valid_before,
            options=tuple(name.decode("utf-8", "replace") for name in found.critical_options),
            signed=_signed(found, blob),
        )
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error


def read_certificate_file(path: Path) -> Certificate:
    """A ``-cert.pub`` file.

    Raises:
        OSError: it can't be read.
        ValueError: it holds none.
    """
    return read_certificate(path.read_text(encoding="utf-8", errors="replace"))


def host_flaw(certificate: Certificate, host: str, now: float) -> str | None:
    """Why a host's certificate does not say that this is the host; None if it does.

    Args:
        host: without its port.
        now: seconds since 1970.
    """
    if certificate.options:
        return f"it demands what is not known here ({', '.join(certificate.options)})"
    if certificate.names and host.lower() not in (name.lower() for name in certificate.names):
        return f"it is for {', '.join(certificate.names)}, not for {host}"
    return next(_flaws(certificate, True, now), None)


def user_flaw(certificate: Certificate, now: float) -> str | None:
    """Why a user's certificate lets him in nowhere; None if it may: for whom it is, the host decides."""
    return next(_flaws(certificate, False, now), None)


def _flaws(certificate: Certificate, of_host: bool, now: float) -> Iterator[str]:
    if certificate.of_host != of_host:
        yield "it is a host's, not a user's" if certificate.of_host else "it is a user's, not a host's"
    if not certificate.signed:
        yield "its signature is wrong or too weak"
    if now < certificate.after:
        yield f"it counts from {_time(certificate.after)} on (it is {_time(now)} here)"
    if now >= certificate.before:
        yield f"it expired at {_time(certificate.before)} (it is {_time(now)} here)"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(min(seconds, 253402300799), UTC).strftime("%Y-%m-%d %H:%M UTC")


def _blob(key: object) -> bytes:
    text: bytes = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)  # type: ignore[attr-defined]
    return base64.b64decode(text.split()[1])


def _signed(certificate: SSHCertificate, blob: bytes) -> bool:
    authority = certificate.signature_key()
    if isinstance(authority, RSAPublicKey):
        # The last field is the signature: its type and its value, each after its length; no longer than the key.
        value = 4 + (authority.key_size + 7) // 8
        if _SHA1 in blob[-value - len(_SHA1) :]:
            return False
    try:
        certificate.verify_cert_signature()
    except InvalidSignature:
        return False
    return True
