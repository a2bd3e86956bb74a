"""Nights: opened once, continued while they are unfinished, finished by the first that says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.results import Store
from bibench_deploy.results.nights import (
    LONGEST,
    Night,
    Progress,
    finish,
    nights,
    open_night,
    report_of,
    rows_of_night,
)
from support.rows import make_row

EVENING = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)


def opened(store: Store, now: datetime = EVENING, name: str | None = None, **facts: Any) -> Night:
    given = {"plan": "lab", "plan_sha256": "p" * 64, "commit": "c0ffee", "host": "alpha"} | facts
    return open_night(store, name=name, now=now, **given)


def test_a_fresh_night_bears_the_utc_date_of_its_start(store: Store) -> None:
    tokyo = EVENING.astimezone(timezone(timedelta(hours=9)))  # the 23rd there
    night = opened(store, tokyo)
    assert (night.name, night.progress, night.session) == ("2026-11-22", Progress.FRESH, "lab/2026-11-22")
    assert nights(store) == [
        Night("lab", "2026-11-22", "p" * 64, "c0ffee", "alpha", EVENING, None, progress=Progress.CONTINUED)
    ]


@pytest.mark.parametrize(
    ("later", "name", "progress"),
    [
        (timedelta(0), "2026-11-22", Progress.CONTINUED),
        (timedelta(hours=3), "2026-11-22", Progress.CONTINUED),  # it is the 23rd meanwhile
        (LONGEST - timedelta(seconds=1), "2026-11-22", Progress.CONTINUED),
        (LONGEST, "2026-11-23", Progress.FRESH),
    ],
)
def test_an_unfinished_night_is_continued(
    store: Store, later: timedelta, name: str, progress: Progress
) -> None:
    opened(store)
    again = opened(store, EVENING + later, host="beta", commit=None)
    assert (again.name, again.progress) == (name, progress)
    if progress is Progress.CONTINUED:
        assert (again.host, again.commit, again.started_at) == ("alpha", "c0ffee", EVENING)


def test_a_night_too_old_is_still_continued_where_its_name_is_todays(store: Store) -> None:
    early = datetime(2026, 11, 22, 0, 10, tzinfo=UTC)
    opened(store, early)
    assert opened(store, early + timedelta(hours=23)).progress is Progress.CONTINUED


def test_a_night_with_a_name_is_continued_by_its_name_alone(store: Store) -> None:
    """A commit's night that is under way in CI is not what the nightly job means."""
    assert opened(store, name="c0ffee").progress is Progress.FRESH
    assert opened(store).progress is Progress.FRESH
    assert opened(store, EVENING + timedelta(days=9), name="c0ffee").progress is Progress.CONTINUED
    assert [night.name for night in nights(store, "lab")] == ["2026-11-22", "c0ffee"]


def test_plans_have_nights_of_their_own(store: Store) -> None:
    opened(store)
    assert opened(store, plan="another").progress is Progress.FRESH
    assert [night.plan for night in nights(store, "another")] == ["another"]
    assert len(nights(store)) == 2


def test_a_night_is_finished_once_and_everybody_gets_the_first_report(store: Store) -> None:
    night = opened(store)
    assert report_of(store, night) is None
    first = finish(store, night, {"findings": [{"ratio": 1.5}]}, EVENING + timedelta(hours=5))
    second = finish(store, night, {"findings": []}, EVENING + timedelta(hours=6))
    again = opened(store, EVENING + timedelta(hours=1))
    for found in (first, second, again):
        assert found.progress is Progress.COMPLETE
        assert found.report == {"findings": [{"ratio": 1.5}]}
        assert found.finished_at == EVENING + timedelta(hours=5)
    assert report_of(store, night) == first.report
    assert opened(store, EVENING + timedelta(hours=2)).progress is Progress.FRESH  # the 23rd's


def test_an_empty_report_is_one(store: Store) -> None:
    assert finish(store, opened(store), {}, EVENING).report == {}


def test_nights_come_in_the_order_of_their_start_without_reports(store: Store) -> None:
    for days in (3, 1, 2):
        night = opened(store, EVENING + timedelta(days=days))
        finish(store, night, {"findings": [1]}, EVENING + timedelta(days=days))
    found = nights(store, "lab")
    assert [night.name for night in found] == ["2026-11-23", "2026-11-24", "2026-11-25"]
    assert [night.report for night in found] == [None] * 3


def test_no_store_has_no_nights_and_none_is_made(tmp_path: Path) -> None:
    assert nights(Store.at(str(tmp_path / "none.sqlite"))) == []
    assert list(tmp_path.iterdir()) == []


def test_the_rows_of_a_night_are_not_those_of_one_whose_name_goes_on(store: Store) -> None:
    rows = [make_row(session=session) for session in ("lab/1", "lab/12", "lab/1b", None, "LAB/1")]
    store.append(rows)
    assert rows_of_night(store, "lab", "1").rows == (rows[0],)
