from __future__ import annotations

import pytest

from suite.markdown import BEGIN, END, milliseconds, replace_part, table, times
from suite.statistics import Estimate, Ratio


def test_a_table_has_its_numbers_on_the_right() -> None:
    assert table(("what", "ms"), [("native", "4.2")]) == "| what | ms |\n| --- | --: |\n| native | 4.2 |"
    with pytest.raises(ValueError, match="3 cells under 2 headers"):
        table(("what", "ms"), [("a", "b", "c")])


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (Estimate(4.24e6, 4.2e6, 4.6e6, 4.18e6, 9), "4.24 (4.20–4.60) 4.18"),
        (Estimate(0.0331e6, 0.033e6, 0.036e6, 0.033e6, 9), "0.0331 (0.0330–0.0360) 0.0330"),
        (Estimate(1402.4e6, 1400e6, 1500e6, 1399e6, 9), "1402.4 (1400.0–1500.0) 1399.0"),
    ],
)
def test_times_have_three_digits_that_matter(ns: Estimate, text: str) -> None:
    assert milliseconds(ns) == text


def test_a_ratio_shows_its_interval_and_that_of_the_minima() -> None:
    assert times(Ratio(5.85, 5.7, 6.012, 5.9, 15)) == "5.85 (5.70–6.01), 5.90"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{BEGIN}\nnew\n{END}\n"),
        ("# Title\n\nwords\n", f"# Title\n\nwords\n\n{BEGIN}\nnew\n{END}\n"),
        (f"# Title\n{BEGIN}\nold\n{END}\nmore\n", f"# Title\n{BEGIN}\nnew\n{END}\nmore\n"),
    ],
)
def test_the_measured_part_of_a_page_is_replaced_and_nothing_else(before: str, after: str) -> None:
    assert replace_part(before, "new\n") == after
    assert replace_part(after, "new") == after


@pytest.mark.parametrize("text", [f"{BEGIN}\nold", f"old\n{END}", f"{END}\n{BEGIN}"])
def test_half_a_pair_of_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="in this order"):
        replace_part(text, "new")
