"""What one pays for what: latency against size, and against accuracy, with the front of the best. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bibench_deploy.pareto import front

from ..report import Line
from ..tables import milliseconds, size
from ..tidy import Column
from .chart import Chart, Spec, axis, by_algorithm, by_engine, logarithmic, spec
from .subject import Subject

MEGA: Final = 1_000_000
_PADDING: Final = 16


def fastest(subject: Subject) -> dict[Column, Line]:
    """Of each engine and algorithm the line with the number of threads that is fastest.

    Those with more threads than cores go last, and before them those that are not stable.
    """
    found: dict[Column, Line] = {}
    for (_, column), line in subject.lines.items():
        if line.row.verdict == "invalid":
            continue
        known = found.get(column)
        if known is None or _rank(line) < _rank(known):
            found[column] = line
    return found


def tradeoff_values(subject: Subject) -> list[dict[str, Any]]:
    """One point an engine and algorithm, at its fastest number of threads."""
    found = []
    for column, line in fastest(subject).items():
        value = {
            "engine": column.engine,
            "algorithm": column.algorithm,
            "threads": line.row.threads,
            "latency_ms": line.summary.median_ms,
            "size_bytes": line.row.size_bytes,
            "size_mb": line.row.size_bytes / MEGA,
            "stable": line.stable,
        }
        accuracy = line.row.accuracy
        found.append(value if accuracy is None else value | {"accuracy": 100 * accuracy})
    return found


def size_chart(subject: Subject) -> Chart | None:
    """Latency against the artefact's size; None where there are fewer than two points."""
    values = tradeoff_values(subject)
    if len(values) < 2:
        return None
    best = front(values, lambda value: (value["size_mb"], value["latency_ms"]))
    sizes = [value["size_mb"] for value in values]
    horizontal = logarithmic("size_mb", "artefact, MB", sizes, _PADDING)
    note = "The line joins what nothing else beats in both size and latency (the Pareto front)."
    return _chart("Latency against size", subject, values, best, horizontal, note)


def accuracy_chart(subject: Subject) -> Chart | None:
    """Latency against accuracy; None where fewer than two models say theirs."""
    values = [value for value in tradeoff_values(subject) if "accuracy" in value]
    if len({value["accuracy"] for value in values}) < 2:
        return None
    best = front(values, lambda value: (-value["accuracy"], value["latency_ms"]))
    horizontal = {
        "field": "accuracy",
        "type": "quantitative",
        "scale": {"zero": False, "padding": _PADDING},
        "axis": axis("accuracy, %"),
    }
    note = "Accuracies are what the models say of themselves; full-precision twins say none."
    return _chart("Latency against accuracy", subject, values, best, horizontal, note)


def _chart(
    title: str,
    subject: Subject,
    values: Sequence[Mapping[str, Any]],
    best: Sequence[Mapping[str, Any]],
    horizontal: Spec,
    note: str,
) -> Chart:
    field = horizontal["field"]
    colour = by_algorithm(value["algorithm"] for value in values)
    latencies = [value["latency_ms"] for value in values]
    vertical = logarithmic("latency_ms", "median latency, ms", latencies, _PADDING)
    encoding = {"x": horizontal, "y": vertical}
    tooltip = [
        {"field": "engine"},
        {"field": "algorithm"},
        {"field": "threads"},
        {"field": "latency_ms", "format": ".4r", "title": "median, ms"},
        {"field": "size_mb", "format": ".3r", "title": "size, MB"},
        {"field": "accuracy", "format": ".2f", "title": "accuracy, %"},
        {"field": "stable"},
    ]
    joined = sorted(best, key=lambda value: (value[field], value["latency_ms"]))
    layers: list[Spec] = [
        {
            "mark": {"type": "line", "style": "reference", "strokeDash": [4, 3]},
            "data": {"values": [{key: value[key] for key in (field, "latency_ms")} for value in joined]},
        },
        {
            "mark": {"type": "point", "size": 90, "filled": False, "strokeWidth": 1.8},
            "encoding": {
                "color": colour,
                "shape": by_engine(value["engine"] for value in values),
                "fill": {"condition": {"test": "datum.stable", **colour}, "value": "transparent"},
                "tooltip": tooltip,
            },
        },
    ]
    notes = [note, "Each point is at its fastest number of threads."]
    if not all(value["stable"] for value in values):
        notes.append("Hollow points are not stable.")
    return Chart(
        title,
        f"{title} of each engine and algorithm: {subject.title}",
        spec(layers, values, 260, encoding=encoding),
        ("engine", "algorithm", "threads", "median ms", "size", "accuracy", "on the front"),
        [
            [
                value["engine"],
                value["algorithm"],
                f"{value['threads']}",
                milliseconds(value["latency_ms"]),
                size(value["size_bytes"]),
                f"{value['accuracy']:.2f} %" if "accuracy" in value else "unknown",
                "yes" if value in best else "no",
            ]
            for value in values
        ],
        ("threads", "median ms", "size", "accuracy"),
        notes,
    )


def _rank(line: Line) -> tuple[bool, bool, float]:
    return line.oversubscribed, not line.stable, line.summary.median_ms
