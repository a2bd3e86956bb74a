"""Speedup over full precision, beside what the paper printed for the same chip. Pure."""

from __future__ import annotations

from typing import Any, Final

from ..listing import UNKNOWN
from ..tables import OVERSUBSCRIBED
from .chart import Chart, Spec, axis, by_algorithm, spec
from .subject import Subject

#: Of the axis beyond the longest bar or mark, for the figures: in a column of their own none is taken for a mark's.
ROOM: Final = 1.3
#: Height of a bar and its gap, in pixels.
BAR: Final = 19


def speedup_values(subject: Subject) -> list[dict[str, Any]]:
    """One bar a pair; ``published`` is there where the paper has the chip, the network and the threads, ``low`` and
    ``high`` where there are turns enough for an interval."""
    engines = {column.engine for _, column in subject.comparisons}
    order = sorted(subject.comparisons, key=lambda key: (key[1].engine, _order(subject, key[1]), key[0]))
    found = []
    for threads, column in order:
        comparison = subject.comparisons[threads, column]
        name = f"{column.engine} {column.algorithm}" if len(engines) > 1 else column.algorithm
        value = {
            "label": f"{name} ×{threads}{OVERSUBSCRIBED if comparison.binarized.oversubscribed else ''}",
            "engine": column.engine,
            "algorithm": column.algorithm,
            "threads": threads,
            "speedup": comparison.metric.speedup,
            "compression": comparison.metric.compression,
            "stable": comparison.stable,
            "fair": comparison.fair,
            "paired": comparison.paired,
        }
        theirs = subject.published_speedup(threads, column)
        interval = comparison.interval
        if interval:
            value |= {"low": interval.low, "high": interval.high}
        beyond = {"beyond": max(comparison.metric.speedup, theirs or 0.0, interval.high if interval else 0.0)}
        found.append(value | beyond | ({} if theirs is None else {"published": theirs}))
    return found


def speedup_chart(subject: Subject) -> Chart | None:
    """Bars of one's own and a mark of the paper's; None where nothing has a full-precision twin."""
    values = speedup_values(subject)
    if not values:
        return None
    labels = {
        "field": "label",
        "type": "nominal",
        "sort": [value["label"] for value in values],
        "axis": {"title": None, "ticks": False, "domain": False, "labelPadding": 6},
    }
    quantity = {
        "field": "speedup",
        "type": "quantitative",
        "scale": {"zero": True, "nice": False, "domainMax": ROOM * max(value["beyond"] for value in values)},
        "axis": axis("speedup over fp32, ×"),
    }
    tooltip = [
        {"field": "engine"},
        {"field": "algorithm"},
        {"field": "threads"},
        {"field": "speedup", "format": ".3r"},
        {"field": "low", "format": ".3r", "title": "95 % from"},
        {"field": "high", "format": ".3r", "title": "to"},
        {"field": "published", "format": ".3r", "title": "BiBench"},
        {"field": "stable"},
    ]
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "cornerRadiusEnd": 2, "height": {"band": 0.7}},
            "encoding": {
                "y": labels,
                "x": quantity,
                "color": by_algorithm((value["algorithm"] for value in values), legend=False),
                "opacity": {"condition": {"test": "datum.stable", "value": 1}, "value": 0.45},
            },
        },
        {
            "mark": {"type": "rule", "style": "reference", "strokeWidth": 1.8, "opacity": 1},
            "transform": [{"filter": "isValid(datum.low)"}],
            "encoding": {"y": labels, "x": {**quantity, "field": "low"}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "text", "align": "right", "fontSize": 11},
            "encoding": {
                "y": labels,
                "x": {"value": "width"},
                "text": {"field": "speedup", "format": ".3r"},
            },
        },
        {
            "mark": {"type": "rule", "style": "reference", "strokeDash": [3, 3]},
            "data": {"values": [{}]},
            "encoding": {"x": {"datum": 1}},
        },
    ]
    notes = ["The dashed line is the speed of full precision; ×2 in a name is two threads."]
    paired = {value["paired"] for value in values if "low" in value}
    if paired:
        notes.append(f"Thin lines are 95 % intervals, {_bootstrap(paired)}.")
    if any("published" in value for value in values):
        mark = {"type": "tick", "style": "published", "thickness": 3, "height": {"band": 0.95}}
        shown = {"filter": "isValid(datum.published)"}
        layers.append(
            {
                "mark": mark,
                "transform": [shown],
                "encoding": {"y": labels, "x": {**quantity, "field": "published"}},
            }
        )
        notes.append(
            "Upright marks are BiBench's figures for the same chip, network, engine and number of threads; it "
            "measured one network for bnn, dorefa, bireal, recu and fda."
        )
    if not all(value["stable"] for value in values):
        notes.append("Pale bars rest on a measurement that is not stable.")
    if not all(value["fair"] for value in values):
        notes.append(
            f"Pairs with more threads than cores ({OVERSUBSCRIBED}), or an invalid half, count in no mean."
        )
    columns = ["engine", "algorithm", "threads", "speedup", "95 % interval", "compression", "stable"]
    rows = [
        [
            value["engine"],
            value["algorithm"],
            value["label"].rpartition("×")[2],
            f"{value['speedup']:.2f}×",
            f"{value['low']:.2f}–{value['high']:.2f}" if "low" in value else UNKNOWN,
            f"{value['compression']:.2f}×",
            "yes" if value["stable"] else "no",
        ]
        for value in values
    ]
    if any("published" in value for value in values):
        columns.append("BiBench")
        for row, value in zip(rows, values, strict=True):
            row.append(f"{value['published']:.2f}×" if "published" in value else "–")
    return Chart(
        "Speedup over full precision",
        f"Speedup of each binarized model over its full-precision twin: {subject.title}",
        spec(layers, values, BAR * len(values), encoding={"tooltip": tooltip}),
        columns,
        rows,
        ("threads", "speedup", "95 % interval", "compression", "BiBench"),
        notes,
    )


def _bootstrap(paired: set[bool]) -> str:
    if paired == {True}:
        return "bootstrapped over pairs of turns"
    if paired == {False}:
        return "bootstrapped over the turns of each, which were not taken in rotation as far as is known"
    return "bootstrapped over pairs of turns where these were taken in rotation, else over the turns of each"


def _order(subject: Subject, column: Any) -> int:
    return next(index for index, (_, one) in enumerate(subject.lines) if one == column)
