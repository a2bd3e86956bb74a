"""Layer by layer against what the cores can do: a roofline of computation. Pure.

The store knows no bytes that a layer moves, so the roofs are flat, without the slope of the memory; the horizontal
axis is the layer's time, so that what is worth work stands far right and far below its roof.
"""

from __future__ import annotations

from typing import Any, Final

from bibench_deploy.runners.operators import shares

from ..report import Line
from ..tidy import Column
from .chart import COLOURS, Chart, Spec, logarithmic, spec
from .subject import Subject

NS_PER_US: Final = 1000
_KINDS: Final = ("binary", "float")
_PADDING: Final = 16


def layered(subject: Subject) -> dict[Column, Line]:
    """Of each engine and algorithm the line with the fewest threads that knows its layers."""
    found: dict[Column, Line] = {}
    for (threads, column), line in subject.lines.items():
        if line.row.operators and (column not in found or threads < found[column].row.threads):
            found[column] = line
    return found


def layer_values(line: Line) -> list[dict[str, Any]]:
    """One point a layer that multiplies."""
    operators = line.row.operators
    return [
        {
            "layer": operator.name,
            "operator": operator.opcode,
            "kind": operator.kind,
            "time_us": operator.median_ns / NS_PER_US,
            "share": share,
            "gmacs": operator.gmacs,
        }
        | ({"of_ceiling": operator.of_ceiling} if operator.of_ceiling else {})
        for operator, share in zip(operators, shares(operators), strict=True)
        if operator.gmacs
    ]


def roofs(line: Line) -> list[dict[str, Any]]:
    """The ceilings that were measured between the layers, one for each kind of layer."""
    found = {
        operator.kind: operator.ceiling_gmacs for operator in line.row.operators if operator.ceiling_gmacs
    }
    return [{"kind": kind, "ceiling": ceiling} for kind, ceiling in found.items()]


def layer_charts(subject: Subject) -> list[Chart]:
    """One chart for each engine and algorithm whose layers were timed."""
    return [_chart(subject, column, line) for column, line in layered(subject).items()]


def _chart(subject: Subject, column: Column, line: Line) -> Chart:
    values, above = layer_values(line), roofs(line)
    kinds: Spec = {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": list(_KINDS), "range": [COLOURS["bnn"], COLOURS["xnor"]]},
        "legend": {"title": None},
    }
    rates = [value["gmacs"] for value in values] + [roof["ceiling"] for roof in above]
    vertical = logarithmic("gmacs", "10⁹ multiply-accumulates/s", rates or [1.0], _PADDING)
    horizontal = logarithmic("time_us", "time, µs", [v["time_us"] for v in values] or [1.0], _PADDING)
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeDash": [5, 3], "strokeWidth": 1.6},
            "data": {"values": above},
            "encoding": {"y": {**vertical, "field": "ceiling"}, "color": kinds},
        },
        {
            "mark": {"type": "point", "filled": True, "opacity": 0.85},
            "encoding": {
                "x": horizontal,
                "y": vertical,
                "color": kinds,
                "size": {
                    "field": "share",
                    "type": "quantitative",
                    "scale": {"range": [25, 400]},
                    "legend": None,
                },
                "tooltip": [
                    {"field": "layer"},
                    {"field": "operator"},
                    {"field": "time_us", "format": ".4r", "title": "time, µs"},
                    {"field": "share", "format": ".1%"},
                    {"field": "gmacs", "format": ".3r", "title": "GMAC/s"},
                    {"field": "of_ceiling", "format": ".0%", "title": "of the ceiling"},
                ],
            },
        },
    ]
    operators = line.row.operators
    rows = [
        [
            operator.name,
            operator.opcode,
            operator.kind or "–",
            f"{operator.median_ns / NS_PER_US:.1f}",
            f"{100 * share:.1f} %",
            f"{operator.gmacs:.1f}" if operator.gmacs else "–",
            f"{100 * operator.of_ceiling:.0f} %" if operator.of_ceiling else "–",
        ]
        for operator, share in zip(operators, shares(operators), strict=True)
    ]
    threads = f"{line.row.threads} thread{'s' if line.row.threads > 1 else ''}"
    title = f"Roofline of the layers: {column.engine} {column.algorithm}, {threads}"
    return Chart(
        title,
        f"{title}: {subject.title}",
        spec(layers, values, 260),
        ("layer", "operator", "kind", "µs", "share", "GMAC/s", "of ceiling"),
        rows,
        ("µs", "share", "GMAC/s", "of ceiling"),
        (
            "Dashed lines are what the same cores do in a bare loop (popcount, multiply-add), measured between the "
            "layers. Larger points take more of the time.",
            "The store knows no bytes moved, so the roofs have no slope. The table has all layers.",
        ),
    )
