"""Waiting for something that a command does on a device."""

from __future__ import annotations

import time
from collections.abc import Callable

from .device import SimulatedDevice

WAIT_S = 180.0  # several times what a busy machine needs; nothing waits for so long where all is well


def wait_until(holds: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
    """Look again and again; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def measuring(device: SimulatedDevice) -> bool:
    """Whether the native engine times something there."""
    return any("bibench-run" in line and "--min-time" in line for line in device.processes())


def wait_until_idle(device: SimulatedDevice) -> None:
    """Nothing that a tool has started is left there; a shell may need a moment to see that all is done."""
    wait_until(lambda: device.processes() == [], f"the end of all that was started on {device.name}")


def stop_measuring(device: SimulatedDevice) -> None:
    """What is timed there waits in its middle for SIGCONT (``device.signal``), however long others take."""
    wait_until(lambda: device.hangs("--min-time"), f"a run on {device.name}")


def let_lease_run_out(device: SimulatedDevice, process: int) -> None:
    """A minute without a sign of life of a command that was killed, by the device's clock."""
    # None where it holds nothing there: then there is nothing to let run out.
    held = device.inside(f'grep -ls "(process {process}[,)]" "$1"/tmp/bibench-deploy.lease/*/owner || true')
    for owner in held.splitlines():
        lease = owner.removesuffix("/owner")
        nonce = device.inside(f"cat {lease}/nonce").strip()
        # What it had started there ends by itself, and renews the lease until then.
        wait_until(
            lambda nonce=nonce: not any(nonce in line for line in device.processes()),
            "the end of what a killed command left running",
        )
        device.inside(f'read -r until clock <{lease}/beat; echo "$((until - 60)) $clock" >{lease}/beat')
