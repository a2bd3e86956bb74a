"""What changed since the nights before. Pure.

An alarm has to pass three keys, since false ones get such tools switched off:

1. significance: Mann–Whitney over the medians of the turns, tonight's against all of the baseline's;
2. size: tonight's median is by the factor above the baseline's, and by three standard deviations of its nights,
   so that nights that differ among themselves allow as much to this one;
3. confirmation: measured again, in turns with the old artefact, it is slower still (``confirmation``).

A larger artefact, fewer binary operators or other outputs are regressions without any statistics. Whatever it is,
it is told anew for as many nights as a baseline has, with the night that it began in; then it is the usual, unless
somebody accepted it before (``since`` of the plan).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from bibench_deploy.results.comparison import other_things
from bibench_deploy.results.steps import steps
from bibench_deploy.runners.compare import FEWEST_TURNS, NOTABLE_FACTOR

from .baseline import Baseline, Past
from .finding import Began, Finding, Key, Status, Unmeasured, Why, key_of
from .levels import FEWEST_NIGHTS, Judgement, Point, beginning, judgement

if TYPE_CHECKING:
    from bibench_deploy.results import Row
    from bibench_deploy.results.nights import Night

#: Nights that the baseline is made of. FAI-PEP's detector needs five runs at least (delay_detector.py); a week
#: holds every habit of a house that heats and works by the week.
BASELINE_NIGHTS = 7
#: A file may grow by a per cent: manifests of engines hold names and versions.
LARGER_FACTOR = 1.01

_UNMEASURED = {
    Why.REFUSED: Status.NOT_APPLICABLE,
    Why.CONVERSION: Status.UNCONVERTED,
    Why.OTHERWISE: Status.OTHERWISE,
    Why.INFRASTRUCTURE: Status.MISSING,
}


@dataclass(frozen=True)
class Gate:
    """The thresholds of a plan.

    Attributes:
        nights: of the baseline.
        factor: ratio of the medians from which a change counts.
        larger: ratio of the sizes from which a change counts.
    """

    nights: int = BASELINE_NIGHTS
    factor: float = NOTABLE_FACTOR
    larger: float = LARGER_FACTOR


def judge(
    expected: Iterable[Key],
    tonight: Night,
    rows: Iterable[Row],
    baseline: Baseline,
    gate: Gate,
    unmeasured: Mapping[Key, Unmeasured],
) -> list[Finding]:
    """One finding for each expected job, in their order; latencies that look slower are ``SUSPECT``.

    Args:
        rows: of tonight, in any order; of a job that has several, the latest counts.
        unmeasured: why jobs have no row, where that is known.
    """
    measured = {key_of(row): row for row in sorted(rows, key=lambda row: (row.measured_at, row.id))}
    before = baseline.by_job()
    findings = []
    for key in dict.fromkeys(expected):
        job = _Job(key, tonight, before.get(key, []), baseline, gate)
        findings.append(job.of_row(measured[key]) if key in measured else job.without(unmeasured.get(key)))
    return findings


@dataclass(frozen=True)
class _Job:
    """One job over the nights.

    Attributes:
        earlier: its rows, oldest first.
    """

    key: Key
    tonight: Night
    earlier: Sequence[Past]
    baseline: Baseline
    gate: Gate

    @property
    def _now(self) -> Began:
        return Began(self.tonight.name, self.tonight.commit)

    @cached_property
    def _measured(self) -> list[Past]:
        """The nights that count for what needs no statistics: the last ones with a measurement, none from before
        ``since``."""
        since = self.baseline.choice.since
        accepted = [past for past in self.earlier if since is None or past.night.started_at >= since]
        return [past for past in accepted if past.row.state == "measured"][-self.gate.nights :]

    def without(self, why: Unmeasured | None) -> Finding:
        """A job that has no row."""
        if why is None:
            return Finding(self.key, Status.MISSING, "was not measured")
        status = _UNMEASURED[why.why]
        if status is Status.NOT_APPLICABLE:
            return self._not_applicable(why.words, None)
        return Finding(self.key, status, why.words, since=self._now)

    def of_row(self, row: Row) -> Finding:
        """A job with its row."""
        if row.state == "not_applicable":
            return self._not_applicable("; ".join(row.reasons), row)
        if not row.verified or row.verified_on_device is False:
            return Finding(self.key, Status.OTHERWISE, "computes something else than its model", row=row)
        facts = self._of_facts(row)
        if facts is not None and facts.status is not Status.LARGER:
            return facts
        latency = self._of_latency(row)
        if facts is None:
            return latency
        # What has more to do is larger, and slower: that is what a reader wants to know.
        return replace(latency, besides=facts) if latency.status is Status.SUSPECT else facts

    def _not_applicable(self, words: str, row: Row | None) -> Finding:
        if not self._measured:
            return Finding(self.key, Status.NOT_APPLICABLE, words, row=row)
        last = self._measured[-1]
        words = f"was measured in {last.began}, and now: {words}"
        return Finding(
            self.key, Status.LOST, words, row=row, baseline=(last.row,), since=self._first_after(last)
        )

    def _of_facts(self, row: Row) -> Finding | None:
        """What needs no statistics."""
        checks: Sequence[tuple[Status, Callable[[Row], bool], Callable[[Row], str]]] = (
            (
                Status.FLOAT,
                lambda old: row.binary_ops < old.binary_ops,
                lambda old: (
                    f"{row.binary_ops} binary operators, {old.binary_ops} before: layers became float"
                ),
            ),
            (
                Status.OTHERWISE,
                lambda old: bool(set(row.changes) - set(old.changes)),
                lambda old: (
                    f"another function: {', '.join(sorted(set(row.changes) - set(old.changes)))} since"
                ),
            ),
            (
                Status.LARGER,
                lambda old: row.size_bytes > self.gate.larger * old.size_bytes,
                lambda old: f"{row.size_bytes:,} bytes, {old.size_bytes:,} before",
            ),
        )
        for status, worse, words in checks:
            better = [past for past in self._measured if worse(past.row)]
            if better:
                last = better[-1]
                ratio = row.size_bytes / last.row.size_bytes if status is Status.LARGER else None
                return Finding(
                    self.key, status, words(last.row), ratio, row, (last.row,), since=self._first_after(last)
                )
        return None

    def _first_after(self, past: Past) -> Began:
        """The night after one in which this job was known."""
        later = self.earlier[self.earlier.index(past) + 1 :]
        return later[0].began if later else self._now

    def _of_latency(self, row: Row) -> Finding:
        if row.verdict == "invalid":
            return Finding(self.key, Status.UNUSABLE, "; ".join(row.reasons) or "invalid", row=row)
        # A night that was no measurement is no baseline either.
        valid = [
            past for past in self.earlier if past.row.state == "measured" and past.row.verdict != "invalid"
        ]
        if not valid:
            return Finding(self.key, Status.NEW, "measured for the first time", row=row)
        now = Point(Past(self.tonight, row))
        if len(now.turns) < FEWEST_TURNS:
            words = (
                f"{len(now.turns)} turns are too few to tell a change from chance ({FEWEST_TURNS} are needed)"
            )
            return Finding(self.key, Status.UNUSABLE, words, row=row)
        clock = _is_steady([past.row for past in valid[-self.gate.nights :]])
        alike = [Point(past) for past in valid if not other_things(past.row, row, clock)]
        points = self._not_forgotten(alike)
        # A night that was named, or accepted, is a baseline alone: the confirmation is against its artefact.
        fewest = 1 if self._named or len(points) < len(alike) else FEWEST_NIGHTS
        if len(points) < fewest or sum(len(point.turns) for point in points) < FEWEST_TURNS:
            others = [why for past in valid if (why := other_things(past.row, row, clock))]
            return self._without_baseline(row, others, points, fewest)
        start = 0
        if not self._named:
            start = steps([point.centre for point in points])[-1].start
            start = beginning(points, start, self.gate.factor)
        return self._told(judgement(now, points, start, self.gate.nights, self.gate.factor), row)

    @property
    def _named(self) -> bool:
        return self.baseline.choice.named

    def _not_forgotten(self, points: list[Point]) -> list[Point]:
        """Without the nights before ``since`` whose level is another one than the first one after it."""
        since = self.baseline.choice.since
        if since is None:
            return points
        after = [point.centre for point in points if point.past.night.started_at >= since]
        if not after:
            return []
        level, factor = median(after[: self.gate.nights]), self.gate.factor
        return [
            point
            for point in points
            if point.past.night.started_at >= since or level / factor < point.centre < level * factor
        ]

    def _without_baseline(
        self, row: Row, others: Sequence[Sequence[str]], points: Sequence[Point], fewest: int
    ) -> Finding:
        if others and len(others) + len(points) >= fewest:
            words = f"can't be compared with {len(others)} of the nights before: {', '.join(others[-1])}"
            return Finding(self.key, Status.INCOMPARABLE, words, row=row, since=self._now)
        since = self.baseline.choice.since
        words = f"{len(points)} comparable night{'' if len(points) == 1 else 's'} before, {fewest} are needed"
        if since and not points:
            words = f"no night since {since:%Y-%m-%d}, before which everything is accepted"
        return Finding(self.key, Status.UNJUDGED, words, row=row)

    def _told(self, found: Judgement, row: Row) -> Finding:
        count = len(found.baseline)
        words = f"{found.ratio:.2f}× the median of {count} night{'' if count == 1 else 's'}"
        if found.began:
            words += f" before {found.began}"
        status = {"same": Status.SAME, "faster": Status.FASTER, "slower": Status.SUSPECT}[found.word]
        return Finding(
            self.key,
            status,
            words,
            found.ratio,
            row,
            tuple(point.past.row for point in found.baseline),
            found.needed,
            None if status is Status.SAME else found.began or self._now,
        )


def _is_steady(rows: Sequence[Row]) -> bool:
    """Whether the clock stays from night to night: where it mostly doesn't, it is no condition but noise."""
    moved = [other_things(a, b) != other_things(a, b, clock=False) for a, b in pairwise(rows)]
    return 2 * sum(moved) <= len(moved)
