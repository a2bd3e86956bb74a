"""Layers for a terminal: the time of each, its share, and how near it comes to what the cores can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from bibench_deploy.runners.operators import Operator, shares

from .row import Row

if TYPE_CHECKING:
    from rich.console import Console

NS_PER_US = 1000


def show_operators(rows: Iterable[Row], console: Console) -> None:
    """Print a table for each row that knows its layers, and which engines don't tell them."""
    silent = set()
    for row in rows:
        if row.operators:
            _show(row, console)
        elif row.state == "measured":
            silent.add(row.engine)
    for engine in sorted(silent):
        console.print(
            f"layers: not applicable ({engine} does not tell their times)", soft_wrap=True, markup=False
        )


def _show(row: Row, console: Console) -> None:
    threads = f"{row.threads} thread{'s' if row.threads > 1 else ''}"
    title = f"\nlayers of {row.model} {row.variant} {row.engine}, {row.device}, {threads}"
    console.print(title, soft_wrap=True, markup=False)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    table.add_column("operator")
    predicted = next((o.predicted_gmacs for o in row.operators if o.predicted_gmacs), None)
    for name in ("µs", "share", "GMAC/s", "of ceiling", *(["of predicted"] if predicted else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for operator, share in zip(row.operators, shares(row.operators), strict=True):
        table.add_row(
            escape(operator.name),
            operator.opcode,
            f"{operator.median_ns / NS_PER_US:.1f}",
            f"{100 * share:.1f} %",
            f"{operator.gmacs:.1f}" if operator.gmacs else "",
            percent(operator.of_ceiling),
            *([percent(operator.of_predicted)] if predicted else []),
        )
    console.print(table)
    for kind, loop in (("binary", "XOR, popcount, add"), ("float", "multiply-add")):
        ceilings = [o.ceiling_gmacs for o in row.operators if o.kind == kind and o.ceiling_gmacs]
        if ceilings:
            ceiling = f"{_rate(ceilings[0])} GMAC/s, a bare loop of {loop} measured between them"
            console.print(f"ceiling of {kind} layers: {ceiling}", soft_wrap=True, markup=False)
    if predicted:
        basis = "what the table of cores says of them, at the clocks that were seen"
        console.print(f"predicted: {_rate(predicted)} GMAC/s, {basis}", soft_wrap=True, markup=False)


def _rate(gmacs: float) -> str:
    """Whole numbers, and of small ones two digits: emulated cores are slow."""
    return f"{gmacs:.0f}" if gmacs >= 10 else f"{gmacs:.2g}"


def percent(fraction: float | None) -> str:
    """Whole percent; empty where it is not known."""
    return "" if fraction is None else f"{100 * fraction:.0f} %"


def operator_documents(operators: Iterable[Operator]) -> list[dict[str, Any]]:
    """Layers as they stand in JSON."""
    found = list(operators)
    return [
        {
            "name": operator.name,
            "opcode": operator.opcode,
            "kind": operator.kind,
            "median_ns": operator.median_ns,
            "share": share,
            "macs": operator.macs,
            "gmacs": operator.gmacs,
            "ceiling_gmacs": operator.ceiling_gmacs,
            "percent_of_ceiling": None if operator.of_ceiling is None else 100 * operator.of_ceiling,
            "predicted_gmacs": operator.predicted_gmacs,
            "percent_of_predicted": None if operator.of_predicted is None else 100 * operator.of_predicted,
            "moved_bytes": operator.moved_bytes,
            "read_gbs": operator.read_gbs,
        }
        for operator, share in zip(found, shares(found), strict=True)
    ]
