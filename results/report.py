"""From rows to what is shown: summaries, and a binarized model against its full-precision twin. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bibench_deploy.metrics import HardwareMetric, hardware_metric, ratio
from bibench_deploy.runners.compare import incomparable, paired_interval, ratio_interval
from bibench_deploy.runners.statistics import (
    FEWEST_FOR_INTERVAL,
    LOOK_CONFIDENCE,
    Interval,
    Turns,
    median_interval,
    split,
    turn_medians,
)
from bibench_deploy.runners.timing import NS_PER_MS, Summary, summarise

from .row import FULL_PRECISION, Row


@dataclass(frozen=True)
class Line:
    """One row that was measured, and its summary."""

    row: Row
    summary: Summary

    @property
    def stable(self) -> bool:
        """Whether its median may be compared: as it was judged when it was taken, else by its spread."""
        return self.row.verdict == "stable" if self.row.verdict else self.summary.stable

    @property
    def verdict(self) -> str:
        """In words, with what it rests on."""
        if self.row.verdict is None:
            return self.summary.verdict
        reasons = ", ".join(self.row.reasons)
        return f"{self.row.verdict}: {reasons}" if reasons else self.row.verdict

    @property
    def turns(self) -> Turns:
        """Its samples, ns, as they were taken."""
        return split(self.row.samples_ns, self.row.turns)

    @cached_property
    def interval_ms(self) -> Interval | None:
        """The 95 % interval of the median in ms; None where there are too few turns for one."""
        found = median_interval(self.turns)
        return Interval(found.low / NS_PER_MS, found.high / NS_PER_MS) if found else None

    @property
    def oversubscribed(self) -> bool:
        """Whether more threads ran than the machine has cores."""
        return self.row.threads > self.row.host.cores


@dataclass(frozen=True)
class Comparison:
    """A binarized model against its twin: same source model, device, engine and number of threads.

    Attributes:
        metric: speedup of the medians, compression of the file sizes, and BiBench's Eq. 9 of the two.
    """

    binarized: Line
    full_precision: Line
    metric: HardwareMetric

    @cached_property
    def interval(self) -> Interval | None:
        """The 95 % interval of the speedup; None where there are too few turns for one.

        Bootstrapped over the medians of turns: pairs of them where both were measured in rotation. It has the ratio
        of the quickest runs, too: a disturbance slows either of the two by its own factor, and another time there
        may be none.
        """
        first, second = (turn_medians(line.turns) for line in (self.binarized, self.full_precision))
        if min(len(first), len(second)) < FEWEST_FOR_INTERVAL:
            return None
        # The measurements ended when their intervals were narrow, which those of ratios are with them.
        found = (paired_interval if self.paired else ratio_interval)(first, second, LOOK_CONFIDENCE)
        undisturbed = self.full_precision.summary.quickest_ms / self.binarized.summary.quickest_ms
        # The interval is of turns, the speedup is of runs.
        return found.with_value(undisturbed).with_value(self.metric.speedup)

    @property
    def paired(self) -> bool:
        """Whether the two had their turns in rotation, so that what disturbed one disturbed the other, too."""
        blocks = {self.binarized.row.block, self.full_precision.row.block}
        return len(blocks) == 1 and None not in blocks

    @property
    def stable(self) -> bool:
        """Whether both medians are."""
        return self.binarized.stable and self.full_precision.stable

    @property
    def fair(self) -> bool:
        """Whether it says something of the model: not of waiting threads, nor of a measurement that is none."""
        verdicts = (self.binarized.row.verdict, self.full_precision.row.verdict)
        return not self.binarized.oversubscribed and "invalid" not in verdicts


@dataclass(frozen=True)
class Uncompared:
    """A binarized model and its twin that were not measured under one condition, and so have no ratio."""

    binarized: Line
    full_precision: Line
    why: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What ``profile`` shows.

    Attributes:
        not_applicable: rows of what an engine can't do.
        uncompared: pairs that would be comparisons if they could be compared.
        overall: Eq. 9 over the comparisons that are fair; None without any.
    """

    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...]
    overall: HardwareMetric | None
    not_applicable: tuple[Row, ...] = ()
    uncompared: tuple[Uncompared, ...] = ()


def report(rows: Sequence[Row]) -> Report:
    """Summarise rows of one session, in their order."""
    lines = tuple(Line(row, summarise(row.samples_ns)) for row in rows if row.state == "measured")
    twins = {_pairing(line.row): line for line in lines if line.row.variant == FULL_PRECISION}
    paired = [
        (
            line,
            twins[_pairing(line.row)],
            incomparable(twins[_pairing(line.row)].row.context, line.row.context),
        )
        for line in lines
        if line.row.variant != FULL_PRECISION and _pairing(line.row) in twins
    ]
    comparisons = tuple(_compare(line, twin) for line, twin, why in paired if not why)
    fair = [comparison.metric for comparison in comparisons if comparison.fair]
    pairs = [(metric.speedup, metric.compression) for metric in fair]
    return Report(
        lines,
        comparisons,
        hardware_metric(pairs) if pairs else None,
        tuple(row for row in rows if row.state == "not_applicable"),
        tuple(Uncompared(line, twin, why) for line, twin, why in paired if why),
    )


def _pairing(row: Row) -> tuple[object, ...]:
    return row.device, row.host.cpu, row.engine, row.source_sha256, row.threads, row.cpus


def _compare(binarized: Line, full_precision: Line) -> Comparison:
    speedup = ratio(full_precision.summary.median_ms, binarized.summary.median_ms)
    compression = ratio(full_precision.row.size_bytes, binarized.row.size_bytes)
    return Comparison(binarized, full_precision, hardware_metric([(speedup, compression)]))
