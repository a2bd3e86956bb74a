"""One job over the nights: its latencies, their levels and steps, its sizes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from ..steps import steps

#: Artefacts hold names and versions, so their size varies by some bytes; the gate lets a per cent pass, too.
LEAST_RESIZE: Final = 1.01


@dataclass(frozen=True, order=True)
class What:
    """Which job; ``cpus`` is empty where no cores were asked for."""

    device: str
    model: str
    engine: str
    variant: str
    threads: int
    cpus: str = ""

    @property
    def how(self) -> str:
        """What tells it from the other jobs of its device and model."""
        cores = f", cores {self.cpus}" if self.cpus else ""
        return f"{self.engine} {self.variant}, {self.threads} thread{'' if self.threads == 1 else 's'}{cores}"


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured in one night.

    Attributes:
        night: number of the night, in the order of all nights of its plan.
        low_ms, high_ms: the 95 % interval of the median; None where there are too few turns.
        verdict: "stable", "unstable" or "invalid".
    """

    night: int
    median_ms: float
    low_ms: float | None
    high_ms: float | None
    size_bytes: int
    verdict: str


@dataclass(frozen=True)
class Level:
    """Nights whose latency is the same.

    Attributes:
        first, last: numbers of its nights.
        nights: how many were measured.
    """

    first: int
    last: int
    nights: int
    median_ms: float


@dataclass(frozen=True)
class Change:
    """From one level, or one size, to the next.

    Attributes:
        night: number of the first night that has the new one.
        before, after: in ms or bytes.
    """

    night: int
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """Above 1 is slower, or larger."""
        return self.after / self.before


@dataclass(frozen=True)
class Series:
    """One job, with its points in the order of the nights; at least one."""

    what: What
    points: Sequence[Point]

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """What is invalid is no measurement and counts for none; no levels where all are."""
        valid = [point for point in self.points if point.verdict != "invalid"]
        found = steps([point.median_ms for point in valid])
        ends = [*(segment.start for segment in found), len(valid)][1:]
        return tuple(
            Level(valid[segment.start].night, valid[end - 1].night, end - segment.start, segment.level)
            for segment, end in zip(found, ends, strict=True)
        )

    @property
    def steps(self) -> tuple[Change, ...]:
        """Where the latency changed for good."""
        return tuple(
            Change(after.first, before.median_ms, after.median_ms) for before, after in pairwise(self.levels)
        )

    @property
    def resizes(self) -> tuple[Change, ...]:
        """Where the artefact became larger or smaller, so that it counts."""
        found = []
        known = self.points[0].size_bytes
        for point in self.points:
            change = Change(point.night, known, point.size_bytes)
            if max(change.ratio, 1 / change.ratio) >= LEAST_RESIZE:
                found.append(change)
                known = point.size_bytes
        return tuple(found)

    @property
    def last(self) -> Point:
        """The newest."""
        return self.points[-1]
