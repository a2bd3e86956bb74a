"""The charts of a page: the latency of one job over the nights, the sizes of all. Specifications are Vega-Lite's.

Values stand in arrays, one datum a job, and are flattened by the browser: a year of nights is a quarter as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..html.chart import Chart, Spec, axis, spec
from ..nights import Night
from ..tables import milliseconds, size
from .news import label, percent, short
from .series import Series

_NIGHT: Final[Spec] = {
    "field": "at",
    "type": "temporal",
    "axis": {"title": None, "tickCount": 5, "labelFlush": True},
}
#: Told apart by shape and by colour; the page's own colours of these words.
_VERDICTS: Final = ("stable", "unstable", "invalid")
_SHAPES: Final = ("circle", "circle", "cross")
_LINE: Final = "#3b82d6"
_SLOWER: Final = "#d1495b"
_FASTER: Final = "#2a9d5c"
_ROUNDING: Final = 5
#: Height of a chart, as a part of the latency.
LEAST_SPAN: Final = 0.05


def latency_chart(series: Series, nights: Sequence[Night]) -> Chart:
    """Medians with their intervals, the levels that they are on, and a line where a step is."""
    points = series.points
    values: list[dict[str, Any]] = [
        {
            "at": [_at(nights[point.night]) for point in points],
            "night": [nights[point.night].name for point in points],
            "commit": [short(nights[point.night].commit) for point in points],
            "ms": [_rounded(point.median_ms) for point in points],
            "low": [_rounded(point.low_ms) for point in points],
            "high": [_rounded(point.high_ms) for point in points],
            "verdict": [point.verdict for point in points],
        }
    ]
    levels = [
        {
            "from": _at(nights[level.first]),
            "to": _at(nights[level.last]),
            "ms": _rounded(level.median_ms),
        }
        for level in series.levels
    ]
    changes = [
        {
            "at": _at(nights[change.night]),
            "words": percent(change),
            "night": label(nights[change.night]),
            "slower": change.ratio > 1,
        }
        for change in series.steps
    ]
    y = {
        "type": "quantitative",
        "axis": axis("median latency, ms", format=".4~r"),
        "scale": {"domain": _domain(series), "nice": False},
    }
    verdict = {"field": "verdict", "type": "nominal", "scale": {"domain": _VERDICTS, "range": _SHAPES}}
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 1, "opacity": 0.45, "color": _LINE},
            "transform": [{"filter": "isValid(datum.low)"}],
            "encoding": {"y": {"field": "low", **y}, "y2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "size": 16, "strokeWidth": 1.1, "color": _LINE},
            "encoding": {
                "y": {"field": "ms", **y},
                "shape": {**verdict, "legend": None},
                "fill": {
                    "condition": {"test": "datum.verdict === 'stable'", "value": _LINE},
                    "value": "transparent",
                },
                "tooltip": [
                    {"field": "night"},
                    {"field": "commit"},
                    {"field": "ms", "format": ".4r", "title": "median, ms"},
                    {"field": "low", "format": ".4r", "title": "95 % from, ms"},
                    {"field": "high", "format": ".4r", "title": "to, ms"},
                    {"field": "verdict"},
                ],
            },
        },
        {
            "data": {"values": levels},
            "mark": {"type": "rule", "strokeWidth": 2, "color": "currentColor", "opacity": 0.8},
            "encoding": {
                "x": {"field": "from", **_typed(_NIGHT)},
                "x2": {"field": "to"},
                "y": {"field": "ms", **y},
            },
        },
    ]
    if changes:
        colour = {"condition": {"test": "datum.slower", "value": _SLOWER}, "value": _FASTER}
        told = [{"field": "night"}, {"field": "words", "title": "change"}]
        x = {"x": _NIGHT}
        layers += [
            {
                "data": {"values": changes},
                "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.4},
                "encoding": {**x, "color": colour, "tooltip": told},
            },
            {
                "data": {"values": changes},
                "mark": {"type": "text", "align": "left", "baseline": "top", "dx": 3, "fontSize": 11},
                "encoding": {
                    **x,
                    "y": {"value": 0},
                    "color": colour,
                    "text": {"field": "words"},
                    "tooltip": told,
                },
            },
        ]
    verdicts = {point.verdict for point in points}
    notes = ["Hollow points are unstable."] if "unstable" in verdicts else []
    if "invalid" in verdicts:
        notes.append("Crosses are invalid: they count for no level.")
    flat = {"flatten": list(values[0])}
    return Chart(
        series.what.how,
        f"Median latency over the nights of {series.what.how}; {_said(series, nights)}",
        spec(layers, values, 190, transform=[flat], encoding={"x": _NIGHT}),
        ("from", "to", "nights", "median ms", "change"),
        _levels(series, nights),
        ("nights", "median ms", "change"),
        notes,
    )


def size_chart(found: Sequence[Series], nights: Sequence[Night]) -> Chart | None:
    """The artefacts' sizes over the nights, one line for each engine and variant; None where none ever changed."""
    artefacts = {(series.what.engine, series.what.variant): series for series in found}
    if not any(series.resizes for series in artefacts.values()):
        return None
    values = [
        {
            "artefact": f"{engine} {variant}",
            "at": [_at(nights[point.night]) for point in series.points],
            "night": [nights[point.night].name for point in series.points],
            "bytes": [point.size_bytes for point in series.points],
        }
        for (engine, variant), series in artefacts.items()
    ]
    encoding = {
        "x": _NIGHT,
        "y": {
            "field": "bytes",
            "type": "quantitative",
            "axis": {"title": "size, bytes", "format": ".3~s", "tickCount": 5},
            "scale": {"zero": False, "padding": 6},
        },
        "color": {"field": "artefact", "type": "nominal", "legend": {"title": None}},
        "tooltip": [{"field": "artefact"}, {"field": "night"}, {"field": "bytes", "format": ","}],
    }
    layers: list[Spec] = [
        {"mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.8}},
        {"mark": {"type": "point", "size": 14, "filled": True}},
    ]
    rows = [
        [
            f"{engine} {variant}",
            label(nights[change.night]),
            size(round(change.before)),
            size(round(change.after)),
        ]
        for (engine, variant), series in artefacts.items()
        for change in series.resizes
    ]
    return Chart(
        "Size of the artefacts",
        "Size of each engine's artefacts over the nights",
        spec(layers, values, 190, transform=[{"flatten": ["at", "night", "bytes"]}], encoding=encoding),
        ("artefact", "since", "before", "after"),
        rows,
        ("before", "after"),
    )


def _levels(series: Series, nights: Sequence[Night]) -> list[list[str]]:
    changes = ["", *(percent(change) for change in series.steps)]
    return [
        [
            label(nights[level.first]),
            nights[level.last].name,
            f"{level.nights}",
            milliseconds(level.median_ms),
            change,
        ]
        for level, change in zip(series.levels, changes, strict=False)
    ]


def _domain(series: Series) -> list[float]:
    """Of the axis: all medians, valid intervals, and no less than ``LEAST_SPAN``, lest noise looks like news."""
    ends = [point.median_ms for point in series.points]
    ends += [
        end
        for point in series.points
        if point.verdict != "invalid"
        for end in (point.low_ms, point.high_ms)
        if end is not None
    ]
    low, high = min(ends), max(ends)
    lacking = max(0.0, LEAST_SPAN * (low + high) / 2 - (high - low))
    margin = lacking / 2 + 0.04 * (high - low)
    return [float(f"{end:.{_ROUNDING}g}") for end in (low - margin, high + margin)]


def _said(series: Series, nights: Sequence[Night]) -> str:
    if not series.steps:
        return "no step"
    return "steps: " + ", ".join(
        f"{percent(change)} in {nights[change.night].name}" for change in series.steps
    )


def _at(night: Night) -> int:
    """For a time axis: milliseconds since 1970."""
    return 1000 * round(night.started_at.timestamp())


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_ROUNDING}g}")


def _typed(encoding: Spec) -> Spec:
    """An encoding for another field."""
    return {key: value for key, value in encoding.items() if key != "field"}
