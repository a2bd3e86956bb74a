"""Tables that are wider than a terminal: every figure is printed whole."""

from __future__ import annotations

import io
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bibench_deploy.results.paper_tables import show_report
from bibench_deploy.results.tables import MOST_NAMES, listed
from bibench_deploy.results.tidy import recent
from bibench_deploy.results.wide_tables import Figures, blocks, show_wide
from support.rows import MS, make_row

ALGORITHMS = ("bnn", "dorefa", "bireal", "reactnet", "recu", "fda")


def widths(*sizes: int, group: str = "larq") -> list[Figures]:
    return [Figures(group, f"{number}", ("x" * size,)) for number, size in enumerate(sizes)]


def sizes_of(found: list[list[Figures]]) -> list[list[int]]:
    return [[column.width for column in block] for block in found]


@pytest.mark.parametrize(
    ("columns", "room", "expected"),
    [
        (widths(4, 4, 4), 18, [[4, 4, 4]]),
        (widths(4, 4, 4), 17, [[4, 4], [4]]),
        (widths(9, 4), 5, [[9], [4]]),  # wider than the terminal: by itself
        ([*widths(4, 4), *widths(5, 5, group="native")], 24, [[4, 4], [5, 5]]),  # an engine stays whole
        ([*widths(4), *widths(5, 5, 5, group="native")], 14, [[4], [5, 5], [5]]),  # unless it never fits
    ],
)
def test_columns_in_blocks(columns: list[Figures], room: int, expected: list[list[int]]) -> None:
    assert sizes_of(blocks(columns, room)) == expected


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 12)), min_size=1), st.integers(1, 60))
def test_every_column_stands_once_in_its_order_and_no_block_is_too_wide(
    given_columns: list[tuple[str, int]], room: int
) -> None:
    columns = [Figures(group, "", ("x" * size,)) for group, size in given_columns]
    found = blocks(columns, room)
    assert [column for block in found for column in block] == columns
    assert all(sum(column.width + 2 for column in block) <= room or len(block) == 1 for block in found)
    for _, members in groupby(columns, key=lambda column: column.group):
        group = list(members)
        if sum(column.width + 2 for column in group) <= room:
            assert any(
                group == block[start : start + len(group)] for block in found for start in range(len(block))
            )


@pytest.mark.parametrize("width", [40, 80, 132])
def test_a_report_of_many_engines_and_algorithms_is_cut_off_nowhere(width: int) -> None:
    rows = [
        make_row(
            device=device,
            engine=engine,
            variant=variant,
            threads=threads,
            source_sha256="0" * 64,
            metadata={"bibench.arch": "resnet18"},
            samples_ns=[(number + 1) * 1111 * MS] * 30,
        )
        for device in ("rpi4", "a-board-with-a-long-name-in-the-kitchen")
        for engine in ("larq", "native", "dabnn")
        for threads in (1, 2)
        for number, variant in enumerate(("fp32", *ALGORITHMS))
    ]
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show_report(recent(rows), console, {})
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    for number in range(len(ALGORITHMS) + 1):
        assert text.count(f" {(number + 1) * 1111}") == 12
    tables = [line for line in text.splitlines() if "─" in line or "  " in line]
    assert max(map(len, tables)) <= width


def test_a_long_name_is_whole_where_there_is_room(capsys: pytest.CaptureFixture[str]) -> None:
    name = "dorefa|bireal|recu|fda"
    show_wide(Console(width=80), [("algorithm", [name])], [Figures("", "metric", ["6.17"])])
    assert f"{name}    6.17" in capsys.readouterr().out


def test_of_many_names_the_rest_is_counted() -> None:
    names = [f"n{number}" for number in range(MOST_NAMES + 2)]
    assert listed(names[:2]) == "n0, n1"
    assert listed(names[:-1]) == ", ".join(names[:-1])
    assert listed(names) == f"{', '.join(names[:MOST_NAMES])} and 2 more"
