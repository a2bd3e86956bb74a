"""How thread counts are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.errors import InputError
from bibench_deploy.runners.threads import parse_threads


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("1", (1,)),
        ("1,2,4", (1, 2, 4)),
        ("1-4", (1, 2, 3, 4)),
        ("4,1-2, 8 ", (1, 2, 4, 8)),
        ("2,2,1-2", (1, 2)),
        ("3-3", (3,)),
    ],
)
def test_counts_are_ascending_and_unique(text: str, counts: tuple[int, ...]) -> None:
    assert parse_threads(text) == counts


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither a number nor a range"),
        ("1,,2", "neither a number nor a range"),
        ("all", "neither a number nor a range"),
        ("-1", "neither a number nor a range"),
        ("1.5", "neither a number nor a range"),
        ("٣", "neither a number nor a range"),
        ("0", "between 1 and 1024"),
        ("1-99999999999", "between 1 and 1024"),
        ("9" * 5000, "neither a number nor a range"),
        ("4-1", "runs backwards"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_threads(text)


@given(st.sets(st.integers(1, 1024), min_size=1))
def test_every_set_of_counts_can_be_written(counts: set[int]) -> None:
    assert set(parse_threads(",".join(map(str, counts)))) == counts
