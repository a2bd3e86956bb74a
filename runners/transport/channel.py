"""One SSH channel as a wire, and calls that may block for ever over a link that died."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .faults import CONNECTING

T = TypeVar("T")

# Time for goodbyes over a link that may be dead, s.
_GOODBYE_S = 2.0


class Channel:
    """The wire of one SSH channel.

    Args:
        channel: paramiko's.
        doubt: called when the end of the command is not known.
    """

    def __init__(self, channel: Any, doubt: Callable[[], None]) -> None:
        self._channel = channel
        self._doubt = doubt

    def send(self, data: bytes) -> None:
        self._channel.sendall(data)

    def close_input(self) -> None:
        goodbye(self._channel.shutdown_write)

    def receive(self, stream: int) -> bytes:
        read = self._channel.recv if stream == 1 else self._channel.recv_stderr
        return bytes(read(1 << 16))

    def exit_status(self) -> int | None:
        # It comes right after the ends of both streams, or not at all: a signal, or a lost link.
        self._channel.status_event.wait(_GOODBYE_S)
        status = int(self._channel.exit_status)
        return status if status >= 0 else None

    def close(self, ended: bool) -> None:
        goodbye(self._channel.close)
        if not ended:
            self._doubt()


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do something that may block for ever, in a thread that is left behind if it does.

    Raises:
        TimeoutError: it took longer.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"not done within {seconds:g} s")
    if failed:
        raise failed[0]
    return done[0]


def goodbye(work: Callable[[], object]) -> None:
    """Take leave over a link that may be dead: whatever comes of it, we go on."""
    with contextlib.suppress(*CONNECTING):
        within(_GOODBYE_S, work)
