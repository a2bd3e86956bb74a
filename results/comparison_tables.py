"""Comparisons for a terminal: one line a pair, and below it what a reader has to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from bibench_deploy.runners.compare import SIGNIFICANT_P
from bibench_deploy.runners.statistics import CONFIDENCE
from bibench_deploy.runners.timing import summarise

from .comparison import Pair, Pairs, words_of
from .listing import ID_DIGITS
from .row import Row
from .tables import UNSTABLE, milliseconds

if TYPE_CHECKING:
    from rich.console import Console

_NAMES = ("device", "engine", "model", "variant", "threads", "cores")


def show(found: Pairs, factor: float, console: Console) -> None:
    """Print all pairs, what is the same in all of them above, and notes below."""
    names = {name: [_name(pair, name) for pair in found.pairs] for name in _NAMES}
    same = {name: values[0] for name, values in names.items() if len(set(values)) == 1}
    above = ", ".join(f"{name} {value}" for name, value in same.items() if value)
    console.print(escape(above), soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    varying = [name for name in _NAMES if name not in same]
    for name in (*varying, "A ms", "B ms", "B/A", "95 % interval", "p", "word"):
        side: Literal["left", "right"] = "left" if name in (*_NAMES[:4], "word") else "right"
        table.add_column(name, justify=side, no_wrap=name not in _NAMES, overflow="fold")
    for number, pair in enumerate(found.pairs):
        table.add_row(*(escape(names[name][number]) for name in varying), *_figures(pair))
    console.print(table)
    for note in _notes(found, factor):
        console.print(escape(note), soft_wrap=True)


def _name(pair: Pair, name: str) -> str:
    def of(row: Row) -> str:
        return str((row.cpus if name == "cores" else getattr(row, name)) or "")

    first, second = of(pair.a), of(pair.b)
    return first if first == second else f"{first or 'any'} → {second or 'any'}"


def _figures(pair: Pair) -> Sequence[str]:
    medians = [_median(pair.a), _median(pair.b)]
    found = pair.comparison
    if found is None:
        return (*medians, "", "", "", pair.word)
    interval = f"{found.interval.low:.3f}–{found.interval.high:.3f}" if found.interval else ""
    p = "" if found.p is None else "<0.0001" if found.p < 0.0001 else f"{found.p:.4f}"
    mark = UNSTABLE if pair.cautions else ""
    return (*medians, f"{found.ratio:.3f}", interval, p, f"{pair.word}{mark}")


def _median(row: Row) -> str:
    return milliseconds(summarise(row.samples_ns).median_ms) if row.samples_ns else "–"


def _notes(found: Pairs, factor: float) -> list[str]:
    counts = ", ".join(f"{count} {word}" for word, count in words_of(found).items())
    said = [
        f"{counts}; slower or faster: p < {SIGNIFICANT_P:g} (Mann–Whitney, over turns) and a factor of {factor:g}; "
        f"intervals of the ratio: {100 * CONFIDENCE:g} %, bootstrap"
    ]
    unclear = [pair for pair in found.pairs if pair.unclear(factor)]
    if unclear:
        names = "; ".join(
            f"{_what(pair.b)}: {pair.comparison.ratio:.2f}" for pair in unclear if pair.comparison
        )
        said.append(
            f"same, since it may be chance, though the medians differ; measure longer to know: {names}"
        )
    differs = dict.fromkeys(name for pair in found.pairs for name in pair.differs)
    if differs:
        said.append(f"A and B differ in: {', '.join(differs)}")
    for pair in found.pairs:
        what = _what(pair.b)
        if pair.why:
            said.append(f"{what}: not compared: {'; '.join(pair.why)}")
        if pair.cautions:
            said.append(f"{UNSTABLE} {what} was disturbed: {'; '.join(pair.cautions)}")
    for name, rows in (("A", found.only_a), ("B", found.only_b)):
        if rows:
            said.append(f"only in {name}: {'; '.join(map(_what, rows))}")
    return said


def _what(row: Row) -> str:
    cores = f" on {row.cpus}" if row.cpus else ""
    return (
        f"{row.model} {row.variant} {row.engine}, {row.device}, threads {row.threads}{cores} "
        f"({str(row.id)[:ID_DIGITS]})"
    )
