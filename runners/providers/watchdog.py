"""Gives places back when the process that took them is no more, however it ended.

A coordinator keeps a place for a client that has gone: labgrid knows neither a lease nor an owner's death. So as
long as places are held, a second process sits on the other end of a pipe and is told which. The pipe ends with the
first process, kill -9 included; whatever is held then is released. The second one is in a session of its own, out
of reach of Ctrl-C and of what a shell ends with its job. Where both die together (a container, power) the next
command on this machine cleans up: see ``owner.is_dead``.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable

#: For how long a coordinator that can't be reached is asked again, s: it may be restarting.
RELEASE_FOR_S = 600.0
AGAIN_S = 5.0
_END_S = 10.0


class Watchdog:
    """The first process's end.

    Args:
        address: of the coordinator.
        name: by which we are known there.
    """

    def __init__(self, address: str, name: str) -> None:
        self._arguments = [address, name]
        self._held: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def watch(self, place: str) -> None:
        """Have a place given back when we are gone."""
        with self._lock:
            self._held.add(place)
            if not self._told(f"+{place}"):
                self._start()

    def forget(self, place: str) -> None:
        """The place is no longer ours to give back. Without any, the second process ends."""
        with self._lock:
            self._held.discard(place)
            self._told(f"-{place}")
            if not self._held and self._process is not None:
                _leave(self._process)
                self._process = None

    def _start(self) -> None:
        # Its output goes nowhere: who waits for the end of ours would wait for this one, too. -P: the folder of
        # this file is no place to look for modules, since one of them is called labgrid.
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for place in self._held:
            self._told(f"+{place}")

    def _told(self, line: str) -> bool:
        if self._process is None or self._process.stdin is None:
            return False
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError:  # someone ended it
            _leave(self._process)
            self._process = None
            return False
        return True


def _leave(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it has ended
        process.stdin.close()
    with contextlib.suppress(
        subprocess.TimeoutExpired
    ):  # it gives places back, for which it need not have us
        process.wait(_END_S)


def held_at_end(lines: Iterable[bytes]) -> set[str]:
    """The places that are held when the lines end; a line that was cut is none."""
    held: set[str] = set()
    for line in lines:
        place = line[1:].decode().rstrip("\n")
        if line.startswith(b"+") and line.endswith(b"\n"):
            held.add(place)
        elif line.startswith(b"-") and line.endswith(b"\n"):
            held.discard(place)
    return held


def give_back(address: str, name: str, places: set[str]) -> None:
    """Release what a dead client holds, and take its reservations back.

    Raises:
        DeviceError: the coordinator can't be reached.
    """
    from bibench_deploy.runners.providers.coordinator import Coordinator
    from bibench_deploy.runners.providers.libraries import RefusedByCoordinator
    from bibench_deploy.runners.providers.owner import own_name

    coordinator = Coordinator(address, own_name())
    coordinator.open()
    try:
        for reservation in coordinator.reservations():
            if reservation.owner == name:
                coordinator.cancel(reservation.token)
        for place in places:
            with contextlib.suppress(RefusedByCoordinator):  # it was deleted
                coordinator.release(place, name)
    finally:
        coordinator.close()


def main() -> int:
    """The second process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    from bibench_deploy.errors import DeviceError

    address, name = sys.argv[1:]
    places = held_at_end(sys.stdin.buffer)
    until = time.monotonic() + RELEASE_FOR_S
    while places:
        try:
            give_back(address, name, places)
            return 0
        except DeviceError:
            if time.monotonic() > until:
                return 1
            time.sleep(AGAIN_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
