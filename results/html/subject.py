"""What the charts are about: one network on one device, and everything that is known of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..published.latencies import measured_variant
from ..report import Comparison, Line, Report
from ..tidy import Column, Place, grid


@dataclass(frozen=True)
class Subject:
    """A device and a network on it.

    Attributes:
        lines: what was measured, by number of threads, then engine and algorithm.
        comparisons: the same place and column as a line's, against full precision.
        published: the paper's latencies in ms of the same chip and network, where it has them.
    """

    place: Place
    lines: Mapping[tuple[int, Column], Line]
    comparisons: Mapping[tuple[int, Column], Comparison]
    published: Mapping[tuple[int, Column], float]

    @property
    def title(self) -> str:
        """As a heading: the device, then the network, then what tells it from others."""
        place = self.place
        cores = f"cores {place.cpus}" if place.cpus else ""
        parts = (place.device, place.processor, cores, place.architecture, place.dataset)
        return " · ".join(filter(None, parts))

    def published_speedup(self, threads: int, column: Column) -> float | None:
        """Of the paper, for the algorithm or the one that it measured in its stead; None where it has none."""
        full = self.published.get((threads, Column(column.engine, "fp32")))
        measured = Column(column.engine, measured_variant(column.algorithm))
        binarized = self.published.get((threads, measured))
        return full / binarized if full and binarized else None


def subjects(summary: Report, published: Mapping[Place, Mapping[Column, float]]) -> list[Subject]:
    """One for each device and network that anything was measured of, in the order of the report's table.

    Args:
        published: the paper's latencies in ms; see ``tidy.reference``.
    """
    table = grid(summary)
    versus = {comparison.binarized.row.id: comparison for comparison in summary.comparisons}
    found: dict[Place, Subject] = {}
    for place in table.places:
        whole = Place(place.device, 0, place.architecture, place.dataset, place.cpus, place.processor)
        cells = {
            (place.threads, column): table.cells[place, column]
            for column in table.columns
            if (place, column) in table.cells
        }
        if not cells and whole not in found:
            continue
        theirs = {(place.threads, column): ms for column, ms in published.get(place, {}).items()}
        pairs = {key: versus[line.row.id] for key, line in cells.items() if line.row.id in versus}
        known = found.get(whole, Subject(whole, {}, {}, {}))
        found[whole] = Subject(
            whole,
            {**known.lines, **cells},
            {**known.comparisons, **pairs},
            {**known.published, **theirs},
        )
    return list(found.values())
