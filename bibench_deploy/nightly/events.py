"""What happens in a night, as it is told to whoever watches: a live board, or lines in a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bibench_deploy.profile_plan import Said
from bibench_deploy.results.job import Job, JobSpec


class Doing(StrEnum):
    """What a device does at the moment."""

    OPENING = "opening"
    MEASURING = "measuring"
    CONFIRMING = "confirming"
    RESTING = "resting"
    WAITING = "waiting"
    QUARANTINED = "quarantined"
    ENDED = "ended"


@dataclass(frozen=True)
class Stage:
    """What the night as a whole does now, in words."""

    words: str


@dataclass(frozen=True)
class Planned:
    """The jobs of the night as they are when measuring begins, those of an earlier start among them.

    Attributes:
        job_s: device → how long a job of it is expected to take, in s.
    """

    jobs: tuple[Job, ...]
    job_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Now:
    """What a device does now.

    Attributes:
        words: for how long, for whom, or why.
    """

    device: str
    doing: Doing
    words: str = ""


@dataclass(frozen=True)
class Turned:
    """A turn was taken: a job has so many timed runs."""

    device: str
    spec: JobSpec
    runs: int


@dataclass(frozen=True)
class Done:
    """A row was stored.

    Attributes:
        words: the median, or that the engine can't do it.
    """

    device: str
    spec: JobSpec
    words: str


@dataclass(frozen=True)
class JobFailed:
    """A job could not be measured; ``again``: it will be tried again."""

    device: str
    spec: JobSpec
    said: str
    again: bool


@dataclass(frozen=True)
class DeviceFailed:
    """A device failed as such, for the n-th time in this night."""

    device: str
    failures: int
    said: str


Event = Stage | Planned | Now | Said | Turned | Done | JobFailed | DeviceFailed
Emit = Callable[[Event], None]
