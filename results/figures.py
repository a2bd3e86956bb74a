"""Figures of the paper, made from the data that it prints. Pure.

``chips`` is its Figure 3: the average speedup of binarized models on each chip against the chip's computing power.
The paper does not say how it takes computing power; here it is what the same tables tell of full precision, and
the axis says so. Nothing comes from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log
from statistics import fmean
from typing import Final

from .html.chart import COLOURS, CONFIG, FURTHER, Chart, Spec, axis
from .published.latencies import SOURCE, Condition, printed_ms
from .row import FULL_PRECISION

FIGURES: Final = ("chips",)
#: Of the plot, in pixels, and the width of a letter of its labels on average.
WIDTH, HEIGHT, LETTER = 720, 420, 6.2
#: Around a point, so that two on one place are two.
RIM: Final = {"stroke": "white", "strokeWidth": 1}
#: Labels: distance from the point and height of a line.
GAP, LINE = 8, 13
#: The axes' ends as multiples of the least and the greatest power, and in speedup.
MARGIN, HEADROOM = 1.5, 0.6
#: The network and the engine that the paper measured on every chip.
NETWORK, ENGINE = "ResNet18", "larq"
MS_PER_S: Final = 1000.0


@dataclass(frozen=True)
class Chip:
    """One point of the figure.

    Attributes:
        name, maker: as the paper prints them; the first word is the maker's (or family's).
        images_per_s: of full-precision ResNet18 with Larq and the best number of threads.
        speedup: arithmetic mean of T_fp/T_bi over all pairs that the paper prints of the chip.
        pairs: how many these are.
    """

    name: str
    maker: str
    threads: int
    images_per_s: float
    speedup: float
    pairs: int


def chips(latencies: Mapping[Condition, float] | None = None) -> list[Chip]:
    """The chips of the paper's Tables 17–20, slowest first.

    Args:
        latencies: in ms; the paper's where None.
    """
    given = printed_ms() if latencies is None else latencies
    return sorted(
        (_chip(name, given) for name in dict.fromkeys(one.device for one in given)),
        key=lambda chip: chip.images_per_s,
    )


def rank_correlation(points: list[Chip]) -> float:
    """Spearman's ρ of computing power and speedup: -1 where every faster chip gains less."""
    from scipy.stats import spearmanr

    power, gain = [chip.images_per_s for chip in points], [chip.speedup for chip in points]
    return float(spearmanr(power, gain).statistic)


def chips_chart() -> Chart:
    """The figure, with the numbers of its points."""
    points = chips()
    makers = list(dict.fromkeys(chip.maker for chip in points))
    colours = [*list(COLOURS.values())[1:], *FURTHER][: len(makers)]
    power = (points[0].images_per_s / MARGIN, points[-1].images_per_s * MARGIN)
    gain = (min(c.speedup for c in points) - HEADROOM, max(c.speedup for c in points) + HEADROOM)
    places = [
        (
            WIDTH * log(chip.images_per_s / power[0]) / log(power[1] / power[0]),
            HEIGHT * (gain[1] - chip.speedup) / (gain[1] - gain[0]),
        )
        for chip in points
    ]
    sides = label_sides(places, [chip.name for chip in points])
    encoding = {
        "x": {
            "field": "images_per_s",
            "type": "quantitative",
            "scale": {"type": "log", "nice": False, "domain": power},
            "axis": axis(
                "computing power: fp32 ResNet18 with Larq at its best thread count, images/s (log)",
                values=[1, 2, 5, 10, 20, 50, 100, 200],
                tickCount=20,
            ),
        },
        "y": {
            "field": "speedup",
            "type": "quantitative",
            "scale": {"zero": False, "nice": False, "domain": gain},
            "axis": axis("mean speedup of binarized models, ×"),
        },
        "tooltip": [
            {"field": "name", "title": "chip"},
            {"field": "images_per_s", "format": ".3r", "title": "fp32 images/s"},
            {"field": "speedup", "format": ".3r"},
            {"field": "pairs"},
        ],
    }
    colour: Spec = {
        "field": "maker",
        "type": "nominal",
        "scale": {"domain": makers, "range": colours},
        "legend": None,
    }
    values = [asdict(chip) | {"side": side} for chip, side in zip(points, sides, strict=True)]
    labels: list[Spec] = [
        {
            "mark": {"type": "text", "fontSize": 11, **_MARKS[side]},
            "transform": [{"filter": {"field": "side", "equal": side}}],
            "encoding": {"text": {"field": "name"}},
        }
        for side in dict.fromkeys(sides)
    ]
    drawn: Spec = {
        "width": WIDTH,
        "height": HEIGHT,
        "data": {"values": values},
        "config": CONFIG,
        "encoding": encoding,
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1, **RIM},
                "encoding": {"color": colour},
            },
            *labels,
        ],
    }
    return Chart(
        "Average speedup per chip against its computing power",
        "Mean speedup of binarized models on each of the paper's chips against its full-precision throughput",
        drawn,
        ("chip", "fp32 images/s", "at threads", "mean speedup", "pairs"),
        [
            [
                chip.name,
                f"{chip.images_per_s:.2f}",
                f"{chip.threads}",
                f"{chip.speedup:.2f}×",
                f"{chip.pairs}",
            ]
            for chip in points
        ],
        ("fp32 images/s", "at threads", "mean speedup", "pairs"),
        (
            f"From {SOURCE}.",
            "Speedup is the mean of T(fp32) / T(binarized) over all that is printed of a chip: networks, engines, "
            "threads, variants.",
            f"Rank correlation (Spearman) of the two: {rank_correlation(points):.2f}.".replace("-", "−"),
        ),
    )


