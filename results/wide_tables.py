"""Tables with more columns than a terminal has room for: in blocks, one below the other, none of them cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

#: Between two columns.
_GAP = 2
#: Longer names are folded where there is no room for them, the same way in every block.
MOST_NAME = 20


@dataclass(frozen=True)
class Figures:
    """One column of figures.

    Attributes:
        group: what neighbours that belong together have in common: they stay on one table where they can.
        title: may have several lines.
    """

    group: str
    title: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        """In characters."""
        return max(map(len, (*self.title.split("\n"), *self.cells)))


def show_wide(
    console: Console,
    left: Sequence[tuple[str, Sequence[str]]],
    columns: Sequence[Figures],
    dim: Sequence[bool] = (),
) -> None:
    """Print a table, in as many blocks as it takes.

    Args:
        left: titles and cells of the columns that every block begins with.
        dim: for each line whether it is of lesser weight; none is where it is left out.
    """
    names = [max(map(len, (title, *cells))) for title, cells in left]
    room = console.width - _GAP * len(names)
    if sum(column.width + _GAP for column in columns) > room - sum(names):
        names = [min(MOST_NAME, width) for width in names]
    for number, block in enumerate(blocks(columns, room - sum(names))):
        if number:
            console.print()
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for (title, _), width in zip(left, names, strict=True):
            table.add_column(title, overflow="fold", min_width=width, max_width=width)
        for column in block:
            table.add_column(escape(column.title), justify="right", no_wrap=True)
        for line in range(len(columns[0].cells)):
            cells = [escape(cells[line]) for _, cells in left]
            figures = [escape(column.cells[line]) for column in block]
            table.add_row(*cells, *figures, style="dim" if dim and dim[line] else None)
        console.print(table)


def blocks(columns: Sequence[Figures], room: int) -> list[list[Figures]]:
    """Columns in their order, as many together as fit into so many characters, groups whole where they do. Pure."""
    found: list[list[Figures]] = []
    left = 0
    for _, members in groupby(columns, key=lambda column: column.group):
        group = list(members)
        whole = sum(column.width + _GAP for column in group)
        for column in group:
            needed = column.width + _GAP
            # A new group that does not fit begins a block; so does a column of one that fits into none.
            first = column is group[0]
            if not found or left < (min(whole, room) if first else needed):
                found.append([])
                left = room
            found[-1].append(column)
            left -= needed
    return found
