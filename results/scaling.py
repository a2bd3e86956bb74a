"""What more threads bring: parallel efficiency and the knee of each sweep over thread counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bibench_deploy.runners.compare import incomparable

from .report import Line
from .row import Row


@dataclass(frozen=True)
class Sweep:
    """One artefact on one device and set of cores, over thread counts.

    Attributes:
        lines: by number of threads, ascending; the last of each.
        efficiency: T1 / (n · Tn) of the medians, by number of threads; empty where one thread was not measured.
        knee: the number of threads from which on more are not worth it; None where fewer than two have cores.
        crossing: the first number of threads that needs little cores, too; None where none does, or the device's
            clusters are not known.
    """

    lines: Mapping[int, Line]
    efficiency: Mapping[int, float]
    knee: int | None
    crossing: int | None = None

    @property
    def row(self) -> Row:
        """The first row: all have its artefact and its device."""
        return next(iter(self.lines.values())).row

    @property
    def bends(self) -> bool:
        """Whether more threads than the knee's were measured on cores of their own; else it may lie further on."""
        own = [threads for threads, line in self.lines.items() if not line.oversubscribed]
        return self.knee is not None and self.knee < max(own)

    @property
    def stable(self) -> bool:
        """Whether all of its medians are."""
        return all(line.stable for line in self.lines.values())


def sweeps(lines: Iterable[Line]) -> tuple[Sweep, ...]:
    """The sweeps among some lines, in the order of their first line; one count alone is none."""
    found: dict[tuple[object, ...], dict[int, Line]] = {}
    for line in lines:
        row = line.row
        key = (row.device, row.host.cpu, row.engine, row.sha256, row.cpus)
        found.setdefault(key, {})[row.threads] = line
    return tuple(_sweep(dict(sorted(members.items()))) for members in found.values() if len(members) > 1)


def efficiencies(found: Sequence[Sweep]) -> dict[object, float]:
    """Parallel efficiency by the id of a row."""
    return {
        sweep.lines[threads].row.id: value for sweep in found for threads, value in sweep.efficiency.items()
    }


def _sweep(lines: Mapping[int, Line]) -> Sweep:
    first = next(iter(lines.values())).row.context
    # More threads make a chip clock down: that is part of their efficiency. Another governor is not.
    alike = {n: line for n, line in lines.items() if not incomparable(first, line.row.context, clock=False)}
    medians = {threads: line.summary.median_ms for threads, line in alike.items()}
    one = medians.get(1)
    efficiency = {} if one is None else {n: one / (n * median) for n, median in medians.items()}
    own_cores = {n: median for n, median in medians.items() if not lines[n].oversubscribed}
    return Sweep(lines, efficiency, knee(own_cores), _crossing(lines))


def _crossing(lines: Mapping[int, Line]) -> int | None:
    """The system takes the fastest cores first, so threads beyond them run on the slowest cluster."""
    clusters = next(iter(lines.values())).row.host.clusters
    fast = sum(clusters[:-1])
    return min((n for n in lines if n > fast), default=None) if len(clusters) > 1 else None


def knee(medians: Mapping[int, float]) -> int | None:
    """The number of threads with the best ratio of efficiency to time; None where there is nothing to choose.

    Going from p to n threads is worth it as long as it is faster by more than sqrt(n / p): twice the cores have to
    bring a factor of 1.41 (Eager, Zahorjan, Lazowska: Speedup versus efficiency in parallel systems, IEEE
    Transactions on Computers 38(3), 1989, whose knee this is; efficiency there is at least one half).

    Args:
        medians: latency in any unit by number of threads.
    """
    if len(medians) < 2:
        return None
    # Efficiency over time is (T1 / (n·Tn)) / Tn, so T1 does not matter; of equals the fewer threads.
    return min(medians, key=lambda n: (n * medians[n] ** 2, n))
