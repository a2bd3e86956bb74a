"""This machine as a device: real shells, the real bibench-run, faults put in between on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from bibench_deploy.device_profiles import Device, load_cores, load_profiles
from bibench_deploy.errors import ConnectionLostError
from bibench_deploy.profile_plan import Plan, Target
from bibench_deploy.runners.device.native import NativeOnDevice
from bibench_deploy.runners.device.place import opened
from bibench_deploy.runners.device.session import DeviceSession
from bibench_deploy.runners.timing import MeasureRule
from bibench_deploy.runners.transport.base import Completed
from bibench_deploy.runners.transport.local import LocalTransport
from bibench_deploy.runners.transport.retry import Backoff
from bibench_deploy.runners.workspace import groups, read_workspace

from .native_engine import build

#: As few turns as there can be: what this machine needs for them means nothing.
QUICK = MeasureRule(min_seconds=0.01, min_runs=3, max_seconds=0.05, precision=100.0)
#: Tries again as often as the default, without the pauses.
AT_ONCE = Backoff(attempts=4, first_s=0.0)


class Faulty(LocalTransport):
    """Loses the link before or after a step whose name holds a word, as often as told.

    Attributes:
        steps: what was run, in order.
    """

    def __init__(self, device: str, folder: Path) -> None:
        super().__init__(device, folder=folder)
        self.steps: list[str] = []
        self.lose: list[tuple[str, bool]] = []
        self.before: Callable[[str], None] = lambda step: None

    def lose_link(self, word: str, times: int = 1, *, after: bool = False) -> None:
        """From now on; ``after``: the step is done, and its answer lost."""
        self.lose += [(word, after)] * times

    def run(self, script: str, *, timeout_s: float, stdin: bytes = b"", step: str = "") -> Completed:
        self.steps.append(step)
        self.before(step)
        fault = next((fault for fault in self.lose if fault[0] in step), None)
        if fault is not None:
            self.lose.remove(fault)
            if not fault[1]:
                raise ConnectionLostError("the connection broke", device=self.device, step=step)
        done = super().run(script, timeout_s=timeout_s, stdin=stdin, step=step)
        if fault is not None:
            raise ConnectionLostError("the connection broke", device=self.device, step=step)
        return done


class HereAsDevice:
    """A device with a home of its own.

    Attributes:
        said: what its sessions said.
        transport: the link; one for all sessions.
    """

    def __init__(self, folder: Path, name: str = "box") -> None:
        self.home = folder / f'home of {name}, it\'s "$HOME"'
        self.home.mkdir()
        self.device = Device(name, load_profiles()["generic-x86_64"])
        self.transport = Faulty(name, self.home)
        self.said: list[str] = []
        self.program = build()

    def session(
        self,
        stop: threading.Event | None = None,
        *,
        wait: bool = True,
        say: Callable[[str], None] = lambda message: None,
        cpus: str | None = None,
    ) -> DeviceSession:
        """A session, not open yet. The lease lies in the home: other tests use this machine, too."""

        def told(message: str) -> None:
            self.said.append(message)
            say(message)

        session = DeviceSession(
            self.device,
            lambda: self.transport,
            load_cores(),
            wait=wait,
            say=told,
            stop=stop,
            backoff=AT_ONCE,
            cpus=cpus,
        )
        session._lease.place = str(self.home)
        return session

    def target(self) -> Target:
        """To measure on."""
        engines = {"native": NativeOnDevice(builder=lambda target: self.program)}
        return Target(self.device.name, lambda say, stop: opened(self.session(stop, say=say), engines))


def plan_of(workspace: Path, threads: tuple[int, ...] = (1,)) -> Plan:
    """A quick plan for all artefacts of a workspace."""
    return Plan(groups(read_workspace(workspace)), threads, QUICK)
