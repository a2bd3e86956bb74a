"""The samples of a row as the page holds them: all, or the extremes of equal pieces where they are many. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from bibench_deploy.runners.statistics import split

from ..row import Row
from .chart import CONFIG, Spec, axis

#: Samples of all rows together: about 1 MB of JSON, which a phone reads in a moment.
MOST_ON_A_PAGE: Final = 120_000
#: Of one row: more dots than a chart on a phone can show apart.
MOST_OF_A_ROW: Final = 1_000
#: Below this a chart would say nothing of a row, however many rows there are.
FEWEST_OF_A_ROW: Final = 60


def room_for(rows: int) -> int:
    """How many samples each of so many rows may keep."""
    return max(FEWEST_OF_A_ROW, min(MOST_OF_A_ROW, MOST_ON_A_PAGE // max(rows, 1)))


def thinned(samples: Sequence[int], most: int) -> list[int]:
    """Places of the samples to keep, ascending: all, or the least and the greatest of each of ``most`` / 2 equal
    pieces, so that no outlier is lost.

    Raises:
        ValueError: ``most`` is less than 2.
    """
    if most < 2:
        raise ValueError("room for fewer than two samples")
    count = len(samples)
    if count <= most:
        return list(range(count))
    pieces = most // 2
    kept: set[int] = set()
    for number in range(pieces):
        first = number * count // pieces
        piece = samples[first : (number + 1) * count // pieces]
        kept |= {first + piece.index(min(piece)), first + piece.index(max(piece))}
    return sorted(kept)


def sample_data(row: Row, most: int) -> dict[str, Any]:
    """What the page needs to draw the samples of a row.

    Returns:
        ``ns``: latencies that were kept; ``at``: their places among all, from 1, or None where all were kept;
        ``of``: number of all; ``turns``: first run, last run and median, least, greatest in ns of each turn,
        computed from all.
    """
    places = thinned(row.samples_ns, most)
    turns, start = [], 1
    for turn in split(row.samples_ns, row.turns):
        turns.append([start, start + len(turn) - 1, round(median(turn)), min(turn), max(turn)])
        start += len(turn)
    return {
        "ns": [row.samples_ns[place] for place in places],
        "at": None if len(places) == len(row.samples_ns) else [place + 1 for place in places],
        "of": len(row.samples_ns),
        "turns": turns,
    }


def samples_spec() -> Spec:
    """A strip of a row's samples in the order of measuring; the page gives the data ``samples`` and ``turns``."""
    run = {"type": "quantitative", "scale": {"zero": False, "nice": False, "padding": 4}}
    latency = {"type": "quantitative", "scale": {"zero": False}, "axis": axis("latency, ms")}
    axis_of_runs = {"title": "run, in the order of measuring", "format": "d", "tickMinStep": 1, "grid": False}
    return {
        "width": "container",
        "height": 200,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": CONFIG,
        "layer": [
            {
                "data": {"name": "turns"},
                "mark": {"type": "rect", "color": "currentColor", "opacity": 0.07},
                "transform": [{"filter": "datum.turn % 2 == 0"}],
                "encoding": {"x": {"field": "first", **run, "axis": axis_of_runs}, "x2": {"field": "last"}},
            },
            {
                "data": {"name": "turns"},
                "mark": {"type": "rule", "strokeWidth": 2, "color": "#d1495b"},
                "encoding": {
                    "x": {"field": "first", **run},
                    "x2": {"field": "last"},
                    "y": {"field": "median", **latency},
                    "tooltip": [
                        {"field": "turn"},
                        {"field": "median", "format": ".5r", "title": "median, ms"},
                    ],
                },
            },
            {
                "data": {"name": "samples"},
                "mark": {"type": "circle", "size": 18, "color": "#3b82d6", "opacity": 0.9},
                "encoding": {
                    "x": {"field": "run", **run, "axis": axis_of_runs},
                    "y": {"field": "ms", **latency},
                    "tooltip": [{"field": "run"}, {"field": "ms", "format": ".5r", "title": "ms"}],
                },
            },
        ],
    }
