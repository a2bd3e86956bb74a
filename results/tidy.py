"""From the rows of a store to what a report shows of them, on a terminal or a page. Pure.

A store holds the same measurement again and again; a report shows the newest of each that is valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bibench_deploy.metrics import HardwareMetric, hardware_metric

from .published.latencies import Condition, latencies_ms, plain
from .report import Comparison, Line, Report, report
from .row import FULL_PRECISION, Row

# The order of the paper's tables.
ALGORITHMS = (FULL_PRECISION, "bnn", "xnor", "dorefa", "bireal", "xnorpp", "reactnet", "recu", "fda")

Key = TypeVar("Key", int, str)


@dataclass(frozen=True)
class Place:
    """One line of a table of latencies.

    Attributes:
        architecture: as the model names it; the model's own name where it names none, or where several models
            of one architecture would stand in the same cell.
        dataset, cpus: empty where unknown, or where nothing was asked for.
        processor: empty but for devices of one name that are several machines ("local" of two hosts).
    """

    device: str
    threads: int
    architecture: str
    dataset: str = ""
    cpus: str = ""
    processor: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a table of latencies."""

    engine: str
    algorithm: str


@dataclass(frozen=True)
class Grid:
    """Latencies as the paper's Tables 17–20 print them: device × threads × architecture, by engine and algorithm.

    Attributes:
        places, columns: in the order of showing.
        cells: a place and column without one was not measured.
        not_applicable: what an engine can't do, and why.
    """

    places: tuple[Place, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[Place, Column], Line]
    not_applicable: Mapping[tuple[Place, Column], Row]


@dataclass(frozen=True)
class Mean:
    """The hardware metric over some pairs; ``stable`` where all of their medians are."""

    metric: HardwareMetric
    stable: bool


@dataclass(frozen=True)
class Score:
    """The hardware metric of one algorithm on one engine (Eq. 9), over all of its pairs and by parts of them.

    Attributes:
        left_out: pairs that say nothing of the model, being oversubscribed or invalid.
    """

    column: Column
    whole: Mean
    by_device: Mapping[str, Mean]
    by_threads: Mapping[int, Mean]
    by_architecture: Mapping[str, Mean]
    left_out: int


def newest(rows: Iterable[Row]) -> list[Row]:
    """Of each measurement the newest that is not invalid, or the newest where all are; in the order of the rows.

    A model that was exported again under its name takes the place of the one before; a twin belongs to its model.
    """
    best: dict[tuple[object, ...], Row] = {}
    for row in rows:
        model = row.source_sha256 if row.variant == FULL_PRECISION else row.model
        key = (row.device, row.host.cpu, row.engine, model, row.variant, row.threads, row.cpus)
        known = best.get(key)
        if known is None or _rank(row) >= _rank(known):
            best[key] = row
    return list(best.values())


def grid(summary: Report) -> Grid:
    """The table of a report's rows."""
    names = _names(summary)
    cells: dict[tuple[Place, Column], Line] = {}
    for line in sorted(summary.lines, key=lambda line: _rank(line.row)):
        cells[_place(line.row, names), _column(line.row)] = line
    missing = {(_place(row, names), _column(row)): row for row in summary.not_applicable}
    keys = [*cells, *missing]
    devices = list(dict.fromkeys(line.row.device for line in summary.lines))
    devices += [row.device for row in summary.not_applicable]
    places = sorted(
        {place for place, _ in keys},
        key=lambda at: (
            devices.index(at.device),
            at.processor,
            at.cpus,
            at.dataset,
            at.threads,
            at.architecture,
        ),
    )
    columns = sorted({column for _, column in keys}, key=_order)
    return Grid(tuple(places), tuple(columns), cells, missing)


