"""A report as tables for a terminal, as the paper's Tables 17–20 print latencies; see ``tidy``."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from .conditions import apart
from .published.latencies import SOURCE
from .report import Report
from .scaling_tables import show_scaling
from .tables import OTHER, OVERSUBSCRIBED, UNSTABLE, marks, milliseconds, not_applicable, not_compared, notes
from .tidy import Column, Grid, Mean, Place, Score, grid, scores

if TYPE_CHECKING:
    from rich.console import Console

NOT_MEASURED = "–"
PAPER = "BiBench"
OWN = "here"

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
    said = (*notes(report.lines), *not_compared(report.uncompared))
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
    shown = _empty(*varying, *([""] if published else []))
    for column in columns:
        name = column.algorithm if len(engines) == 1 else f"{column.engine}\n{column.algorithm}"
        shown.add_column(escape(name), justify="right", no_wrap=True)
    before: list[str] = []
    for place in table.places:
        full = [_key(place)[_TITLES.index(title)] for title in varying]
        key, before = [escape(text) for text in _news(full, before)], full
        own = [_own(table, place, column, unlike) for column in columns]
        shown.add_row(*key, *([OWN] if published else []), *own)
        if place in published:
            theirs = [_published(published[place].get(column)) for column in columns]
            shown.add_row(*[""] * len(key), PAPER, *theirs, style="dim")
    console.print(shown)


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
    console.print("\nhardware metric √((speedup² + compression²) / 2), Eq. 9, of means over pairs")
    several = len({score.column.engine for score in found}) > 1
    table = _empty(*(["engine"] if several else []), "algorithm", "mean over")
    for name in ("pairs", "speedup", "compression", "metric"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in found:
        head = [score.column.engine] if several else []
        without = f", {score.left_out} left out" if score.left_out else ""
        table.add_row(
            *head,
            escape(score.column.algorithm),
            f"all{without}",
            *figures(score.whole),
            style="bold",
        )
        for label, mean in parts(score):
            table.add_row(*[""] * len(head), "", escape(label), *figures(mean))
    console.print(table)


def parts(score: Score) -> list[tuple[str, Mean]]:
    """The means over parts of the pairs, where there is more than one part."""
    found: list[tuple[str, Mean]] = []
    if len(score.by_device) > 1:
        found += score.by_device.items()
    if len(score.by_architecture) > 1:
        found += score.by_architecture.items()
    if len(score.by_threads) > 1:
        found += [(f"{n} thread{'s' if n > 1 else ''}", mean) for n, mean in score.by_threads.items()]
    return found


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


def _empty(*left: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in left:
        table.add_column(name, overflow="fold")
    return table
