"""A report as tables for a terminal of 80 columns; what is the same in every row stands in the caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from bibench_deploy.runners.timing import STABLE_SPREAD

from .conditions import apart
from .report import Comparison, Line, Report, Uncompared
from .row import Row
from .scaling import efficiencies, sweeps

if TYPE_CHECKING:
    from rich.console import Console

CHANGED = "≠"
UNVERIFIED = "?"
OVERSUBSCRIBED = "+"
UNSTABLE = "~"
OTHER = "†"
#: Of more of which the same is told the rest is counted: a lab's report has hundreds.
MOST_NAMES = 6

Told = TypeVar("Told")


def show(report: Report, console: Console) -> None:
    """Print a report."""
    if report.lines:
        _show_lines(report, console)
    meaning = "eff.: parallel efficiency, the time of one thread over n times that of n threads"
    eff = [meaning] if efficiencies(sweeps(report.lines)) else []
    said = (*eff, *notes(report.lines), *not_compared(report.uncompared), *knees(report.lines))
    for note in (*said, *not_applicable(report.not_applicable)):
        console.print(escape(note), soft_wrap=True)


def _show_lines(report: Report, console: Console) -> None:
    console.print(_caption(report.lines))
    several = len(_same(line.row.engine for line in report.lines)) > 1
    for model, lines in _by_model(report.lines).items():
        console.print(f"\n{escape(model)}", soft_wrap=True)
        console.print(_latencies(lines, several))
    if report.comparisons:
        console.print("\nagainst full precision, each engine against its own")
        console.print(_comparisons(report.comparisons, several))
        console.print(_overall(report, several))


def marks(row: Row) -> str:
    """What a reader must know of an artefact wherever its figures stand."""
    return (f" {CHANGED}" if row.changes else "") + ("" if row.verified else f" {UNVERIFIED}")


def notes(lines: Sequence[Line]) -> list[str]:
    """What the marks mean for the artefacts that bear them, and what limits the figures."""
    said = []
    artefacts = {line.row.sha256: line.row for line in lines}.values()
    changed = _together(
        (tuple(row.changes), f"{row.model} {row.variant}") for row in artefacts if row.changes
    )
    for changes, names in changed.items():
        verb = (
            "computes another function than its model"
            if len(names) == 1
            else "compute other functions than their models"
        )
        said.append(f"{CHANGED} {listed(names)} {verb}: {'; '.join(changes)}")
    unverified = [f"{row.model} {row.variant}" for row in artefacts if not row.verified]
    if unverified:
        verb = (
            "was not verified against its model"
            if len(unverified) == 1
            else "were not verified against their models"
        )
        said.append(f"{UNVERIFIED} {listed(unverified)} {verb}")
    said += other_conditions(lines)
    over = next((line for line in lines if line.oversubscribed), None)
    if over:
        said.append(
            f"{OVERSUBSCRIBED} oversubscribed: more threads than the machine's {over.row.host.cores} cores"
        )
    unstable = [line for line in lines if not line.stable]
    unjudged = sum(line.row.verdict is None for line in unstable)
    if unjudged:
        said.append(
            f"unstable, {UNSTABLE}: p90 − p10 is more than {100 * STABLE_SPREAD:.0f} % of the median "
            f"({unjudged} of {len(lines)}); measure again when the machine is idle"
        )
    judged = [line for line in unstable if line.row.verdict is not None]
    where = "" if len({line.row.device for line in lines}) == 1 else " on {}"
    for verdict, names in _together(
        (line.verdict, f"{_name(line)}{where.format(line.row.device)}") for line in judged
    ).items():
        said.append(f"{listed(names)}: {verdict}")
    means = _same(line.row.engine for line in lines if line.row.statistic == "aggregate")
    if means:
        said.append(
            f"{' and '.join(means)}: each latency is a mean of runs, as the engine's own benchmark prints it: "
            "p10–p90 is of means, single runs scatter more"
        )
    if any(line.row.engine == "larq" and line.row.host.arch == "x86_64" for line in lines):
        said.append(
            "Larq's kernels are made for ARM: on x86-64 these figures do not tell what a board gains."
        )
    return said


def listed(names: Sequence[str]) -> str:
    """Names with commas; of many the first, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:MOST_NAMES])} and {more} more"


def _together(told: Iterable[tuple[Told, str]]) -> dict[Told, list[str]]:
    """The names of which the same is told, each once."""
    found: dict[Told, dict[str, None]] = {}
    for what, name in told:
        found.setdefault(what, {})[name] = None
    return {what: list(names) for what, names in found.items()}


def _name(line: Line) -> str:
    return f"{line.row.model} {line.row.variant} {line.row.engine} {_threads(line)}"


def other_conditions(lines: Sequence[Line]) -> list[str]:
    """Which rows must not be compared with the others, one line for all that tell the same."""
    unlike = apart(lines)
    found = _together(
        (unlike[line.row.id], f"{_name(line)} on {line.row.device}")
        for line in lines
        if line.row.id in unlike
    )
    return [
        f"{OTHER} not measured as most are, so not to be compared with them: {listed(names)}: {'; '.join(why)}"
        for why, names in found.items()
    ]


def not_compared(pairs: Sequence[Uncompared]) -> list[str]:
    """Which models have no ratio to their twins, and why."""
    found = _together((pair.why, f"{_name(pair.binarized)} on {pair.binarized.row.device}") for pair in pairs)
    return [
        f"not compared with full precision: {listed(names)}: {'; '.join(why)}; measure both in one sweep"
        for why, names in found.items()
    ]


