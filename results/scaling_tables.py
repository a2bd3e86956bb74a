"""What more threads bring, for a terminal: one line a sweep over thread counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from .report import Report
from .row import Row
from .scaling import Sweep, sweeps
from .tables import OVERSUBSCRIBED, UNSTABLE

if TYPE_CHECKING:
    from rich.console import Console

#: A terminal's screen.
MOST_SWEEPS = 40
_TITLES = ("device", "cores", "model", "engine", "algorithm")


def show_scaling(report: Report, console: Console) -> None:
    """Print efficiencies, knees and where little cores begin to work; nothing where there is no sweep."""
    found = sweeps(report.lines)
    if not found:
        return
    if len(found) > MOST_SWEEPS:
        console.print(
            f"\nparallel efficiency and knees of {len(found)} sweeps over threads: too many to be read here; "
            "choose with --device, --engine, --model or --variant, or see --html",
            soft_wrap=True,
        )
        return
    counts = sorted({threads for sweep in found for threads in sweep.lines if threads > 1})
    crossings = any(sweep.crossing is not None for sweep in found)
    console.print("\nparallel efficiency T1 / (n · Tn); knee: more threads are not worth their cores")
    named = [_names(sweep.row) for sweep in found]
    # What is the same everywhere says nothing here; one name always stands.
    varying = [n for n in range(len(_TITLES)) if len({names[n] for names in named}) > 1]
    varying = varying or [_TITLES.index("algorithm")]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for n in varying:
        table.add_column(_TITLES[n], overflow="fold")
    for title in (*map(str, counts), "knee", *(["little cores from"] if crossings else [])):
        table.add_column(title, justify="right", no_wrap=True)
    for names, sweep in zip(named, found, strict=True):
        table.add_row(*(escape(names[n]) for n in varying), *cells(sweep, counts, crossings))
    console.print(table)


def cells(sweep: Sweep, counts: Sequence[int], crossings: bool) -> list[str]:
    """A sweep's efficiency at each of these counts, its knee and, if wanted, where little cores begin to work."""
    said = [_efficiency(sweep, threads) for threads in counts]
    knee = "" if sweep.knee is None else f"{'' if sweep.bends else '≥ '}{sweep.knee}"
    said.append(f"{'' if sweep.stable or not knee else UNSTABLE}{knee}")
    if crossings:
        said.append("" if sweep.crossing is None else str(sweep.crossing))
    return said


def _efficiency(sweep: Sweep, threads: int) -> str:
    value = sweep.efficiency.get(threads)
    if value is None:
        return ""
    lines = (sweep.lines[1], sweep.lines[threads])
    sign = "" if all(line.stable for line in lines) else UNSTABLE
    return f"{sign}{100 * value:.0f} %{OVERSUBSCRIBED if sweep.lines[threads].oversubscribed else ''}"


def _names(row: Row) -> tuple[str, ...]:
    return row.device, row.cpus or "", row.model, row.engine, row.algorithm
