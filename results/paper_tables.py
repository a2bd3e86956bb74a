"""A report as tables for a terminal, as the paper's Tables 17–20 print latencies; see ``tidy``."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING
from uuid import UUID

from rich.markup import escape

from .conditions import apart
from .published.latencies import SOURCE
from .report import Report
from .scaling_tables import show_scaling
from .tables import OTHER, OVERSUBSCRIBED, UNSTABLE, marks, milliseconds, not_applicable, not_compared, notes
from .tidy import Column, Grid, Mean, Place, Score, grid, scores
from .wide_tables import MOST_NAME, Figures, show_wide

if TYPE_CHECKING:
    from rich.console import Console

NOT_MEASURED = "–"
PAPER = "BiBench"
OWN = "here"

_FIGURES = ("pairs", "speedup", "compression", "metric")
_DIMENSIONS: Mapping[str, Callable[[Score], Mapping[str, Mean]]] = {
    "device": lambda score: score.by_device,
    "architecture": lambda score: score.by_architecture,
    "threads": lambda score: {_counted(n): mean for n, mean in score.by_threads.items()},
}
_TITLES = ("device", "processor", "cores", "dataset", "threads", "architecture")


def show_report(report: Report, console: Console, published: Mapping[Place, Mapping[Column, float]]) -> None:
    """Print latencies, then the hardware metric of each algorithm.

    Args:
        published: the paper's latencies by place and column, in ms; empty for none.
    """
    table = grid(report)
    _show_latencies(table, console, published)
    found = scores(report)
    if found:
        _show_scores(found, console)
    show_scaling(report, console)
    judged = any(not line.stable and line.row.verdict for line in report.lines)
    unstable = [f"{UNSTABLE} rests on what is not stable"] if judged else []
    said = (*unstable, *notes(report.lines), *not_compared(report.uncompared))
    for note in (*said, *not_applicable(report.not_applicable)):
        console.print(escape(note), soft_wrap=True)
    if published:
        console.print(_about(table), soft_wrap=True)


def _show_latencies(table: Grid, console: Console, published: Mapping[Place, Mapping[Column, float]]) -> None:
    keys = {title: [_key(place)[n] for place in table.places] for n, title in enumerate(_TITLES)}
    varying = [title for title, values in keys.items() if len(set(values)) > 1]
    constant = [
        f"{title} {values[0]}" for title, values in keys.items() if title not in varying and values[0]
    ]
    columns = _columns(table, published)
    engines = list(dict.fromkeys(column.engine for column in columns))
    if len(engines) == 1:
        constant.append(f"engine {engines[0]}")
    console.print(escape(", ".join(["median latency in ms", *constant])), soft_wrap=True)
    unlike = apart(table.cells.values())
    keys_shown: list[list[str]] = []
    cells: list[list[str]] = []
    dim: list[bool] = []
    before: list[str] = []
    for place in table.places:
        full = [_key(place)[_TITLES.index(title)] for title in varying]
        key, before = _news(full, before), full
        keys_shown.append([*key, OWN])
        cells.append([_own(table, place, column, unlike) for column in columns])
        dim.append(False)
        if place in published:
            keys_shown.append([*[""] * len(key), PAPER])
            cells.append([_published(published[place].get(column)) for column in columns])
            dim.append(True)
    titles = [*varying, *([""] if published else [])]
    left = [(title, [line[n] for line in keys_shown]) for n, title in enumerate(titles)]
    names = [c.algorithm if len(engines) == 1 else f"{c.engine}\n{c.algorithm}" for c in columns]
    figures_shown = [
        Figures(column.engine, name, [line[n] for line in cells])
        for n, (column, name) in enumerate(zip(columns, names, strict=True))
    ]
    show_wide(console, left, figures_shown, dim)


def _columns(table: Grid, published: Mapping[Place, Mapping[Column, float]]) -> list[Column]:
    """The table's own, and those of the paper beside the same engine."""
    own = list(table.columns)
    theirs = dict.fromkeys(column for latencies in published.values() for column in latencies)
    more = [column for column in theirs if column not in own]
    engines = list(dict.fromkeys(column.engine for column in (*own, *more)))
    return sorted((*own, *more), key=lambda column: engines.index(column.engine))


