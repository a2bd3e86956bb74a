"""What changed since the nights before: found when it is there, quiet when it is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.nightly.finding import Began, Finding, Status, Unmeasured, Why, exit_code, key_of
from bibench_deploy.nightly.gate import Gate, judge
from bibench_deploy.results import Row
from bibench_deploy.runners.context import RunContext
from support.nights import FIRST, found, night_of, of_rows, row, rows
from support.rows import MS

HISTORY = rows([10] * 8)
KEY = key_of(HISTORY[0])
TONIGHT = 8


# --- latency ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("median_ms", "status"),
    [
        (10, Status.SAME),
        (10.2, Status.SAME),
        (11, Status.SUSPECT),
        (9, Status.FASTER),
        (30, Status.SUSPECT),
    ],
)
def test_latency(median_ms: float, status: Status) -> None:
    finding = found(row(TONIGHT, median_ms), HISTORY)
    assert finding.status == status
    assert finding.ratio == pytest.approx(median_ms / 10, rel=0.02)
    assert finding.baseline == tuple(HISTORY[-7:])


def test_nights_that_differ_among_themselves_allow_as_much_to_this_one() -> None:
    restless = rows([10, 11.5] * 4)
    assert found(row(TONIGHT, 11.4), restless).status == Status.SAME
    assert found(row(TONIGHT, 20), restless).status == Status.SUSPECT


def test_one_odd_night_neither_hides_a_regression_nor_makes_one() -> None:
    odd = rows([10, 10, 10, 17, 10, 10, 10, 10])
    assert found(row(TONIGHT, 10), odd).status == Status.SAME
    assert found(row(TONIGHT, 11), odd).status == Status.SUSPECT


def test_a_slower_job_stays_slower_on_the_mornings_after_and_says_since_when() -> None:
    """Until the level has lasted as long as a baseline; the reference is the last night before it."""
    medians = [10.0] * 10 + [11.0] * 10
    history = rows(medians)
    findings = [found(history[n], history[:n]) for n in range(10, 20)]
    assert [finding.status for finding in findings] == [Status.SUSPECT] * 7 + [Status.SAME] * 3
    began = Began(night_of(10).name, night_of(10).commit)
    for finding in findings[:7]:
        assert finding.since == began
        assert finding.baseline[-1] == history[9]
        assert finding.ratio == pytest.approx(1.1, rel=0.02)


def test_a_second_step_on_top_of_a_known_one() -> None:
    history = rows([10] * 10 + [11] * 3 + [13])
    finding = found(history[-1], history[:-1])
    assert finding.status == Status.SUSPECT
    assert finding.ratio == pytest.approx(1.3, rel=0.02)


def test_back_from_a_slow_level_is_no_news_and_back_from_a_fast_one_is() -> None:
    assert found(row(14, 10), rows([10] * 10 + [12] * 4)).status == Status.SAME
    assert found(row(14, 10), rows([10] * 10 + [8] * 4)).status == Status.SUSPECT


def test_an_improvement_is_told_and_is_the_usual_soon() -> None:
    history = rows([10] * 10 + [8] * 6)
    told = [found(history[n], history[:n]) for n in range(10, 16)]
    assert [finding.status for finding in told] == [Status.FASTER] * 3 + [Status.SAME] * 3
    assert {finding.since for finding in told[:3]} == {Began(night_of(10).name, night_of(10).commit)}


def test_another_artefact_in_the_history_is_the_same_job() -> None:
    mixed = [old.model_copy(update={"sha256": f"{n:064x}"}) for n, old in enumerate(HISTORY)]
    assert found(row(TONIGHT, 11), mixed).status == Status.SUSPECT
    assert found(row(TONIGHT, 10), mixed).status == Status.SAME


def test_other_jobs_nights_and_names_are_no_baseline() -> None:
    others = [row(n, 5, threads=2) for n in range(8)] + [
        row(n, 5, session="other/2026-11-01") for n in range(8)
    ]
    assert found(row(TONIGHT), others).status == Status.NEW
    assert found(row(TONIGHT), [*HISTORY, *others]).status == Status.SAME


# --- what makes a night no baseline, or unusable ---------------------------------------------------


@pytest.mark.parametrize(
    ("before", "tonight", "words"),
    [
        ({"governor": "powersave"}, {"governor": "performance"}, "other governor"),
        ({"clock_mhz_during": {0: 1500.0}}, {"clock_mhz_during": {0: 1200.0}}, "other clock"),
        ({"abi": "armv7l"}, {"abi": "aarch64"}, "other ABI"),
    ],
)
def test_a_device_under_other_conditions_is_said_and_is_no_pass(
    before: dict[str, Any], tonight: dict[str, Any], words: str
) -> None:
    earlier = [row(n, 20, context=RunContext(**before)) for n in range(8)]
    finding = found(row(TONIGHT, context=RunContext(**tonight)), earlier)
    assert finding.status == Status.INCOMPARABLE
    assert words in finding.words
    assert exit_code([finding.status]) == 3


def test_after_three_nights_under_the_new_conditions_they_are_a_baseline() -> None:
    slow, fast = RunContext(governor="powersave"), RunContext(governor="performance")
    earlier = [row(n, 20, context=slow) for n in range(8)] + [row(n, 10, context=fast) for n in range(8, 11)]
    assert found(row(11, 10, context=fast), earlier[:-1]).status == Status.INCOMPARABLE
    assert found(row(11, 10, context=fast), earlier).status == Status.SAME
    assert found(row(11, 12, context=fast), earlier).status == Status.SUSPECT


def test_a_clock_that_moves_every_night_is_noise_and_no_condition() -> None:
    def at(number: int, mhz: float, median_ms: float = 10) -> Row:
        return row(number, median_ms, context=RunContext(clock_mhz_during={0: mhz}))

    restless = [at(n, 3000 + 400 * (n % 3)) for n in range(8)]
    assert found(at(TONIGHT, 2500), restless).status == Status.SAME
    assert found(at(TONIGHT, 2500, 12), restless).status == Status.SUSPECT
    moved_once = [at(n, 3000 if n < 4 else 3800) for n in range(8)]
    assert found(at(TONIGHT, 2500), moved_once).status == Status.INCOMPARABLE


def test_conditions_that_are_unknown_are_no_reason() -> None:
    assert found(row(TONIGHT, context=RunContext(governor="performance")), HISTORY).status == Status.SAME


def test_too_few_nights() -> None:
    assert found(row(TONIGHT), []).status == Status.NEW
    assert found(row(TONIGHT, 30), HISTORY[:2]).status == Status.UNJUDGED
    assert found(row(TONIGHT, 30), HISTORY[:3]).status == Status.SUSPECT


@pytest.mark.parametrize(
    "facts",
    [
        {"verdict": "invalid", "reasons": ["5 runs are too few"]},
        {"samples_ns": [30 * MS] * 6, "turns": [1] * 6},
    ],
)
def test_what_is_no_measurement_tonight_is_no_pass(facts: dict[str, Any]) -> None:
    finding = found(row(TONIGHT, 30, **facts), HISTORY)
    assert finding.status == Status.UNUSABLE
    assert "too few" in finding.words
    assert exit_code([finding.status]) == 3


def test_nights_that_were_invalid_do_not_count_and_unstable_ones_do() -> None:
    invalid = rows([10] * 8, verdict="invalid")
    assert found(row(TONIGHT), invalid).status == Status.NEW
    unstable = rows([10] * 8, verdict="unstable")
    assert found(row(TONIGHT, 11, verdict="unstable"), unstable).status == Status.SUSPECT


def test_a_night_that_has_a_job_twice_has_the_later_row() -> None:
    early = row(TONIGHT, 20, seed=1, measured_at=night_of(TONIGHT).started_at)
    late = row(TONIGHT, 10)
    (finding,) = judge([KEY], night_of(TONIGHT), [late, early], of_rows(HISTORY), Gate(), {})
    assert (finding.status, finding.row) == (Status.SAME, late)


# --- what needs no statistics -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"size_bytes": 1_005_000}, Status.SAME),
        ({"size_bytes": 1_020_000}, Status.LARGER),
        ({"size_bytes": 900_000}, Status.SAME),
        ({"binary_ops": 18}, Status.FLOAT),
        ({"binary_ops": 20}, Status.SAME),
        ({"verified": False}, Status.OTHERWISE),
        ({"verified_on_device": False}, Status.OTHERWISE),
        ({"changes": ["padding"]}, Status.OTHERWISE),
        (
            {"state": "not_applicable", "reasons": ["one thread only"], "samples_ns": [], "turns": []},
            Status.LOST,
        ),
    ],
)
def test_what_needs_no_statistics(facts: dict[str, Any], status: Status) -> None:
    finding = found(row(TONIGHT, **facts), HISTORY)
    assert finding.status == status
    if status in (Status.LARGER, Status.FLOAT, Status.LOST):
        assert finding.since == Began(night_of(TONIGHT).name, night_of(TONIGHT).commit)
        assert finding.baseline == (HISTORY[-1],)


def test_a_larger_artefact_stays_so_on_the_mornings_after() -> None:
    history = rows([10] * 10) + [row(n, size_bytes=1_100_000) for n in range(10, 20)]
    findings = [found(history[n], history[:n]) for n in range(10, 20)]
    assert [finding.status for finding in findings] == [Status.LARGER] * 7 + [Status.SAME] * 3
    assert {finding.since for finding in findings[:7]} == {Began(night_of(10).name, night_of(10).commit)}
    assert {finding.ratio for finding in findings[:7]} == {1.1}


def test_a_larger_artefact_that_looks_slower_is_looked_into() -> None:
    both = found(row(TONIGHT, 11, size_bytes=1_100_000), HISTORY)
    assert both.status is Status.SUSPECT
    assert both.besides is not None
    assert both.besides.status is Status.LARGER


def test_what_an_engine_never_could_do_is_no_regression() -> None:
    never: dict[str, Any] = {"state": "not_applicable", "reasons": ["no"], "samples_ns": [], "turns": []}
    history = rows([10] * 8, **never)
    assert found(row(TONIGHT, **never), history).status == Status.NOT_APPLICABLE
    assert found(row(TONIGHT), history).status == Status.NEW


# --- what has no row --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unmeasured", "known", "status", "words"),
    [
        (None, True, Status.MISSING, "was not measured"),
        (
            Unmeasured(Why.INFRASTRUCTURE, "rpi4 was quarantined"),
            True,
            Status.MISSING,
            "rpi4 was quarantined",
        ),
        (Unmeasured(Why.CONVERSION, "MLIR aborted"), True, Status.UNCONVERTED, "MLIR aborted"),
        (Unmeasured(Why.OTHERWISE, "argmax differs"), True, Status.OTHERWISE, "argmax differs"),
        (Unmeasured(Why.REFUSED, "a run-time factor"), False, Status.NOT_APPLICABLE, "a run-time factor"),
        (Unmeasured(Why.REFUSED, "a run-time factor"), True, Status.LOST, "a run-time factor"),
    ],
)
def test_what_has_no_row_says_why(
    unmeasured: Unmeasured | None, known: bool, status: Status, words: str
) -> None:
    why = {KEY: unmeasured} if unmeasured else {}
    before = of_rows(HISTORY if known else [])
    (finding,) = judge([KEY], night_of(TONIGHT), [], before, Gate(), why)
    assert finding.status == status
    assert words in finding.words


@pytest.mark.parametrize("why", list(Why))
def test_why_a_job_has_no_row_goes_through_a_store(why: Why) -> None:
    unmeasured = Unmeasured(why, "rpi4: broken: badly")
    assert Unmeasured.parse(unmeasured.said) == unmeasured
    assert Unmeasured.parse("ssh: broken") == Unmeasured(Why.INFRASTRUCTURE, "ssh: broken")


# --- accepted ---------------------------------------------------------------------------------------


def test_since_accepts_what_had_changed_and_keeps_the_nights_of_what_had_not() -> None:
    slower, same = rows([10] * 10 + [11] * 2), rows([10] * 12, threads=2)
    since = night_of(10).started_at
    assert found(row(12, 11), slower).status == Status.SUSPECT
    assert found(row(12, 11), slower, since=since).status == Status.SAME
    assert found(row(12, 12.5), slower, since=since).status == Status.SUSPECT
    kept = found(row(12, 10, threads=2), same, since=since)
    assert (kept.status, len(kept.baseline)) == (Status.SAME, 7)


def test_since_accepts_sizes() -> None:
    history = [*rows([10] * 10), row(10, size_bytes=1_100_000)]
    tonight = row(11, size_bytes=1_100_000)
    assert found(tonight, history).status == Status.LARGER
    assert found(tonight, history, since=night_of(10).started_at).status == Status.SAME


def test_the_first_night_of_all_that_is_accepted_says_so() -> None:
    finding = found(row(TONIGHT, 11), HISTORY, since=night_of(TONIGHT).started_at)
    assert finding.status == Status.UNJUDGED
    assert "accepted" in finding.words


def test_a_night_by_name_and_the_nights_of_a_commit() -> None:
    history = rows([10] * 4 + [12] * 6)
    by_name = found(row(10, 12), history, choice=f"night:{night_of(2).name}")
    assert (by_name.status, by_name.baseline) == (Status.SUSPECT, (history[2],))
    by_commit = found(row(10, 12), history, choice=f"commit:{night_of(3).commit}")
    assert (by_commit.status, by_commit.baseline) == (Status.SUSPECT, (history[3],))


# --- properties -------------------------------------------------------------------------------------

levels = st.lists(st.floats(5, 20), min_size=1, max_size=12)
PROPERTY = settings(max_examples=60, deadline=None)


def scaled(old: Row, factor: float) -> Row:
    return old.model_copy(update={"samples_ns": [max(1, round(run * factor)) for run in old.samples_ns]})


@PROPERTY
@given(levels, st.floats(5, 25), st.sampled_from([1 / 8, 4.0, 1024.0]))
def test_the_unit_of_time_does_not_matter(medians: list[float], tonight: float, unit: float) -> None:
    history, last = rows(medians), row(len(medians), tonight)
    plain = found(last, history)
    other = found(scaled(last, unit), [scaled(old, unit) for old in history])
    assert (other.status, len(other.baseline), other.since) == (
        plain.status,
        len(plain.baseline),
        plain.since,
    )
    assert other.ratio == pytest.approx(plain.ratio)


@PROPERTY
@given(levels, st.floats(5, 25), st.floats(1, 3))
def test_slower_never_turns_an_alarm_into_a_pass(medians: list[float], tonight: float, factor: float) -> None:
    history, last = rows(medians, noise=0.02), row(len(medians), tonight, noise=0.02)
    if found(last, history).status is Status.SUSPECT:
        assert found(scaled(last, factor), history).status is Status.SUSPECT


@PROPERTY
@given(levels, st.floats(5, 25), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(medians: list[float], tonight: float, random: Any) -> None:
    history, last = rows(medians), row(len(medians), tonight)
    shuffled = list(history)
    random.shuffle(shuffled)
    assert found(last, shuffled) == found(last, history)


@PROPERTY
@given(st.lists(st.sampled_from(list(Status)), max_size=12))
def test_what_got_worse_or_was_not_measured_is_never_a_pass(statuses: list[Status]) -> None:
    code = exit_code(statuses)
    assert exit_code([*statuses, Status.SLOWER]) == 1
    assert exit_code([*statuses, Status.MISSING]) in (1, 3)
    assert code in (0, 1, 3)
    if code == 0:
        assert set(statuses) & {Status.SAME, Status.FASTER, Status.NEW, Status.UNJUDGED, Status.UNCONFIRMED}


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([Status.SAME, Status.FASTER, Status.NEW, Status.UNJUDGED, Status.UNCONFIRMED], 0),
        ([Status.SAME, Status.SLOWER, Status.MISSING], 1),
        ([Status.LARGER], 1),
        ([Status.FLOAT], 1),
        ([Status.OTHERWISE], 1),
        ([Status.UNCONVERTED], 1),
        ([Status.SAME, Status.LOST], 1),
        ([Status.SAME, Status.MISSING], 3),
        ([Status.SAME, Status.SUSPECT], 3),
        ([Status.SAME, Status.DEVICE_SLOWER], 3),
        ([Status.SAME, Status.INCOMPARABLE], 3),
        ([Status.SAME, Status.UNUSABLE], 3),
        ([Status.NOT_APPLICABLE], 3),  # nothing measured is never a pass
        ([], 3),
    ],
)
def test_the_exit_code(statuses: list[Status], code: int) -> None:
    assert exit_code(statuses) == code


def test_every_expected_job_has_one_finding_in_order() -> None:
    other = (KEY[0], KEY[1], "another", *KEY[3:])
    findings = judge([other, KEY, other], night_of(TONIGHT), [row(TONIGHT)], of_rows(HISTORY), Gate(), {})
    assert [(finding.key, finding.status) for finding in findings] == [
        (other, Status.MISSING),
        (KEY, Status.SAME),
    ]


def test_began_names_night_and_commit() -> None:
    assert str(Began("2026-11-20", "a1b2c3d4e5")) == "2026-11-20 (a1b2c3d)"
    assert str(Began("2026-11-20", None)) == "2026-11-20"
    assert Finding(KEY, Status.SAME, "").since is None
    assert night_of(3).started_at == FIRST + timedelta(days=3)
