"""Run, push and pull by shell scripts alone: nothing else needs to be on a device, not even scp or sftp."""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from bibench_deploy.errors import DeviceError, InputError, PermanentDeviceError
from bibench_deploy.files import write_atomically

from .base import Completed, Progress
from .exchange import Wire, exchange
from .shell import quote, request
from .storage import storage_error

# A push is made of pieces, each a script of its own: a break loses one piece, progress is known, and a device whose
# link went silent in the middle waits no longer than for one piece. The slowest link taken: 23 kB/s.
PIECE_BYTES = 2 << 20
PIECE_TIMEOUT_S = 90.0

# The slowest link that a pull takes, bytes/s, and time for a device to start, s.
SLOWEST_PULL = 23_000
PULL_START_S = 60.0

_WRONG_LENGTH = 9


class ShelledTransport(ABC):
    """A transport over anything that has wires.

    Args:
        device: name of the device, for messages.
    """

    def __init__(self, device: str) -> None:
        self.device = device

    @abstractmethod
    def open_wire(self, command: str, name: str, step: str) -> Wire:
        """Start a command line, in the account's login shell.

        Args:
            name: marks the environment of what it starts.

        Raises:
            DeviceError: no wire can be had.
        """

    def run(self, script: str, *, timeout_s: float, stdin: bytes = b"", step: str = "") -> Completed:
        """See ``Transport.run``."""
        return self.exchange_over(self.open_wire, script, timeout_s, stdin, step)

    def exchange_over(
        self,
        open_wire: Callable[[str, str, str], Wire],
        script: str,
        timeout_s: float,
        stdin: bytes,
        step: str,
    ) -> Completed:
        """``run`` over the wire that is opened so; it gets a command line, a name and a step."""
        sent = request(script, limit_s=timeout_s, stdin_bytes=len(stdin), nonce=secrets.token_hex(16))
        wire = open_wire(sent.command, sent.name, step)
        return exchange(wire, sent, stdin, timeout_s=timeout_s, device=self.device, step=step)

    def push(self, source: Path, target: str, *, offset: int = 0, progress: Progress | None = None) -> None:
        """See ``Transport.push``."""
        step = f"pushing {source.name}"
        try:
            with source.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                at = stream.seek(offset)
                while True:
                    piece = stream.read(PIECE_BYTES)
                    if piece or at == 0:
                        self._append(target, at, piece, step)
                    at += len(piece)
                    if progress is not None:
                        progress(at, max(at, size))
                    if len(piece) < PIECE_BYTES:
                        return
        except OSError as error:
            raise InputError(
                f"can't be read ({error.strerror})", where=str(source), remedy="check its permissions"
            ) from error

    def pull(self, source: str, target: Path) -> None:
        """See ``Transport.pull``."""
        step = f"pulling {source}"
        path = quote(source)
        asked = self.run(f"wc -c < {path}", timeout_s=PULL_START_S, step=step)
        size = _number(asked)
        if size is None:
            raise self._unreadable(source, asked, step)
        done = self.run(f"cat < {path}", timeout_s=PULL_START_S + size / SLOWEST_PULL, step=step)
        if done.status != 0:
            raise self._unreadable(source, done, step)
        write_atomically(target, done.stdout)

    def close(self) -> None:  # noqa: B027 - may have nothing to close
        """See ``Transport.close``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, target: str, at: int, piece: bytes, step: str) -> None:
        """Put a piece at the end of a file that has to hold ``at`` bytes; the first piece makes the file anew."""
        path = quote(target)
        script = f"cat > {path} && wc -c < {path}"
        if at:
            as_long = f'[ "$(($(wc -c < {path})))" -eq {at} ]'
            script = f"{as_long} || exit {_WRONG_LENGTH}\ncat >> {path} && wc -c < {path}"
        done = self.run(script, timeout_s=PIECE_TIMEOUT_S, stdin=piece, step=step)
        if done.status == 0 and _number(done) == at + len(piece):
            return
        error = storage_error(done, self.device, step, target)
        if error is not None:
            raise error
        raise DeviceError(
            f"{target} is not as long as it should be: something else wrote to it, or the disk fails",
            device=self.device,
            step=step,
            remedy="run it again",
        )

    def _unreadable(self, path: str, done: Completed, step: str) -> DeviceError:
        said = done.stderr.decode("utf-8", "replace").strip()
        return PermanentDeviceError(
            f"can't read {path} on the device: {said or f'exit status {done.status}'}",
            device=self.device,
            step=step,
            remedy="see whether the file is there and may be read",
        )


def _number(done: Completed) -> int | None:
    text = done.stdout.strip()
    return int(text) if done.status == 0 and text.isdigit() else None
