"""The same command continues what was interrupted; any other starts anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.sweep import FOLDER, MOST_AGE, open_sweep
from support.rows import make_row

JOBS = [("pi", "a" * 64, 1), ("pi", "a" * 64, 2)]
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def opened(folder: Path, **changes: Any) -> tuple[str, bool]:
    """Id and whether it continues; the sweep is left as by an interrupted command."""
    options = {"jobs": JOBS, "options": {"min_runs": 3}, "fresh": False, "now": NOW} | changes
    sweep = open_sweep(folder, **options)
    sweep.leave()
    return sweep.id, sweep.continued


@pytest.mark.parametrize(
    ("changes", "continues"),
    [
        ({}, True),
        ({"jobs": JOBS[::-1]}, True),
        ({"now": NOW + MOST_AGE}, True),
        ({"now": NOW + MOST_AGE + timedelta(seconds=1)}, False),
        ({"now": NOW - timedelta(seconds=1)}, False),
        ({"fresh": True}, False),
        ({"jobs": JOBS[:1]}, False),
        ({"jobs": [("other", *job[1:]) for job in JOBS]}, False),
        ({"options": {"min_runs": 4}}, False),
    ],
)
def test_what_continues(tmp_path: Path, changes: dict[str, Any], continues: bool) -> None:
    first, _ = opened(tmp_path)
    second, continued = opened(tmp_path, **changes)
    assert continued is continues
    assert (second == first) is continues


def test_a_finished_sweep_is_not_continued(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, JOBS, {"min_runs": 3}, fresh=False, now=NOW)
    sweep.finish()
    sweep.leave()
    assert opened(tmp_path) != (sweep.id, True)


def test_two_at_the_same_time_are_two_sweeps(tmp_path: Path) -> None:
    first = open_sweep(tmp_path, JOBS, {"min_runs": 3}, fresh=False, now=NOW)
    second = open_sweep(tmp_path, JOBS, {"min_runs": 3}, fresh=False, now=NOW)
    assert second.id != first.id
    assert (second.continued, second.path) == (False, None)
    second.finish()
    second.leave()
    first.leave()
    assert opened(tmp_path) == (first.id, True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sweep": "x"}', '{"sweep": "x", "started_at": "today"}'])
def test_a_damaged_file_is_replaced(tmp_path: Path, text: str) -> None:
    opened(tmp_path)
    (file,) = (tmp_path / FOLDER).glob("*.json")
    file.write_text(text)
    identity, continued = opened(tmp_path)
    assert not continued
    assert opened(tmp_path) == (identity, True)


def test_the_rows_of_the_sweep_are_done(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, JOBS, {}, fresh=False, now=NOW)
    sweep.leave()
    mine = make_row(device="pi", sha256="a" * 64, threads=2, session=sweep.id)
    again = mine.model_copy(update={"kernel": "later"})
    others = [make_row(session="another"), make_row(session=None)]
    assert sweep.done([mine, *others, again]) == {("pi", "a" * 64, 2): again}
