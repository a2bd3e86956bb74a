"""What the stages above know of a way to a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

# Told (bytes on the device so far, bytes in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Completed:
    """What a script did.

    Attributes:
        status: exit status as a shell reports it; 128 + n after death by signal n.
        stdout, stderr: what the script printed, and nothing else: no banner, no noise of start-up files.
    """

    status: int
    stdout: bytes
    stderr: bytes


class Transport(Protocol):
    """A way to a device. Not for use by several threads at once.

    Attributes:
        device: name of the device, for messages.
    """

    device: str

    def run(self, script: str, *, timeout_s: float, stdin: bytes = b"", step: str = "") -> Completed:
        """Run a POSIX shell script on the device, in the home folder of the account, with LC_ALL=C.

        A status other than 0 is an answer, not an error. Whatever the script started ends with it: no process of
        it is left on the device, whether it ends, takes too long, is interrupted here, or the link breaks.

        Args:
            script: enters only what busybox ash understands; a value enters it by ``shlex.quote``, never otherwise.
            timeout_s: limit in s, enforced on the device too.
            stdin: what the script reads; /dev/null's nothing by default. A link that breaks can cut it short: a
                script that keeps what it reads has to check the length or a hash.
            step: what is being done, for messages.

        Raises:
            StepTimeoutError: it took longer.
            ConnectionLostError, UnreachableError: the link.
            PermanentDeviceError: one of its children: the host can't be trusted, entered, or has no shell for us.
        """
        ...

    def push(self, source: Path, target: str, *, offset: int = 0, progress: Progress | None = None) -> None:
        """Copy a file's bytes to exactly this path on the device; not atomic, not verified: ``cache`` is.

        Args:
            source: a file of this machine.
            target: path on the device, in a folder that exists.
            offset: bytes that the target holds already and keeps.
            progress: told after each piece.

        Raises:
            DeviceStorageError: no room, or no permission.
            DeviceError: as ``run``.
        """
        ...

    def pull(self, source: str, target: Path) -> None:
        """Copy a file of the device to this machine, whole or not at all.

        Raises:
            PermanentDeviceError: it can't be read.
            DeviceError: as ``run``.
            OutputPathError, StorageError: the target can't be written.
        """
        ...

    def close(self) -> None:
        """Give up the link; may be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