def knees(lines: Sequence[Line]) -> list[str]:
    """What more threads bring, one line for all sweeps that tell the same."""
    found: dict[tuple[int, bool], list[str]] = {}
    crossing: dict[tuple[str, int], None] = {}
    for sweep in sweeps(lines):
        row = sweep.row
        if sweep.crossing is not None:
            crossing[row.device, sweep.crossing] = None
        if sweep.knee is not None:
            mark = "" if sweep.stable else UNSTABLE
            cores = f" on {row.cpus}" if row.cpus else ""
            name = f"{mark}{row.model} {row.variant} {row.engine}{cores}"
            found.setdefault((sweep.knee, sweep.bends), []).append(name)
    said = []
    for (threads, bends), names in sorted(found.items()):
        counted = f"{threads} thread{'s' if threads > 1 else ''}"
        what = f"{counted}, more are not worth their cores" if bends else f"none up to {counted}"
        said.append(f"knee: {what}: {listed(names)}")
    for device, threads in crossing:
        said.append(f"{device}: with {threads} threads and more, little cores work, too")
    return said


def not_applicable(rows: Sequence[Row]) -> list[str]:
    """What was asked for and can't be, one line for each reason and artefact."""
    threads: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        key = (row.engine, row.model, row.variant, ", ".join(row.reasons))
        threads.setdefault(key, []).append(row.threads)
    return [
        f"{engine} {model} {variant} with {', '.join(map(str, sorted(set(counts))))} threads: "
        f"not applicable ({why})"
        for (engine, model, variant, why), counts in threads.items()
    ]


def _caption(lines: Sequence[Line]) -> str:
    first = lines[0].row
    engines = " and ".join(
        f"{engine} (binary kernel {' or '.join(_kernels(lines, engine)) or 'none'})"
        for engine in _same(line.row.engine for line in lines)
    )
    cores = f"{first.host.cores} cores" if first.host.cores > 1 else "1 core"
    return escape(f"device {first.device}: {first.host.cpu}, {cores}, {first.host.system}\nengine {engines}")


def _latencies(lines: Sequence[Line], several_engines: bool) -> Table:
    left = ("engine", "variant") if several_engines else ("variant",)
    efficiency, unlike = efficiencies(sweeps(lines)), apart(lines)
    right = ("threads", *(["eff."] if efficiency else []), "median ms", "p10–p90 ms", "runs", "size")
    table = _table(*left, right=right)
    table.add_column("verdict", no_wrap=True, min_width=len("unstable"))
    engines = _same(line.row.engine for line in lines)
    several_kernels = any(len(_kernels(lines, engine)) > 1 for engine in engines)
    if several_kernels:
        table.add_column("kernel")
    for line in sorted(lines, key=lambda line: line.row.engine):
        row, summary = line.row, line.summary
        table.add_row(
            *([row.engine] if several_engines else []),
            escape(row.variant) + marks(row),
            _threads(line),
            *([_percent(efficiency.get(row.id))] if efficiency else []),
            f"{milliseconds(summary.median_ms)}{OTHER if row.id in unlike else ''}",
            f"{milliseconds(summary.p10_ms)}–{milliseconds(summary.p90_ms)}",
            str(summary.runs),
            size(row.size_bytes),
            line.verdict.split(":")[0],
            *([row.kernel or ""] if several_kernels else []),
        )
    return table


def _comparisons(comparisons: Sequence[Comparison], several_engines: bool) -> Table:
    left = ("model", "engine", "variant") if several_engines else ("model", "variant")
    table = _table(*left, right=("threads", "speedup", "compression", "metric"))
    for comparison in comparisons:
        row, metric = comparison.binarized.row, comparison.metric
        table.add_row(
            escape(row.model),
            *([row.engine] if several_engines else []),
            escape(row.variant) + marks(row),
            _threads(comparison.binarized),
            f"{'' if comparison.stable else UNSTABLE}{metric.speedup:.2f}×",
            f"{metric.compression:.2f}×",
            f"{'' if comparison.stable else UNSTABLE}{metric.overall:.2f}",
        )
    return table


def _overall(report: Report, several_engines: bool) -> str:
    metric = report.overall
    # A mean over engines would be a figure of none of them.
    if metric is None or len(report.comparisons) == 1 or several_engines:
        return "metric: hardware metric sqrt((speedup² + compression²) / 2)"
    without = f" (without {OVERSUBSCRIBED})" if metric.pairs < len(report.comparisons) else ""
    return (
        f"mean of {metric.pairs}{without}: speedup {metric.speedup:.2f}×, "
        f"compression {metric.compression:.2f}×, metric {metric.overall:.2f}\n"
        "metric: hardware metric sqrt((speedup² + compression²) / 2)"
    )


def _percent(fraction: float | None) -> str:
    # Without a space: with it, a table of two engines does not fit into 80 columns.
    return "" if fraction is None else f"{100 * fraction:.0f}%"


def milliseconds(value: float) -> str:
    """Three significant digits, and never fewer than the whole milliseconds."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def size(size_bytes: int) -> str:
    """Bytes in powers of 1000, as the paper's storage."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    kilo = size_bytes / 1000
    return f"{kilo:.0f} kB" if kilo < 1000 else f"{kilo / 1000:.2f} MB"


def _table(*left: str, right: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _threads(line: Line) -> str:
    return f"{line.row.threads}{OVERSUBSCRIBED}" if line.oversubscribed else str(line.row.threads)


def _by_model(lines: Sequence[Line]) -> dict[str, list[Line]]:
    models: dict[str, list[Line]] = {}
    for line in lines:
        models.setdefault(line.row.model, []).append(line)
    return models


def _kernels(lines: Sequence[Line], engine: str) -> list[str]:
    return _same(line.row.kernel for line in lines if line.row.kernel and line.row.engine == engine)


def _same(values: Iterable[str]) -> list[str]:
    return sorted(set(values))
