"""Nights drawn from real ones: many more than anybody has time to measure. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from statistics import median

import numpy as np

from bibench_deploy.nightly.confirmation import Again, HowTo, confirmed
from bibench_deploy.nightly.finding import Finding, Status
from bibench_deploy.nightly.gate import BASELINE_NIGHTS
from bibench_deploy.results import Row
from bibench_deploy.results.nights import Night
from bibench_deploy.runners.statistics import split

from .lab_nights import GATE, findings

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pool:
    """Real rows of one job, one a night, in the order of measuring.

    Attributes:
        usual: of the artefact that the nights before are of.
        other: of the one that is judged, measured in turns with it.
    """

    usual: Sequence[Row]
    other: Sequence[Row]

    @cached_property
    def judged(self) -> tuple[Sequence[Row], Sequence[Row]]:
        """The same with one run a turn, its median: all that the gate looks at."""
        return [_condensed(row) for row in self.usual], [_condensed(row) for row in self.other]


@dataclass(frozen=True)
class Drawn:
    """What became of nights that were drawn."""

    judged: int
    suspicions: int
    alarms: int
    device: int


def draw(pool: Pool, count: int, consecutive: bool, random: np.random.Generator) -> Drawn:
    """Judge so many nights against the seven before; suspicions are confirmed by openings from the pool.

    Turns are drawn with replacement from a night's, so that a night keeps its level.

    Args:
        consecutive: whether the nights are such that followed each other, or any.
    """
    suspicions = alarms = device = 0
    usual, other = pool.judged
    for _ in range(count):
        numbers = _numbers(len(pool.usual), consecutive, random)
        earlier = [
            (_night(place), [_resampled(usual[number], place, random)])
            for place, number in enumerate(numbers[:-1])
        ]
        last = len(earlier)
        row = _resampled(other[numbers[-1]], last, random)
        (finding,) = findings(earlier, _night(last), [row])
        if finding.status is Status.SUSPECT:
            suspicions += 1
            status = _confirmed(finding, pool, random).status
            alarms += status is Status.SLOWER
            device += status is Status.DEVICE_SLOWER
    return Drawn(count, suspicions, alarms, device)


def _numbers(size: int, consecutive: bool, random: np.random.Generator) -> list[int]:
    needed = BASELINE_NIGHTS + 1
    if consecutive:
        start = int(random.integers(size - needed + 1))
        return list(range(start, start + needed))
    return [int(number) for number in random.choice(size, needed, replace=False)]


def _night(number: int) -> Night:
    began = _BEGAN + timedelta(days=number)
    return Night("drawn", f"{number:04d}", "", None, "", began)


def _turns(row: Row, count: int, random: np.random.Generator) -> list[Sequence[int]]:
    turns = split(row.samples_ns, row.turns)
    return [turns[int(index)] for index in random.integers(len(turns), size=count)]


def _condensed(row: Row) -> Row:
    medians = [max(1, round(median(turn))) for turn in split(row.samples_ns, row.turns)]
    return row.model_copy(update={"samples_ns": medians, "turns": [1] * len(medians)})


def _resampled(row: Row, number: int, random: np.random.Generator) -> Row:
    turns = _turns(row, len(row.turns), random)
    return row.model_copy(
        update={
            "samples_ns": [run for turn in turns for run in turn],
            "turns": [len(turn) for turn in turns],
            "session": _night(number).session,
            "measured_at": _night(number).started_at,
        }
    )


def _confirmed(finding: Finding, pool: Pool, random: np.random.Generator) -> Finding:
    """Measured again: openings of nights of the pool, in which both were measured in turns."""
    beside = pool.other[0].sha256 != pool.usual[0].sha256
    how = HowTo(("artefact",), pool.usual[0].sha256) if beside else HowTo(())
    again = []
    for number in random.choice(len(pool.usual), how.openings, replace=False):
        new, old = (_turns(rows[int(number)], how.turns, random) for rows in (pool.other, pool.usual))
        again.append(Again(new, old if beside else None))
    return confirmed(finding, how, again, GATE.factor)
