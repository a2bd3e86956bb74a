"""What is told as news: steps, changes of size, alarms, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bibench_deploy.results.history.news import Event, entries, of_findings, of_series
from bibench_deploy.results.history.series import Point, Series, What
from support.night_rows import finding

WHAT = What("rpi4", "resnet18", "native", "bnn", 1)


def series(medians: Sequence[float], **facts: Any) -> Series:
    """Nights of these medians in ms, stable and of one size but for what is said of some by their number."""
    points = []
    for night, median in enumerate(medians):
        told = {name: values.get(night) for name, values in facts.items() if night in values}
        given = {"size_bytes": 4_000_000, "verdict": "stable"} | told
        points.append(Point(night, median, None, None, **given))
    return Series(WHAT, points)


def test_a_step_is_told_with_its_size_and_a_resize_too() -> None:
    slower = series(
        [10.0] * 20 + [11.0] * 10, size_bytes={3: 4_000_099} | dict.fromkeys(range(25, 30), 4_400_000)
    )
    assert of_series(slower) == [
        Event(WHAT, 20, "slower", "+10.0 %, 10.0 → 11.0 ms"),
        Event(WHAT, 25, "larger", "+10.0 %, 4.00 MB → 4.40 MB"),
    ]
    assert of_series(series([10.0] * 20 + [9.0] * 10)) == [
        Event(WHAT, 20, "faster", "−10.0 %, 10.0 → 9.00 ms")
    ]


def test_what_is_invalid_makes_no_level() -> None:
    odd = dict.fromkeys(range(20, 30), "invalid")
    found = series([10.0] * 20 + [30.0] * 10, verdict=odd)
    assert found.steps == ()
    assert [(level.first, level.last, level.nights) for level in found.levels] == [(0, 19, 20)]
    assert series([10.0], verdict={0: "invalid"}).levels == ()


def test_a_step_begins_in_the_night_that_has_its_first_value() -> None:
    """Nights in which the job was not measured are left out of the search, not of the count."""
    points = [Point(n, 10.0 if n < 50 else 12.0, None, None, 1, "stable") for n in range(0, 100, 2)]
    assert [change.night for change in Series(WHAT, points).steps] == [50]


def test_an_alarm_is_told_once_with_the_step_that_it_is_about() -> None:
    since = {"night": "n20", "commit": "c0ffee"}
    told = [finding(status="slower", kind="regression", words="1.10×", since=since)]
    numbers = {f"n{number}": number for number in range(30)}
    alarms = [event for night in range(20, 27) for event in of_findings(told, night, numbers)]
    steps = of_series(series([10.0] * 21 + [11.0] * 9))  # found a night off
    (entry,) = entries([*steps, *alarms])
    assert (entry.night, entry.alarm, entry.kinds, entry.said) == (20, True, "slower", "resnet18 slower")
    (event,) = entry.events
    assert event.words == "+10.0 %, 10.0 → 11.0 ms (1.10×)"


def test_what_comes_again_later_is_news_again() -> None:
    told = [finding(status="larger", kind="regression", words="more")]
    alarms = [event for night in (5, 20) for event in of_findings(told, night, {})]
    assert [entry.night for entry in entries(alarms)] == [20, 5]


@pytest.mark.parametrize("kind", ["unchanged", "infrastructure", "faster", "none", None])
def test_only_a_regression_is_an_alarm(kind: str | None) -> None:
    assert of_findings([finding(kind=kind)], 3, {}) == []


def test_one_change_of_a_model_is_one_entry_with_all_of_its_jobs() -> None:
    events = [Event(What("rpi4", "resnet18", "native", "bnn", n), 7, "slower", "+8 %") for n in (4, 1, 2)]
    events.append(Event(What("rpi4", "other", "native", "bnn", 1), 7, "faster", "−8 %"))
    other, entry = entries(events)
    assert [event.what.threads for event in entry.events] == [1, 2, 4]
    assert (entry.said, other.said) == ("resnet18 slower (3 jobs)", "other faster")