def picture(chart: Chart) -> Spec:
    """A chart as a picture that stands alone: with its title, on white."""
    title = {"text": chart.title, "subtitle": list(chart.notes), "anchor": "start", "offset": 12}
    return {**chart.spec, "background": "white", "title": title}


#: Where a label may stand, the best first.
_MARKS: Mapping[str, Spec] = {
    "right": {"align": "left", "baseline": "middle", "dx": GAP},
    "left": {"align": "right", "baseline": "middle", "dx": -GAP},
    "above": {"align": "center", "baseline": "bottom", "dy": -GAP},
    "below": {"align": "center", "baseline": "top", "dy": GAP},
}
_Box = tuple[float, float, float, float]


def label_sides(places: Sequence[tuple[float, float]], labels: Sequence[str]) -> list[str]:
    """On which side of its point each label stands so that none covers another, or a point, where that can be.

    Args:
        places: x and y of the points in pixels, y downwards.
    """
    points = [(x - GAP / 2, y - GAP / 2, x + GAP / 2, y + GAP / 2) for x, y in places]
    taken: list[_Box] = list(points)
    sides = []
    for (x, y), label in zip(places, labels, strict=True):
        boxes = {side: _box(x, y, side, len(label) * LETTER) for side in _MARKS}
        free = {side: sum(_overlap(box, other) for other in taken) for side, box in boxes.items()}
        side = min(free, key=free.__getitem__)
        taken.append(boxes[side])
        sides.append(side)
    return sides


def _box(x: float, y: float, side: str, width: float) -> _Box:
    match side:
        case "right":
            return x + GAP, y - LINE / 2, x + GAP + width, y + LINE / 2
        case "left":
            return x - GAP - width, y - LINE / 2, x - GAP, y + LINE / 2
        case "above":
            return x - width / 2, y - GAP - LINE, x + width / 2, y - GAP
    return x - width / 2, y + GAP, x + width / 2, y + GAP + LINE


def _overlap(a: _Box, b: _Box) -> float:
    """The area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _chip(name: str, latencies: Mapping[Condition, float]) -> Chip:
    own = {one: ms for one, ms in latencies.items() if one.device == name}
    full = {_pairing(one): ms for one, ms in own.items() if one.variant == FULL_PRECISION}
    ratios = [
        full[_pairing(one)] / ms
        for one, ms in own.items()
        if one.variant != FULL_PRECISION and _pairing(one) in full
    ]
    throughputs = {
        one.threads: MS_PER_S / ms
        for one, ms in own.items()
        if (one.architecture, one.engine, one.variant) == (NETWORK, ENGINE, FULL_PRECISION)
    }
    threads = max(throughputs, key=throughputs.__getitem__)
    maker = name.split()[0]
    return Chip(name, maker, threads, throughputs[threads], fmean(ratios), len(ratios))


def _pairing(one: Condition) -> tuple[int, str, str]:
    return one.threads, one.architecture, one.engine
