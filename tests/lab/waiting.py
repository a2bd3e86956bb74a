"""Waiting for something that a command does on a device."""

from __future__ import annotations

import time
from collections.abc import Callable

from .device import SimulatedDevice

WAIT_S = 60.0


def wait_until(holds: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
    """Look again and again; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def measuring(device: SimulatedDevice) -> bool:
    """Whether the native engine times something there."""
    return any("bibench-run" in line and "--min-time" in line for line in device.processes())
