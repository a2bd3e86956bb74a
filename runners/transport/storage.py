"""What a device's own words about its disk mean. Pure."""

from __future__ import annotations

from bibench_deploy.errors import DeviceStorageError

from .base import Completed

# strerror() in the C locale, as glibc, musl, bionic and macOS word it; scripts run with LC_ALL=C.
_SAYINGS = (
    ("no space left on device", "is full", "free some space there: `bibench-deploy devices clean`"),
    (
        "disk quota exceeded",
        "is over the account's quota",
        "free some space there: `bibench-deploy devices clean`",
    ),
    (
        "file too large",
        "takes no file of this size",
        "choose a work folder on another file system (`workdir`)",
    ),
    (
        "quota exceeded",
        "is over the account's quota",
        "free some space there: `bibench-deploy devices clean`",
    ),
    ("read-only file system", "is read-only", "choose another work folder (`workdir`), or remount it"),
    ("permission denied", "may not be written", "choose a work folder of the account's own (`workdir`)"),
    (
        "operation not permitted",
        "may not be written",
        "choose a work folder of the account's own (`workdir`)",
    ),
    ("input/output error", "fails", "the disk or card of the device is damaged: replace it"),
    ("not a directory", "is not a folder", "choose another work folder (`workdir`)"),
    # dash's own words for both of the latter.
    ("directory nonexistent", "is missing", "make it, or choose another work folder (`workdir`)"),
    ("no such file or directory", "is missing", "make it, or choose another work folder (`workdir`)"),
)


def storage_error(done: Completed, device: str, step: str, path: str) -> DeviceStorageError | None:
    """The error that a script which wrote files tells of, None if it tells of something else."""
    said = done.stderr.decode("utf-8", "replace").lower()
    for saying, what, remedy in _SAYINGS:
        if saying in said:
            return DeviceStorageError(f"{path}: the place {what}", device=device, step=step, remedy=remedy)
    return None
