"""How long a night will take: as the same jobs took in the nights before, else by the plan's own rule. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING

from bibench_deploy.runners.timing import (
    MOST_WARMUP_SECONDS,
    NS_PER_SECOND,
    SETTLED_TURNS,
    TURNS,
    MeasureRule,
)

from .expansion import LOCAL, Wanted
from .making import BINARIZED, FULL_PRECISION

if TYPE_CHECKING:
    from bibench_deploy.results import Row

    from .plan import Plan

#: What a turn costs beside its runs: on a device two ways over SSH and a process (see ``runners.timing``), here a
#: line over a pipe. In s.
TURN_S: Mapping[bool, float] = {True: 0.05, False: 1.0}
#: Opening a job: a process, the choice of its kernel; on a device its verification. In s.
OPENING_S: Mapping[bool, float] = {True: 1.0, False: 3.0}
#: Converting one model for one engine where none was converted yet, in s: a small network, a ResNet-18.
CONVERSION_S = (5.0, 60.0)

#: Device, engine, model, "binarized" or "fp32", threads, cores.
_Key = tuple[str, str, str, str, int, str | None]


@dataclass(frozen=True)
class Span:
    """Between how many seconds; both the same where a former night tells."""

    low_s: float = 0.0
    high_s: float = 0.0

    def __add__(self, other: Span) -> Span:
        return Span(self.low_s + other.low_s, self.high_s + other.high_s)

    def __mul__(self, factor: float) -> Span:
        return Span(self.low_s * factor, self.high_s * factor)


@dataclass(frozen=True)
class Estimate:
    """How long a night will take.

    Attributes:
        devices: device → measuring on it; devices are measured side by side.
        conversion: of what is stale, before anything is measured.
        jobs: how many there are.
        remembered: for how many of them a former night tells.
        cools_down: whether turns wait for a temperature: how long, only a former night can tell.
    """

    devices: Mapping[str, Span]
    conversion: Span
    jobs: int
    remembered: int
    cools_down: bool = False

    @property
    def wall(self) -> Span:
        """From the start to the end of the last device."""
        spans = self.devices.values()
        longest = Span(
            max((span.low_s for span in spans), default=0.0),
            max((span.high_s for span in spans), default=0.0),
        )
        return self.conversion + longest

    @property
    def rests_on(self) -> str:
        """Where it is known from, in words."""
        if self.remembered == self.jobs:
            return f"as the nights before took{', waiting to cool down as long' if self.cools_down else ''}"
        by_rule = f"[measure]{', without waiting to cool down' if self.cools_down else ''}"
        if not self.remembered:
            return f"by the plan's {by_rule}; no night before tells"
        return f"{self.remembered} of {self.jobs} jobs as the nights before took, the others by {by_rule}"


def rule_of(plan: Plan) -> MeasureRule:
    """When a plan's measurements are long enough."""
    measure = plan.measure
    return MeasureRule(
        min_seconds=measure.min_time, max_seconds=measure.max_time, precision=measure.precision / 100
    )


def estimate(
    wanted: Sequence[Wanted],
    rule: MeasureRule,
    history: Iterable[Row],
    stale: int = 0,
    conversions_s: Sequence[float] = (),
    workers: int = 1,
    cools_down: bool = False,
) -> Estimate:
    """How long some jobs will take.

    Args:
        history: rows of the plan's former nights, in any order.
        stale: models that have to be converted first, once for each engine.
        conversions_s: how long each of some conversions took.
        workers: that convert side by side.
        cools_down: whether turns wait for a temperature.
    """
    rows = [row for row in history if row.state == "measured"]
    took: dict[_Key, list[float]] = {}
    for row in rows:
        took.setdefault(_key_of(row), []).append(_timed_s(row, rule))
    factors = _factors(rows, rule)
    spans: dict[str, Span] = {}
    remembered = 0
    for job in wanted:
        known = took.get(_key(job))
        remembered += known is not None
        span = _expected(known, factors.get(job.device), job.device == LOCAL, rule)
        spans[job.device] = spans.get(job.device, Span()) + span
    usual = Span(*[median(conversions_s)] * 2) if conversions_s else Span(*CONVERSION_S)
    at_once = max(1, min(workers, stale))
    return Estimate(spans, usual * (stale / at_once), len(wanted), remembered, cools_down)


def duration(seconds: float) -> str:
    """Seconds in the two units that matter: ``45 s``, ``12 min``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def words(span: Span) -> str:
    """A span for a reader: ``about 3 h``, ``2 h to 5 h``."""
    low, high = duration(span.low_s), duration(span.high_s)
    return f"about {low}" if low == high else f"{low} to {high}"


def _expected(known: Sequence[float] | None, factor: float | None, here: bool, rule: MeasureRule) -> Span:
    beside = OPENING_S[here] + (TURNS + SETTLED_TURNS) * TURN_S[here]
    if known is None:
        turn_s = rule.min_seconds / TURNS
        return Span(
            rule.min_seconds + SETTLED_TURNS * turn_s + beside,
            max(rule.min_seconds, rule.max_seconds) + MOST_WARMUP_SECONDS + beside,
        )
    timed = median(known)
    seconds = timed * factor if factor is not None else timed + beside
    return Span(seconds, seconds)


def _factors(rows: Iterable[Row], rule: MeasureRule) -> dict[str, float]:
    """Device → seconds that go by for each second of timed runs: warm-up, opening, verification, pauses.

    The jobs of one model are measured in turns, so that they end together: what went by is from the end of the
    model before to the end of theirs. The median forgets an evening on which someone pulled the plug.
    """
    factors: dict[str, list[float]] = {}
    ordered = sorted(rows, key=lambda row: (row.device, row.session or "", row.measured_at))
    for (device, _), night in groupby(ordered, key=lambda row: (row.device, row.session)):
        before = None
        for _, unit in groupby(night, key=lambda row: row.model):
            members = list(unit)
            end = members[-1].measured_at
            timed = sum(_timed_s(row, rule) for row in members)
            if before is not None and timed > 0:
                factors.setdefault(device, []).append((end - before).total_seconds() / timed)
            before = end
    # Runs can't take longer than what went by: less than 1 is a clock that was set back.
    return {device: max(1.0, median(found)) for device, found in factors.items()}


def _timed_s(row: Row, rule: MeasureRule) -> float:
    """Summed time of the timed runs, s; of an engine that tells means, what its turns are asked to take."""
    if row.statistic == "aggregate":
        return len(row.samples_ns) * rule.min_seconds / TURNS
    return sum(row.samples_ns) / NS_PER_SECOND


def _key(job: Wanted) -> _Key:
    return job.device, job.engine, job.model.stem, job.variant, job.threads, job.cpus


def _key_of(row: Row) -> _Key:
    kind = FULL_PRECISION if row.variant == FULL_PRECISION else BINARIZED
    return row.device, row.engine, row.model, kind, row.threads, row.cpus
