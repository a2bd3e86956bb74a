"""This machine as a device: the same scripts in the same frame, without a network."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from pathlib import Path

from bibench_deploy.errors import DeviceUnfitError

from .exchange import Wire
from .shell import GRACE_S
from .shelled import ShelledTransport


class LocalTransport(ShelledTransport):
    """A shell of this machine.

    Args:
        device: name for messages.
        shell: the login shell that gets the command line; the user's may be any, and tests try them all.
        folder: where scripts start; the user's home folder by default, as ssh does.
    """

    def __init__(
        self, device: str = "local", *, shell: tuple[str, ...] = ("sh",), folder: Path | None = None
    ) -> None:
        super().__init__(device)
        self._shell = shell
        self._folder = folder if folder is not None else Path.home()

    def open_wire(self, command: str, name: str, step: str) -> Wire:
        """See ``ShelledTransport``."""
        try:
            return _Pipes((*self._shell, "-c", command), self._folder)
        except OSError as error:
            raise DeviceUnfitError(
                f"no shell: {error}", device=self.device, step=step or None, remedy="install a POSIX shell"
            ) from error


class _Pipes:
    """The wire to a child process."""

    def __init__(self, command: tuple[str, ...], folder: Path) -> None:
        # A socket can be shut down while another thread is blocked writing to it, a pipe can't.
        self._input, theirs = socket.socketpair()
        try:
            # A session of its own: Ctrl-C at the terminal is for us; we tell it.
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                start_new_session=True,
            )
        except BaseException:
            self._input.close()
            raise
        finally:
            theirs.close()

    def send(self, data: bytes) -> None:
        self._input.sendall(data)

    def close_input(self) -> None:
        with contextlib.suppress(OSError):  # the process is gone already
            self._input.shutdown(socket.SHUT_RDWR)

    def receive(self, stream: int) -> bytes:
        source = self._process.stdout if stream == 1 else self._process.stderr
        assert source is not None
        data = os.read(source.fileno(), 1 << 16)
        if not data:
            source.close()
        return data

    def exit_status(self) -> int | None:
        status = self._process.wait()
        return status if status >= 0 else None

    def close(self, ended: bool) -> None:
        self._input.close()
        try:
            # It ends by itself, since its input has; who does not know our program may not.
            self._process.wait(timeout=GRACE_S + (4.0 if ended else 1.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
