"""Layer by layer against what the cores can do: a roofline (Williams, Waterman, Patterson, CACM 52(4), 2009). Pure.

The roof of a layer is what its cores multiply and add in a bare loop, or what its bytes allow if they come from
memory: multiply-accumulates a byte times the bytes a second. Where the bytes or the memory's speed are not known
(other engines, older rows) the roofs are flat, and the horizontal axis is the layer's time.
"""

from __future__ import annotations

from typing import Any, Final

from bibench_deploy.runners.operators import shares

from ..operator_tables import percent
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
        | ({"of_predicted": operator.of_predicted} if operator.of_predicted else {})
        | ({"intensity": operator.intensity} if operator.intensity else {})
        for operator, share in zip(operators, shares(operators), strict=True)
        if operator.gmacs
    ]


def roofs(line: Line) -> list[dict[str, Any]]:
    """The ceilings that were measured between the layers, one for each kind of layer."""
    found = {
        operator.kind: operator.ceiling_gmacs for operator in line.row.operators if operator.ceiling_gmacs
    }
    return [{"kind": kind, "ceiling": ceiling} for kind, ceiling in found.items()]


def bandwidth(line: Line) -> float | None:
    """10⁹ bytes in a second that the cores read of memory; None where layers don't tell what they move."""
    layers = [operator for operator in line.row.operators if operator.gmacs]
    speeds = {operator.read_gbs for operator in layers if operator.intensity}
    whole = layers and all(operator.intensity for operator in layers)
    return speeds.pop() if whole and len(speeds) == 1 else None


def slopes(line: Line, read_gbs: float) -> list[dict[str, Any]]:
    """The roofs as lines: from the least of all intensities up to the ceiling, and on to the greatest."""
    shown = [operator.intensity for operator in line.row.operators if operator.intensity]
    above = roofs(line)
    ridges = [roof["ceiling"] / read_gbs for roof in above]
    left, right = min([*shown, *ridges]), max([*shown, *ridges])
    found = []
    for roof, ridge in zip(above, ridges, strict=True):
        corners = [(left, left * read_gbs), (ridge, roof["ceiling"]), (right, roof["ceiling"])]
        found += [{"kind": roof["kind"], "intensity": x, "ceiling": y} for x, y in corners]
    return found


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
    read_gbs = bandwidth(line)
    sloped = slopes(line, read_gbs) if read_gbs and above else []
    predicted = next((o.predicted_gmacs for o in line.row.operators if o.predicted_gmacs), None)
    rates = [value["gmacs"] for value in values] + [roof["ceiling"] for roof in sloped or above]
    vertical = logarithmic(
        "gmacs", "10⁹ multiply-accumulates/s", [*rates, *_if(predicted)] or [1.0], _PADDING
    )
    if sloped:
        across = [value["intensity"] for value in values] + [corner["intensity"] for corner in sloped]
        horizontal = logarithmic("intensity", "multiply-accumulates a byte", across, _PADDING)
        roof_mark: Spec = {
            "mark": {"type": "line", "strokeDash": [5, 3], "strokeWidth": 1.6},
            "data": {"values": sloped},
            "encoding": {"x": horizontal, "y": {**vertical, "field": "ceiling"}, "color": kinds},
        }
    else:
        horizontal = logarithmic("time_us", "time, µs", [v["time_us"] for v in values] or [1.0], _PADDING)
        roof_mark = {
            "mark": {"type": "rule", "strokeDash": [5, 3], "strokeWidth": 1.6},
            "data": {"values": above},
            "encoding": {"y": {**vertical, "field": "ceiling"}, "color": kinds},
        }
    predictions: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeDash": [1, 3], "strokeWidth": 1.6},
            "data": {"values": [{"kind": "binary", "ceiling": gmacs}]},
            "encoding": {"y": {**vertical, "field": "ceiling"}, "color": kinds},
        }
        for gmacs in _if(predicted)
    ]
    layers: list[Spec] = [
        roof_mark,
        *predictions,
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
                    *(
                        [{"field": "of_predicted", "format": ".0%", "title": "of predicted"}]
                        if predicted
                        else []
                    ),
                    *([{"field": "intensity", "format": ".3r", "title": "MAC/byte"}] if sloped else []),
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
            percent(operator.of_ceiling) or "–",
            *([percent(operator.of_predicted) or "–"] if predicted else []),
            *([f"{operator.intensity:.1f}" if operator.intensity else "–"] if sloped else []),
        ]
        for operator, share in zip(operators, shares(operators), strict=True)
    ]
    threads = f"{line.row.threads} thread{'s' if line.row.threads > 1 else ''}"
    title = f"Roofline of the layers: {column.engine} {column.algorithm}, {threads}"
    figures = ["µs", "share", "GMAC/s", "of ceiling"]
    figures += [*(["of predicted"] if predicted else []), *(["MAC/byte"] if sloped else [])]
    notes = [
        "Dashed lines are what the same cores do in a bare loop (popcount, multiply-add), measured between the "
        "layers. Larger points take more of the time. The table has all layers."
    ]
    if sloped:
        notes.append(
            f"Their slope is what the cores read of memory, {read_gbs:.1f} GB/s, measured beside the layers, for a "
            "layer's weights, inputs and outputs, each moved once; what lies in caches can be above it."
        )
    else:
        notes.append(
            "The bytes moved or the speed of the memory are not known here, so the roofs have no slope."
        )
    if predicted:
        notes.append(
            f"The dotted line, {predicted:.0f} GMAC/s, is what the table of core types predicts for binary layers "
            "at the clocks that were seen."
        )
    return Chart(
        title,
        f"{title}: {subject.title}",
        spec(layers, values, 260),
        ("layer", "operator", "kind", *figures),
        rows,
        figures,
        notes,
    )


def _if(value: float | None) -> list[float]:
    return [] if value is None else [value]