def scores(summary: Report) -> list[Score]:
    """The hardware metric of each algorithm on each engine, over the pairs that are fair."""
    pairs: dict[Column, list[Comparison]] = {}
    for comparison in summary.comparisons:
        pairs.setdefault(_column(comparison.binarized.row), []).append(comparison)
    names = _names(summary)
    found = []
    for column in sorted(pairs, key=_order):
        fair = [pair for pair in pairs[column] if pair.fair]
        if not fair:
            continue
        found.append(
            Score(
                column,
                _mean(fair),
                _by(fair, lambda row: row.device),
                _by(fair, lambda row: row.threads),
                _by(fair, lambda row: _place(row, names).architecture),
                len(pairs[column]) - len(fair),
            )
        )
    return found


def reference(table: Grid, chips: Mapping[str, str]) -> dict[Place, dict[Column, float]]:
    """The paper's latencies in ms for the places of a table that it has, by engine and variant.

    Args:
        chips: the paper's name of a device, by the device's id.
    """
    found: dict[Place, dict[Column, float]] = {}
    for place in table.places:
        chip = chips.get(place.device)
        if chip is None:
            continue
        for condition, latency in latencies_ms().items():
            if _is_of(condition, plain(chip), place):
                found.setdefault(place, {})[Column(condition.engine, condition.variant)] = latency
    return found


def recent(rows: Iterable[Row]) -> Report:
    """The report of the newest rows."""
    return report(newest(rows))


def _is_of(condition: Condition, chip: str, place: Place) -> bool:
    same = (chip, place.threads, plain(place.architecture))
    return same == (condition.device, condition.threads, condition.architecture)


def _rank(row: Row) -> tuple[bool, float]:
    return row.verdict != "invalid", row.measured_at.timestamp()


def _order(column: Column) -> tuple[str, int, str]:
    known = column.algorithm in ALGORITHMS
    return column.engine, ALGORITHMS.index(column.algorithm) if known else len(ALGORITHMS), column.algorithm


def _column(row: Row) -> Column:
    return Column(row.engine, row.algorithm)


def _place(row: Row, names: _Names) -> Place:
    processor = row.host.cpu if row.device in names.ambiguous_devices else ""
    architecture, dataset = names.models[row.source_sha256]
    return Place(row.device, row.threads, architecture, dataset, row.cpus or "", processor)


@dataclass(frozen=True)
class _Names:
    """What to call models and devices so that no two share a cell.

    Attributes:
        models: the name and the dataset of each model, by its sha256.
        ambiguous_devices: names that several machines have.
    """

    models: Mapping[str, tuple[str, str]]
    ambiguous_devices: frozenset[str]


def _names(summary: Report) -> _Names:
    rows = [line.row for line in summary.lines] + list(summary.not_applicable)
    # Rows of earlier versions lack what the same model says of itself in later ones.
    origins = {row.source_sha256: row for row in sorted(rows, key=lambda row: bool(row.metadata))}
    sharing: dict[tuple[object, ...], set[str]] = {}
    processors: dict[str, set[str]] = {}
    for row in rows:
        processors.setdefault(row.device, set()).add(row.host.cpu)
        if row.variant != FULL_PRECISION:
            origin = origins[row.source_sha256]
            cell = (origin.architecture, origin.dataset, row.algorithm)
            sharing.setdefault(cell, set()).add(row.model)
    crowded = {cell[:2] for cell, models in sharing.items() if len(models) > 1}
    names = {
        source: origin.architecture
        if origin.architecture and (origin.architecture, origin.dataset) not in crowded
        else origin.model
        for source, origin in origins.items()
    }
    models = {source: (name, origins[source].dataset or "") for source, name in names.items()}
    ambiguous = frozenset(device for device, found in processors.items() if len(found) > 1)
    return _Names(models, ambiguous)


def _by(pairs: Sequence[Comparison], key: Callable[[Row], Key]) -> dict[Key, Mean]:
    parts: dict[Key, list[Comparison]] = {}
    for pair in pairs:
        parts.setdefault(key(pair.binarized.row), []).append(pair)
    return {part: _mean(parts[part]) for part in sorted(parts)}


def _mean(pairs: Sequence[Comparison]) -> Mean:
    metric = hardware_metric((pair.metric.speedup, pair.metric.compression) for pair in pairs)
    return Mean(metric, all(pair.stable for pair in pairs))
