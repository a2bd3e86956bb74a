"""A chart: what it is called, what it draws and the numbers that it draws. Specifications are Vega-Lite's.

Lines and letters have the colour ``currentColor``, so that a page's theme (and paper) gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any, Final

from ..tidy import ALGORITHMS

Spec = dict[str, Any]
Cells = Sequence[str]

TEXT: Final = "currentColor"
#: Found by search: any two stay apart for readers with each kind of colour blindness, and each from the white
#: and the near black behind it (``tests/results/test_colours.py`` has the measures).
COLOURS: Final[Mapping[str, str]] = dict(
    zip(
        ALGORITHMS,
        ("#8a8f98", "#046dc6", "#ca101f", "#35ab59", "#b22a57", "#7d23fb", "#874f8c", "#d18801", "#ff23fa"),
        strict=True,
    )
)
#: For algorithms that are not the paper's, again and again in this order.
FURTHER: Final = ("#5b8c5a", "#b5651d", "#6c7a89", "#a569bd")

CONFIG: Final[Spec] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": "transparent"},
    "axis": {
        "labelColor": TEXT,
        "titleColor": TEXT,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 12,
        "labelLimit": 170,
        "domainColor": TEXT,
        "domainOpacity": 0.4,
        "tickColor": TEXT,
        "tickOpacity": 0.4,
        "gridColor": TEXT,
        "gridOpacity": 0.12,
    },
    "legend": {
        "orient": "bottom",
        "direction": "horizontal",
        "columns": 4,
        "layout": {"bottom": {"direction": "vertical", "anchor": "start", "margin": 2}},
        "labelColor": TEXT,
        "titleColor": TEXT,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "symbolStrokeWidth": 2,
        "symbolOpacity": 1,
        "labelLimit": 140,
    },
    "point": {"opacity": 1},
    "text": {"color": TEXT},
    "style": {"reference": {"color": TEXT, "opacity": 0.55}, "published": {"color": TEXT, "opacity": 1}},
}


@dataclass(frozen=True)
class Chart:
    """One chart of a page.

    Attributes:
        title: what it shows.
        description: in a sentence, for those who can't see it.
        spec: of Vega-Lite.
        columns, rows: its numbers.
        figures: the columns that are numbers.
        notes: what a reader must know to read it.
    """

    title: str
    description: str
    spec: Spec
    columns: Sequence[str]
    rows: Sequence[Cells]
    figures: Sequence[str] = ()
    notes: Sequence[str] = ()


def spec(layers: Sequence[Spec], values: Sequence[Mapping[str, Any]], height: int, **more: Any) -> Spec:
    """A specification as wide as its place on the page."""
    return {
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": list(values)},
        "config": CONFIG,
        "layer": list(layers),
        **more,
    }


def by_algorithm(algorithms: Iterable[str], legend: bool = True) -> Spec:
    """The colours of algorithms, the same in every chart."""
    present = set(algorithms)
    known = [name for name in ALGORITHMS if name in present]
    others = sorted(present - set(known))
    colours = [COLOURS[name] for name in known]
    colours += [FURTHER[index % len(FURTHER)] for index in range(len(others))]
    return {
        "field": "algorithm",
        "type": "nominal",
        "scale": {"domain": [*known, *others], "range": colours},
        "legend": {"title": None} if legend else None,
    }


def by_engine(engines: Iterable[str]) -> Spec:
    """The shapes of engines; no legend where there is one engine only."""
    present = sorted(set(engines))
    return {
        "field": "engine",
        "type": "nominal",
        "scale": {"domain": present},
        "legend": {"title": None} if len(present) > 1 else None,
    }


def axis(title: str, **more: Any) -> Spec:
    """An axis of figures, in digits that one can read aloud."""
    return {"title": title, "format": ".3~r", "tickCount": 5, **more}


#: Steps of a logarithmic axis within a power of ten, the widest first.
_STEPS: Final[Sequence[Sequence[float]]] = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 8, 9),
)
_FEWEST_TICKS: Final = 4


def log_ticks(values: Iterable[float]) -> list[float]:
    """Round numbers for a logarithmic axis over these positive values; none where they lie too near each other."""
    known = list(values)
    low, high = min(known), max(known)
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        every = (float(f"{step}e{power}") for power in powers for step in steps)
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) >= _FEWEST_TICKS:
            break
    return ticks


def logarithmic(field: str, title: str, values: Iterable[float], padding: int) -> Spec:
    """An encoding on a logarithmic scale.

    Args:
        values: all that are shown on it, positive.
        padding: pixels beyond the least and the greatest.
    """
    ticks = log_ticks(values)
    shown = axis(f"{title} (log)", values=ticks, tickCount=len(ticks)) if ticks else axis(f"{title} (log)")
    scale = {"type": "log", "nice": False, "padding": padding}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": shown}
