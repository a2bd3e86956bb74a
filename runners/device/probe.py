"""What a device is: one script on it, and the reading of what it prints."""

from __future__ import annotations

from collections.abc import Mapping

from bibench_deploy.device_profiles import CoreType
from bibench_deploy.errors import PermanentDeviceError
from bibench_deploy.runners.transport.base import Transport

from .contradictions import contradictions
from .facts import DeviceFacts
from .probe_output import parse
from .probe_script import probe_script

__all__ = ["contradictions", "parse", "probe"]

#: A probe takes under a second; a phone that sleeps, or a board under load, takes its time.
TIMEOUT_S = 60.0


def probe(transport: Transport, workdir: str, cores: Mapping[str, CoreType]) -> DeviceFacts:
    """Ask a device what it is.

    Args:
        workdir: folder for what is pushed: absolute, or relative to the login's home.
        cores: the table of core types.

    Raises:
        DeviceError: it can't be reached, or did not answer.
    """
    done = transport.run(probe_script(workdir), timeout_s=TIMEOUT_S, step="probe")
    facts = parse(done.stdout, cores)
    if not facts.complete:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise PermanentDeviceError(
            f"the probe's script ended with status {done.status}: {said[-1] if said else 'it said nothing'}",
            device=transport.device,
            step="probe",
            remedy="log in with ssh and look whether its shell runs scripts",
        )
    return facts
