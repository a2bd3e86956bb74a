"""Reports of nights for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bibench_deploy.nightly.document import Ill, NightReport, Since, Told, kind_of
from bibench_deploy.nightly.finding import Status

from .nights import FIRST

SLOWER = Status.SLOWER


def told(status: Status, **facts: Any) -> Told:
    """A finding of a job that was measured, unless its status says otherwise."""
    measured = status not in (Status.MISSING, Status.UNCONVERTED, Status.NOT_APPLICABLE)
    known: dict[str, Any] = {
        "device": "rpi4",
        "engine": "native",
        "model": "resnet18",
        "variant": "dorefa",
        "threads": 4,
        "status": status,
        "kind": kind_of(status),
        "words": f"words of {status}",
        "median_ms": 11.2 if measured else None,
        "baseline_ms": 10.0 if measured else None,
        "ratio": 1.12 if measured else None,
        "measured_s": 1.5 if measured else 0.0,
    }
    if status is SLOWER:
        known["since"] = Since(night="2026-11-20", commit="a1b2c3d4e5f6")
    return Told(**(known | facts))


def report(*findings: Told, devices: tuple[Ill, ...] = ()) -> NightReport:
    """A night with these findings."""
    return NightReport(
        tool="0.1.0",
        plan="lab",
        night="2026-11-22",
        commit="f" * 40,
        host="control",
        started_at=FIRST,
        finished_at=FIRST + timedelta(hours=2),
        baseline="the last nights",
        findings=findings,
        devices=devices,
    )
