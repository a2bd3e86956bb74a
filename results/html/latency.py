"""Latency over the number of threads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..listing import UNKNOWN
from ..report import Line
from ..scaling import Sweep, efficiencies, sweeps
from ..tables import OVERSUBSCRIBED, milliseconds
from .chart import Chart, Spec, by_algorithm, by_engine, logarithmic, spec
from .subject import Subject


def interval_words(line: Line) -> str:
    """The 95 % interval of a median as a cell of a table."""
    found = line.interval_ms
    return f"{milliseconds(found.low)}–{milliseconds(found.high)}" if found else UNKNOWN


def latency_values(subject: Subject) -> list[dict[str, Any]]:
    """One point a row; one without an interval has no ``low_ms`` and ``high_ms``."""
    found = []
    for (threads, column), line in subject.lines.items():
        value = {
            "engine": column.engine,
            "algorithm": column.algorithm,
            "threads": threads,
            "median_ms": line.summary.median_ms,
            "stable": line.stable,
        }
        interval = line.interval_ms
        if interval:
            value |= {"low_ms": interval.low, "high_ms": interval.high}
        found.append(value)
    return found


def latency_chart(subject: Subject) -> Chart:
    """Medians with their 95 % intervals, a line for each engine and algorithm."""
    values = latency_values(subject)
    colour = by_algorithm(value["algorithm"] for value in values)
    engine = by_engine(value["engine"] for value in values)
    shown = [value[key] for value in values for key in ("median_ms", "low_ms", "high_ms") if key in value]
    encoding = {
        "x": {"field": "threads", "type": "ordinal", "axis": {"title": "threads", "labelAngle": 0}},
        "y": logarithmic("median_ms", "median latency, ms", shown, padding=8),
        "color": colour,
        "tooltip": [
            {"field": "engine"},
            {"field": "algorithm"},
            {"field": "threads"},
            {"field": "median_ms", "format": ".4r", "title": "median, ms"},
            {"field": "low_ms", "format": ".4r", "title": "95 % from, ms"},
            {"field": "high_ms", "format": ".4r", "title": "to, ms"},
            {"field": "stable"},
        ],
    }
    layers: list[Spec] = [
        {"mark": {"type": "line", "strokeWidth": 1.8}, "encoding": {"strokeDash": engine}},
        {
            "mark": {"type": "rule", "strokeWidth": 1.4},
            "transform": [{"filter": "isValid(datum.low_ms)"}],
            "encoding": {"y": {"field": "low_ms"}, "y2": {"field": "high_ms"}},
        },
        *(
            {
                "mark": {"type": "tick", "orient": "horizontal", "size": 9, "thickness": 1.4},
                "transform": [{"filter": "isValid(datum.low_ms)"}],
                "encoding": {"y": {"field": end}},
            }
            for end in ("low_ms", "high_ms")
        ),
        {
            "mark": {"type": "point", "size": 55, "filled": False, "strokeWidth": 1.6},
            "encoding": {
                "shape": engine,
                "fill": {"condition": {"test": "datum.stable", **colour}, "value": "transparent"},
            },
        },
    ]
    found = sweeps(subject.lines.values())
    notes = ["Bars are 95 % intervals of the median.", *_scaling(found)]
    if not all(value["stable"] for value in values):
        notes.append("Hollow points are unstable or invalid measurements; the list below says why.")
    if any("low_ms" not in value for value in values):
        notes.append("Points without a bar had too few turns for an interval.")
    efficiency = efficiencies(found)
    columns = ["engine", "algorithm", "threads", "median ms", "95 % interval", "runs", "verdict"]
    rows = [
        [
            column.engine,
            column.algorithm,
            f"{threads}{OVERSUBSCRIBED if line.oversubscribed else ''}",
            milliseconds(line.summary.median_ms),
            interval_words(line),
            f"{line.summary.runs}",
            line.verdict.split(":")[0],
        ]
        for (threads, column), line in subject.lines.items()
    ]
    if efficiency:
        columns.append("efficiency")
        for row, line in zip(rows, subject.lines.values(), strict=True):
            share = efficiency.get(line.row.id)
            row.append("–" if share is None else f"{100 * share:.0f} %")
    if subject.published:
        columns.append("BiBench ms")
        for row, key in zip(rows, subject.lines, strict=True):
            theirs = subject.published.get(key)
            row.append("–" if theirs is None else milliseconds(theirs))
    return Chart(
        "Latency over threads",
        f"Median latency of each engine and algorithm over the number of threads: {subject.title}",
        spec(layers, values, 260, encoding=encoding),
        columns,
        rows,
        ("threads", "median ms", "95 % interval", "runs", "efficiency", "BiBench ms"),
        notes,
    )


def _scaling(found: Sequence[Sweep]) -> list[str]:
    """What more threads bring, in words."""
    said = []
    knees: dict[int, list[str]] = {}
    for sweep in found:
        if sweep.knee is not None and sweep.bends:
            row = sweep.row
            knees.setdefault(sweep.knee, []).append(f"{row.engine} {row.algorithm}")
    for threads, names in sorted(knees.items()):
        counted = f"{threads} thread{'s' if threads > 1 else ''}"
        said.append(
            f"More than {counted} are not worth their cores (the knee of efficiency over time): "
            f"{', '.join(dict.fromkeys(names))}."
        )
    crossings = {sweep.crossing for sweep in found if sweep.crossing is not None}
    if crossings:
        said.append(f"With {min(crossings)} threads and more, little cores work, too.")
    over = {n for sweep in found for n, line in sweep.lines.items() if line.oversubscribed}
    if over:
        said.append(
            f"With {min(over)} threads and more, threads wait for cores ({OVERSUBSCRIBED} in the table)."
        )
    return said
