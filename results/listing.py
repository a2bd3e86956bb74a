"""Rows of the store for a terminal: a list of them, and one with everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from bibench_deploy.runners.timing import summarise

from .fields import FIELDS, Value, record
from .report import Line
from .row import Row
from .tables import marks, milliseconds

if TYPE_CHECKING:
    from rich.console import Console

# As many digits of an id as tell rows apart in a store of a hundred thousand.
ID_DIGITS = 8
UNKNOWN = "unknown"
_ALWAYS = ("id", "measured at", "median ms")
_FIGURES = ("threads", "median ms")
_UNBROKEN = ("id", "measured at", "verdict", *_FIGURES)


@dataclass(frozen=True)
class Columns:
    """A list of rows as texts.

    Attributes:
        constant: what is the same in all rows, by the name of its column.
        varying: the other columns, a text for each row.
    """

    constant: dict[str, str]
    varying: dict[str, list[str]]

    @property
    def above(self) -> str:
        """What is the same in all rows, as one line; may be empty."""
        return ", ".join(f"{name} {value}" for name, value in self.constant.items() if value)


def columns_of(rows: Sequence[Row]) -> Columns:
    """What a person reads of rows."""
    cells = {
        "id": [str(row.id)[:ID_DIGITS] for row in rows],
        "measured at": [moment(row.measured_at) for row in rows],
        "device": [row.device for row in rows],
        "engine": [row.engine for row in rows],
        "model": [row.model for row in rows],
        "variant": [row.variant + marks(row) for row in rows],
        "threads": [str(row.threads) for row in rows],
        "cores": [row.cpus or "" for row in rows],
        "median ms": [_median(row) for row in rows],
        "verdict": [_verdict(row) for row in rows],
    }
    same = {
        name: values[0]
        for name, values in cells.items()
        if len(rows) > 1 and name not in _ALWAYS and len(set(values)) == 1
    }
    return Columns(same, {name: values for name, values in cells.items() if name not in same and any(values)})


def show_list(rows: Sequence[Row], console: Console) -> None:
    """Print one line a row; a column that says the same in every row stands above instead."""
    columns = columns_of(rows)
    if columns.above:
        console.print(escape(columns.above), soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns.varying:
        side: Literal["left", "right"] = "right" if name in _FIGURES else "left"
        table.add_column(name, justify=side, no_wrap=name in _UNBROKEN, overflow="fold")
    for line in zip(*columns.varying.values(), strict=True):
        table.add_row(*map(escape, line))
    console.print(table)


def to_markdown(rows: Sequence[Row]) -> bytes:
    """The same list as a table of Markdown."""
    columns = columns_of(rows)
    lines = [f"| {' | '.join(columns.varying)} |", "|" + " --- |" * len(columns.varying)]
    for line in zip(*columns.varying.values(), strict=True):
        lines.append(f"| {' | '.join(map(_markdown, line))} |")
    return ("\n".join(([columns.above, ""] if columns.above else []) + lines) + "\n").encode()


def show_row(row: Row, console: Console) -> None:
    """Print all that is known of a row, and what is not known as such."""
    facts = record(row)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for field in FIELDS:
        table.add_row(field.name, escape(fact_words(facts[field.name])))
    table.add_row("samples", str(len(row.samples_ns)))
    if row.samples_ns:
        found = summarise(row.samples_ns)
        table.add_row("median", f"{milliseconds(found.median_ms)} ms")
        table.add_row("p10–p90", f"{milliseconds(found.p10_ms)}–{milliseconds(found.p90_ms)} ms")
        table.add_row("in words", escape(_verdict(row, short=False)))
    console.print(table)


def moment(when: datetime) -> str:
    """In this machine's time, to the minute."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M")


def _median(row: Row) -> str:
    return milliseconds(summarise(row.samples_ns).median_ms) if row.samples_ns else "–"


def _verdict(row: Row, short: bool = True) -> str:
    if row.state == "not_applicable":
        words = f"not applicable: {', '.join(row.reasons)}"
    else:
        words = Line(row, summarise(row.samples_ns)).verdict
    return words.split(":")[0] if short else words


def fact_words(value: Value) -> str:
    """A fact of a row for a reader."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
