"""What ``profile`` measures, where, and what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from bibench_deploy.errors import BibenchError
from bibench_deploy.results import Row
from bibench_deploy.runners.host import Host
from bibench_deploy.runners.measure import Job, Timed
from bibench_deploy.runners.operators import Operator
from bibench_deploy.runners.timing import MeasureRule
from bibench_deploy.runners.workspace import Artefact

from .sweep import Key


class Place(Protocol):
    """Where jobs are executed, opened.

    Attributes:
        host: the machine.
        cpus: cores that were asked for; None: all may be used.
    """

    host: Host
    cpus: str | None

    @property
    def pushed_bytes(self) -> int | None:
        """What had to be sent there so far; None where nothing ever has to be."""
        ...

    def refuses(self, artefact: Artefact, threads: int) -> str | None:
        """Why an artefact can't be executed with so many threads; None if it can."""
        ...

    def open_worker(self, job: Job) -> Timed:
        """Open a job.

        Raises:
            BibenchError: it can't be executed.
        """
        ...

    def operators(self, job: Job) -> list[Operator]:
        """The layers of a job, timed one by one; empty where its engine does not tell.

        Raises:
            BibenchError: it failed.
        """
        ...

    def facts(self, job: Job) -> dict[str, Any]:
        """Further fields of the row of a job that was measured."""
        ...


@dataclass(frozen=True)
class Target:
    """A device to measure on.

    Attributes:
        name: of the device, or "local".
        engines: whose artefacts it can execute; None for those of all engines, or to fail with the others.
        check: raises a DeviceError if it is ours no more; asked before what was measured is kept.
        opened: opens it; told what to say, and an event that is set when the command is to end.
    """

    name: str
    opened: Callable[[Callable[[str], None], threading.Event], AbstractContextManager[Place]]
    engines: frozenset[str] | None = None
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Plan:
    """What is measured on every device.

    Attributes:
        groups: artefacts that are compared with each other.
        threads: numbers of threads.
        per_op: whether layers are timed one by one, too.
    """

    groups: Sequence[Sequence[Artefact]]
    threads: Sequence[int]
    rule: MeasureRule
    per_op: bool = False

    def jobs(self, target: Target) -> Iterator[list[Job]]:
        """Those of each group on a device, in the order in which they are shown."""
        for group in self.groups:
            paths = dict.fromkeys(
                artefact.path
                for artefact in group
                if target.engines is None or artefact.manifest.engine in target.engines
            )
            yield [Job(path, count) for count in self.threads for path in paths]

    @cached_property
    def artefacts(self) -> Mapping[Path, Artefact]:
        """All of them, by path."""
        return {artefact.path: artefact for group in self.groups for artefact in group}

    def keys(self, targets: Sequence[Target]) -> list[Key]:
        """All that is measured on some devices, each once, in the order in which it is shown."""
        keys = (self.key(target, job) for target in targets for jobs in self.jobs(target) for job in jobs)
        return list(dict.fromkeys(keys))

    def key(self, target: Target, job: Job) -> Key:
        """Which of a sweep's jobs one is."""
        return target.name, self.artefacts[job.artefact].manifest.sha256, job.threads


@dataclass(frozen=True)
class Said:
    """Something to be told to the user."""

    device: str
    message: str


@dataclass(frozen=True)
class Turned:
    """A turn was taken: a job has so many timed runs."""

    device: str
    job: Job
    runs: int


@dataclass(frozen=True)
class Finished:
    """A row to be kept."""

    device: str
    row: Row


@dataclass(frozen=True)
class Pushed:
    """What had to be sent to a device, in bytes."""

    device: str
    size_bytes: int


@dataclass(frozen=True)
class Failed:
    """Something could not be measured; ``job`` is None where the device as a whole could not be used."""

    device: str
    job: Job | None
    error: BibenchError


Event = Said | Turned | Finished | Pushed | Failed
Emit = Callable[[Event], None]


@dataclass
class Outcome:
    """What came of a plan.

    Attributes:
        rows: by key, those of an earlier run of the same command among them.
        failures: in the order of their happening.
        pushed: device → bytes that were sent to it; without this machine.
    """

    rows: dict[Key, Row] = field(default_factory=dict)
    failures: list[Failed] = field(default_factory=list)
    pushed: dict[str, int] = field(default_factory=dict)

    def ordered(self, plan: Plan, targets: Sequence[Target]) -> list[Row]:
        """Rows in the order of devices, groups and threads."""
        return [self.rows[key] for key in plan.keys(targets) if key in self.rows]

    def complete(self, plan: Plan, targets: Sequence[Target]) -> bool:
        """Whether nothing is left to be measured."""
        return all(key in self.rows for key in plan.keys(targets))