def _own(table: Grid, place: Place, column: Column, unlike: Container[UUID]) -> str:
    line = table.cells.get((place, column))
    if line is None:
        return "n/a" if (place, column) in table.not_applicable else NOT_MEASURED
    sign = "" if line.stable else UNSTABLE
    over = OVERSUBSCRIBED if line.oversubscribed else ""
    other = OTHER if line.row.id in unlike else ""
    return f"{sign}{milliseconds(line.summary.median_ms)}{over}{other}{marks(line.row)}"


def _published(latency: float | None) -> str:
    return NOT_MEASURED if latency is None else milliseconds(latency)


def _news(key: Sequence[str], before: Sequence[str]) -> list[str]:
    """A key without its beginning where that is the line's before; the last part always stands."""
    same = 0
    while same < min(len(before), len(key) - 1) and key[same] == before[same]:
        same += 1
    return [""] * same + list(key[same:])


def _key(place: Place) -> tuple[str, ...]:
    return place.device, place.processor, place.cpus, place.dataset, str(place.threads), place.architecture


def _show_scores(found: Sequence[Score], console: Console) -> None:
    without = any(score.left_out for score in found)
    left_out = "; left out: oversubscribed or invalid" if without else ""
    console.print(
        f"\nhardware metric √((speedup² + compression²) / 2), Eq. 9, of means over pairs{left_out}",
        soft_wrap=True,
    )
    several = len({score.column.engine for score in found}) > 1
    left = [("engine", [score.column.engine for score in found])] if several else []
    left.append(("algorithm", [score.column.algorithm for score in found]))
    whole = list(zip(*(figures(score.whole) for score in found), strict=True))
    columns = [Figures("", name, cells) for name, cells in zip(_FIGURES, whole, strict=True)]
    if without:
        columns.insert(1, Figures("", "left out", [str(score.left_out) for score in found]))
    show_wide(console, left, columns)
    for dimension, by_part in _DIMENSIONS.items():
        _show_parts(found, dimension, by_part, left, console)


def _show_parts(
    found: Sequence[Score],
    dimension: str,
    by_part: Callable[[Score], Mapping[str, Mean]],
    left: Sequence[tuple[str, Sequence[str]]],
    console: Console,
) -> None:
    """The means over parts of the pairs, a column a part; nothing where there is only one."""
    means = [by_part(score) for score in found]
    names = list(dict.fromkeys(name for of_score in means for name in of_score))
    if len(names) < 2:
        return
    # What a part does not change stands above already.
    compressions = [{f"{mean.metric.compression:.2f}" for mean in parts.values()} for parts in means]
    shown = [1, 2, 3] if any(len(different) > 1 for different in compressions) else [1, 3]
    console.print(f"\nthe same by {dimension}: {', '.join(_FIGURES[n] for n in shown)}")
    columns = [
        Figures(
            name,
            fill(name, MOST_NAME),
            ["  ".join(_padded(means, name, n)[line] for n in shown) for line in range(len(means))],
        )
        for name in names
    ]
    show_wide(console, left, columns)


def _padded(means: Sequence[Mapping[str, Mean]], name: str, n: int) -> list[str]:
    """One figure of a part for every score, all as wide as the widest."""
    texts = [figures(parts[name])[n] if name in parts else NOT_MEASURED for parts in means]
    return [text.rjust(max(map(len, texts))) for text in texts]


def parts(score: Score) -> list[tuple[str, Mean]]:
    """The means over parts of the pairs, where there is more than one part."""
    found: list[tuple[str, Mean]] = []
    if len(score.by_device) > 1:
        found += score.by_device.items()
    if len(score.by_architecture) > 1:
        found += score.by_architecture.items()
    if len(score.by_threads) > 1:
        found += [(_counted(n), mean) for n, mean in score.by_threads.items()]
    return found


def _counted(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def figures(mean: Mean) -> tuple[str, ...]:
    metric, sign = mean.metric, "" if mean.stable else UNSTABLE
    return (
        str(metric.pairs),
        f"{sign}{metric.speedup:.2f}×",
        f"{metric.compression:.2f}×",
        f"{sign}{metric.overall:.2f}",
    )


def _about(table: Grid) -> str:
    shapes = sorted(
        {
            f"{place.architecture} {' '.join('×'.join(map(str, shape)) for shape in line.row.inputs)}"
            for (place, _), line in table.cells.items()
            if line.row.inputs
        }
    )
    own = f"; yours: {', '.join(shapes)}" if shapes else ""
    return escape(
        f"{PAPER}: {SOURCE}, by chip, threads and architecture. The paper does not state the inputs' sizes{own}."
    )
