"""``bibench-deploy tracks``: the metrics of BiBench's six tracks, the paper's or one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from bibench_deploy.tracks import Score
    from bibench_deploy.tracks.tables import Latency

BIBENCH = "bibench"
#: Half a unit of the last printed digit, and as much again for the raw data's own rounding.
SAME = 0.0101


def tracks(
    source: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="bibench|PATH",
            help="The paper's published tables, or a CSV file or folder of your own.",
        ),
    ] = BIBENCH,
    as_json: JsonOption = False,
) -> None:
    """Compute the six tracks of BiBench from tables of accuracies, training runs and latencies.

    With the paper's own tables each value stands beside the printed one. In tables of your own the columns say
    what a file holds: accuracies on tasks, accuracies on corrupted data, training runs, theoretical
    complexity, or latencies (docs/tracks.md).
    """
    from bibench_deploy.tracks import read_tables, scores
    from bibench_deploy.tracks.published import raw_tables, reproduced

    if source == BIBENCH:
        tables, found = raw_tables(), reproduced()
    else:
        tables = read_tables(Path(source))
        found = scores(tables)
    if as_json:
        console.print_json([_document(score) for score in found])
        return
    out = console.stdout()
    for track in dict.fromkeys(score.track for score in found):
        out.print(_table(track, [score for score in found if score.track == track]))
    if tables.latency:
        out.print(_averages(tables.latency))
    if source == BIBENCH:
        _explain(found)


def _document(score: Score) -> dict[str, Any]:
    return {
        "track": score.track,
        "metric": score.metric,
        "algorithm": score.algorithm,
        "value": score.value,
        "unit": score.unit,
        "published": score.published,
        "difference": score.difference,
        "derivable": score.derivable,
        "note": score.note,
    }


def _table(track: str, found: Sequence[Score]) -> Table:
    from rich import box
    from rich.table import Table

    from bibench_deploy.tracks.tables import algorithms

    names = algorithms(score.algorithm for score in found)
    unit = " (%)" if found[0].unit == "percent" else ""
    # Eight algorithms side by side have to fit 80 columns.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    table.title = track.replace("_", " ") + unit
    table.add_column("metric", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for metric in dict.fromkeys(score.metric for score in found):
        row = {score.algorithm: _cell(score) for score in found if score.metric == metric}
        table.add_row(metric, *(row.get(name, "") for name in names))
    return table


def _cell(score: Score) -> str:
    """The value, starred where another one is printed; the printed one, with a dagger, where none follows."""
    if score.value is None:
        return "-" if score.published is None else f"[dim]{score.published:.2f}†[/dim]"
    return f"{score.value:.2f}" + ("*" if _differs(score) else "")


def _differs(score: Score) -> bool:
    return score.difference is not None and abs(score.difference) > SAME


def _averages(rows: Sequence[Latency]) -> Table:
    """Plain means of the speedup, since how the paper averages is not stated."""
    from rich import box
    from rich.table import Table

    from bibench_deploy.tracks.metrics import speedups
    from bibench_deploy.tracks.tables import algorithms

    groups: tuple[tuple[str, Callable[[Latency], str]], ...] = (
        ("all", lambda row: "all"),
        ("threads", lambda row: str(row.threads)),
        ("architecture", lambda row: row.architecture),
        ("library", lambda row: row.library),
        ("device", lambda row: row.device),
    )
    names = algorithms(row.variant for row in rows)
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title="mean speedup of the latencies", title_justify="left"
    )
    table.add_column("over")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for title, group in groups:
        for value, per_algorithm in speedups(rows, group).items():
            cells = (f"{per_algorithm[name]:.2f}" if name in per_algorithm else "-" for name in names)
            table.add_row(title, "" if title == "all" else value, *cells)
    return table


def _explain(found: Sequence[Score]) -> None:
    """How many values agree, and why others can't be derived."""
    out = console.stdout()
    derived = [score for score in found if score.difference is not None]
    agreeing = sum(not _differs(score) for score in derived)
    out.print(
        f"{agreeing} of {len(derived)} derived values agree with the printed ones (to 0.01). "
        "* the paper prints another value; † printed, and does not follow from the raw data:"
    )
    for score in filter(_differs, derived):
        out.print(f"* {_named(score)} ({score.algorithm}): {score.published:.2f} is printed")
    reasons: dict[tuple[str, str | None], list[str]] = {}
    for score in found:
        if not score.derivable and score.published is not None:
            reasons.setdefault((_named(score), score.note), []).append(score.algorithm)
    for (metric, why), names in reasons.items():
        out.print(f"† {metric} ({', '.join(names)}): {why}")


def _named(score: Score) -> str:
    return f"{score.track.replace('_', ' ')}, {score.metric}"
