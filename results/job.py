"""What a night has to measure, and what became of it: the jobs of ``queue``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import RowMapping

#: What a job of a night is known by.
IDENTITY: Final = ("sha256", "engine_id", "device", "threads", "cpus")


class State(StrEnum):
    """Of a job."""

    WAITING = "waiting"
    TAKEN = "taken"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class JobSpec:
    """What is to be measured.

    Attributes:
        sha256: of the artefact.
        engine_id: sha256 of the program that the device will run, or "name version" of a library.
        cpus: the cores that are asked for; None for none.
        unit: what the jobs of one device that are measured in turns have in common: they are claimed together.
    """

    device: str
    engine: str
    model: str
    variant: str
    sha256: str
    engine_id: str
    threads: int
    cpus: str | None
    unit: str


@dataclass(frozen=True)
class Claimed:
    """A job that is ours until we say what became of it, or don't beat.

    Attributes:
        attempts: how often it has failed before.
        claim: how often it was claimed, this time included; it tells this claim from every other.
    """

    seq: int
    spec: JobSpec
    attempts: int
    claim: int


@dataclass(frozen=True)
class Job:
    """What became of a job so far.

    Attributes:
        attempts: how often it failed.
        owner: who has it, or had it last.
        row_id: of the row that was measured.
        said: why the last attempt failed.
    """

    seq: int
    spec: JobSpec
    state: State
    attempts: int
    owner: str | None
    row_id: UUID | None
    said: str | None


@dataclass(frozen=True)
class Health:
    """Of a device in this night.

    Attributes:
        failures: how often it failed as a device.
        quarantined_at: since when nothing of it can be claimed; None for a device that is at work.
        said: why it failed last.
    """

    device: str
    failures: int
    quarantined_at: datetime | None
    said: str | None


def spec_of(found: RowMapping) -> JobSpec:
    """What a row of ``night_job`` asks for."""
    facts = {name: found[name] for name in JobSpec.__dataclass_fields__}
    return JobSpec(**(facts | {"cpus": found["cpus"] or None}))


def job_of(found: RowMapping) -> Job:
    """A row of ``night_job``."""
    return Job(
        found["seq"],
        spec_of(found),
        State(found["state"]),
        found["attempts"],
        found["owner"],
        found["row_id"],
        found["said"],
    )
