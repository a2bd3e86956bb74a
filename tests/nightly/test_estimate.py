"""How long a night will take, and what that rests on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.nightly.estimate import Span, duration, estimate, words
from bibench_deploy.nightly.expansion import Wanted
from bibench_deploy.results import Row
from bibench_deploy.runners.timing import MeasureRule
from support.rows import make_row

RULE = MeasureRule(min_seconds=1.0, max_seconds=5.0)
START = datetime(2026, 11, 20, 2, tzinfo=UTC)
SECOND = 1_000_000_000


def row(
    model: str, end_s: float, timed_s: float, *, night: int = 0, device: str = "pi", **facts: object
) -> Row:
    """A job whose timed runs took so long and that was done so many seconds after the night began."""
    return make_row(
        device=device,
        model=model,
        engine="native",
        session=f"lab/{night}",
        measured_at=START + timedelta(days=night, seconds=end_s),
        samples_ns=[round(timed_s * SECOND / 10)] * 10,
        **facts,
    )


def job(model: str, device: str = "pi", variant: str = "binarized", threads: int = 1) -> Wanted:
    return Wanted(device, Path(f"{model}.onnx"), "native", variant, threads)


def test_without_a_night_before_the_rule_tells() -> None:
    expected = estimate([job("a"), job("b")], RULE, [])
    one = estimate([job("a")], RULE, []).devices["pi"]
    assert expected.devices["pi"] == one * 2
    assert RULE.min_seconds < one.low_s < one.high_s
    assert one.high_s - one.low_s >= RULE.max_seconds - RULE.min_seconds
    assert (expected.remembered, expected.rests_on) == (0, "by the plan's [measure]; no night before tells")


def test_what_goes_by_beside_the_timed_runs_is_counted() -> None:
    """Model b was timed for 2 s and 2 s, and done 20 s after a: five seconds go by for each timed one."""
    rows = [
        row("a", 10, 2.0),
        row("b", 25, 2.0),
        row("b", 30, 2.0, variant="fp32"),
    ]
    jobs = [job("a"), job("b"), job("b", variant="fp32")]
    expected = estimate(jobs, RULE, rows)
    assert expected.devices["pi"].low_s == expected.devices["pi"].high_s == pytest.approx(3 * 2.0 * 5)
    assert (expected.remembered, expected.rests_on) == (3, "as the nights before took")


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ("cd", "by the plan's [measure], without waiting to cool down; no night before tells"),
        (
            "ac",
            "1 of 2 jobs as the nights before took, the others by [measure], without waiting to cool down",
        ),
        ("ab", "as the nights before took, waiting to cool down as long"),
    ],
)
def test_how_long_is_waited_to_cool_down_only_a_night_before_can_tell(models: str, says: str) -> None:
    rows = [row("a", 10, 2.0), row("b", 30, 2.0)]
    assert estimate([job(model) for model in models], RULE, rows, cools_down=True).rests_on == says


def test_one_evening_without_power_does_not_count() -> None:
    nights = [
        entry
        for night, gone in enumerate([10, 10, 30_000])
        for entry in (row("a", 10, 2.0, night=night), row("b", 10 + gone, 2.0, night=night))
    ]
    assert estimate([job("a"), job("b")], RULE, nights).devices["pi"].low_s == pytest.approx(2 * 2.0 * 5)


def test_another_device_model_or_number_of_threads_is_another_job() -> None:
    rows = [row("a", 10, 2.0), row("b", 20, 2.0)]
    for other in (job("c"), job("a", device="pi2"), job("a", variant="fp32"), job("a", threads=2)):
        assert estimate([other], RULE, rows).remembered == 0


def test_means_of_an_engines_own_benchmark_are_no_runs() -> None:
    """Ten means of 1 ms each stand for ten turns, not for 10 ms."""
    rows = [row("a", 10, 0.01, statistic="aggregate"), row("b", 20, 0.01, statistic="aggregate")]
    assert estimate([job("a")], RULE, rows).devices["pi"].low_s == pytest.approx(1.0 * 10)


def test_what_could_not_be_done_took_no_time() -> None:
    refused = make_row(
        device="pi", model="a", engine="native", state="not_applicable", reasons=["why"], samples_ns=[]
    )
    assert estimate([job("a")], RULE, [refused]).remembered == 0


def test_devices_are_measured_side_by_side_after_the_conversion() -> None:
    jobs = [job("a"), job("b"), job("a", device="pi2")]
    expected = estimate(jobs, RULE, [], stale=4, conversions_s=[10.0, 30.0, 20.0], workers=2)
    assert expected.conversion == Span(40.0, 40.0)
    assert expected.wall == expected.conversion + expected.devices["pi"]
    assert expected.devices["pi"] == expected.devices["pi2"] * 2


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6),
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0.1, 100), st.floats(0.1, 10)), max_size=6),
)
def test_more_jobs_never_take_less(models: list[str], history: list[tuple[str, float, float]]) -> None:
    rows = [row(model, end, timed, night=number // 2) for number, (model, end, timed) in enumerate(history)]
    jobs = [job(model, device=f"pi{number % 2}") for number, model in enumerate(models)]
    less, more = estimate(jobs[:-1], RULE, rows).wall, estimate(jobs, RULE, rows).wall
    assert less.low_s <= more.low_s
    assert less.high_s <= more.high_s
    assert 0 <= more.low_s <= more.high_s


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (90, "2 min"),
        (3599, "1 h"),
        (4000, "1 h 7 min"),
        (86400, "24 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_spans() -> None:
    assert words(Span(60, 60)) == "about 1 min"
    assert words(Span(60, 7200)) == "1 min to 2 h"
