"""What changed since the nights before. Pure.

An alarm has to pass three keys, since a false one gets such tools switched off:

1. significance: Mann–Whitney over the medians of the turns, tonight's against all of the baseline's;
2. size: tonight's median is by the factor above the baseline's, and by three standard deviations of its nights,
   so that nights that differ among themselves allow as much to this one;
3. confirmation: measured again, in turns with the old artefact, it is slower still.

A larger artefact, fewer binary operators or other outputs are regressions without any statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

from bibench_deploy.runners.compare import (
    FEWEST_TURNS,
    NOTABLE_FACTOR,
    SIGNIFICANT_P,
    Comparison,
    incomparable,
    mann_whitney,
)
from bibench_deploy.runners.statistics import split, turn_medians

if TYPE_CHECKING:
    from bibench_deploy.results import Row

#: Device, engine, model, variant, threads, cores that were asked for.
Key = tuple[str, str, str, str, int, str | None]

#: Nights that the baseline is made of, as FAI-PEP takes at least five runs.
BASELINE_NIGHTS = 7
#: With fewer nights there is nothing that tonight could differ from.
FEWEST_NIGHTS = 3
#: Standard deviations of the nights' medians that tonight must lie beyond; estimated as 1.4826 · MAD.
NIGHT_DEVIATIONS = 3.0
MAD_TO_DEVIATION = 1.4826
#: A file may grow by a per cent: manifests of engines hold names and versions.
LARGER_FACTOR = 1.01


class Status(StrEnum):
    """What became of one job; ``REGRESSIONS`` and ``FAILURES`` decide the exit code."""

    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    UNCONFIRMED = "unconfirmed"
    LARGER = "larger"
    FLOAT = "float"
    OTHERWISE = "otherwise"
    NEW = "new"
    UNJUDGED = "unjudged"
    NOT_APPLICABLE = "not applicable"
    MISSING = "missing"


REGRESSIONS = frozenset({Status.SLOWER, Status.LARGER, Status.FLOAT, Status.OTHERWISE})
FAILURES = frozenset({Status.MISSING})


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


@dataclass(frozen=True)
class Finding:
    """What became of one job, in words.

    Attributes:
        ratio: tonight's median over the baseline's; None where one of them is missing.
        row: tonight's; None where nothing was measured.
        baseline: the row that a suspicion is confirmed against: the latest of the baseline.
    """

    key: Key
    status: Status
    words: str
    ratio: float | None = None
    row: Row | None = None
    baseline: Row | None = None

    @property
    def name(self) -> str:
        """The job, for a reader."""
        device, engine, model, variant, threads, cpus = self.key
        cores = f" on {cpus}" if cpus else ""
        return f"{device}: {model} {variant}, {engine}, {threads} thread{'s' if threads > 1 else ''}{cores}"


def key_of(row: Row) -> Key:
    """Which job a row is of, over the nights."""
    return row.device, row.engine, row.model, row.variant, row.threads, row.cpus


def judge(
    expected: Iterable[Key],
    tonight: Sequence[Row],
    history: Sequence[Row],
    gate: Gate,
    failures: Mapping[Key, str],
) -> list[Finding]:
    """One finding for each expected job; a suspicion stands as ``SLOWER`` until ``confirmed`` says otherwise.

    Args:
        tonight: rows of this night.
        history: rows of the nights before, in any order.
        failures: why jobs were not measured, where that is known.
    """
    measured = {key_of(row): row for row in tonight}
    before: dict[Key, list[Row]] = {}
    for row in sorted(history, key=lambda row: row.measured_at):
        before.setdefault(key_of(row), []).append(row)
    return [
        _finding(key, measured[key], before.get(key, []), gate)
        if key in measured
        else Finding(key, Status.MISSING, failures.get(key, "was not measured"))
        for key in dict.fromkeys(expected)
    ]


def _finding(key: Key, row: Row, earlier: Sequence[Row], gate: Gate) -> Finding:
    if row.state == "not_applicable":
        return Finding(key, Status.NOT_APPLICABLE, "; ".join(row.reasons), row=row)
    if not row.verified or row.verified_on_device is False:
        return Finding(key, Status.OTHERWISE, "computes something else than its model", row=row)
    last = next((old for old in reversed(earlier) if old.state == "measured"), None)
    if last is None:
        return Finding(key, Status.NEW, "measured for the first time", row=row)
    if row.binary_ops < last.binary_ops:
        words = f"{row.binary_ops} binary operators, {last.binary_ops} before: layers became float"
        return Finding(key, Status.FLOAT, words, row=row, baseline=last)
    if row.size_bytes > gate.larger * last.size_bytes:
        words = f"{row.size_bytes:,} bytes, {last.size_bytes:,} before"
        return Finding(key, Status.LARGER, words, row=row, baseline=last)
    return _of_latency(key, row, earlier, gate)


def _of_latency(key: Key, row: Row, earlier: Sequence[Row], gate: Gate) -> Finding:
    comparable = [
        old for old in earlier if old.state == "measured" and not incomparable(old.context, row.context)
    ]
    # A night that was no measurement is no baseline either.
    baseline = [old for old in comparable if old.verdict != "invalid"][-gate.nights :]
    if len(baseline) < FEWEST_NIGHTS:
        words = f"{len(baseline)} comparable nights before, {FEWEST_NIGHTS} are needed"
        return Finding(key, Status.UNJUDGED, words, row=row)
    if row.verdict == "invalid":
        return Finding(key, Status.UNJUDGED, "; ".join(row.reasons), row=row)
    now, nights = _medians(row), [_medians(old) for old in baseline]
    pooled = [value for night in nights for value in night]
    if min(len(now), len(pooled)) < FEWEST_TURNS:
        words = f"{len(now)} turns are too few to tell a change from chance"
        return Finding(key, Status.UNJUDGED, words, row=row)
    centre, usual = median(now), [median(night) for night in nights]
    ratio = centre / median(usual)
    words = f"{ratio:.2f}× the median of {len(nights)} nights"
    status = Status.SAME
    if mann_whitney(pooled, now) < SIGNIFICANT_P:
        factor = max(gate.factor, 1 + NIGHT_DEVIATIONS * _deviation(usual))
        if ratio >= factor:
            status = Status.SLOWER
        elif ratio <= 1 / factor:
            status = Status.FASTER
    return Finding(key, status, words, ratio, row, baseline[-1])


def _deviation(values: Sequence[float]) -> float:
    """Relative standard deviation, from the median absolute deviation: one odd night does not count."""
    centre = median(values)
    return MAD_TO_DEVIATION * median(abs(value - centre) for value in values) / centre


def _medians(row: Row) -> list[float]:
    return turn_medians(split(row.samples_ns, row.turns))


def confirmed(finding: Finding, again: Comparison) -> Finding:
    """A suspicion after it was measured again, in turns with the old artefact.

    Args:
        again: the new artefact against the old one.
    """
    words = f"{finding.words}; measured again beside the old artefact: {again.ratio:.2f}×"
    status = Status.SLOWER if again.word == "slower" else Status.UNCONFIRMED
    return Finding(finding.key, status, words, finding.ratio, finding.row, finding.baseline)


def exit_code(findings: Sequence[Finding]) -> int:
    """0 nothing got worse, 1 something did, 3 something (or everything) was not measured."""
    if any(finding.status in REGRESSIONS for finding in findings):
        return 1
    measured = [f for f in findings if f.status not in FAILURES and f.status != Status.NOT_APPLICABLE]
    return 0 if measured and not any(finding.status in FAILURES for finding in findings) else 3
