"""What changed since the nights before: found when it is there, quiet when it is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bibench_deploy.nightly.gate import Finding, Gate, Status, confirmed, exit_code, judge, key_of
from bibench_deploy.nightly.junit import junit
from bibench_deploy.results import Row
from bibench_deploy.runners.compare import Comparison, compare
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.statistics import split
from support.rows import MS, make_row

FIRST = datetime(2026, 11, 1, 2, tzinfo=UTC)
TURNS, RUNS = 10, 12


def night(number: int, median_ms: float = 10, noise: float = 0.005, **facts: Any) -> Row:
    """A row of one night; turns differ by the noise, and so do nights."""
    random = np.random.default_rng(number)
    state = random.normal(1, noise)
    turns = [
        median_ms * MS * state * random.normal(1, noise) * random.normal(1, noise, RUNS) for _ in range(TURNS)
    ]
    return make_row(
        measured_at=FIRST + timedelta(days=number),
        samples_ns=[int(value) for turn in turns for value in turn],
        turns=[RUNS] * TURNS,
        verdict="stable",
        **facts,
    )


HISTORY = [night(number) for number in range(8)]
KEY = key_of(HISTORY[0])


def found(tonight: Row, history: list[Row] | None = None, gate: Gate | None = None) -> Finding:
    (finding,) = judge([KEY], [tonight], HISTORY if history is None else history, gate or Gate(), {})
    return finding


@pytest.mark.parametrize(
    ("median_ms", "status"),
    [(10, Status.SAME), (10.2, Status.SAME), (11, Status.SLOWER), (9, Status.FASTER), (30, Status.SLOWER)],
)
def test_latency(median_ms: float, status: Status) -> None:
    finding = found(night(20, median_ms))
    assert finding.status == status
    assert finding.ratio == pytest.approx(median_ms / 10, rel=0.02)
    assert finding.baseline == HISTORY[-1]


def test_nights_that_differ_among_themselves_allow_as_much_to_this_one() -> None:
    restless = [night(number, 10 if number % 2 else 11.5) for number in range(8)]
    assert found(night(20, 11.4), restless).status == Status.SAME
    assert found(night(20, 20), restless).status == Status.SLOWER


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"size_bytes": 1_005_000}, Status.SAME),
        ({"size_bytes": 1_020_000}, Status.LARGER),
        ({"binary_ops": 18}, Status.FLOAT),
        ({"verified": False}, Status.OTHERWISE),
        ({"verified_on_device": False}, Status.OTHERWISE),
        ({"context": RunContext(governor="powersave")}, Status.SAME),  # the others' governor is unknown
    ],
)
def test_what_needs_no_statistics(facts: dict[str, Any], status: Status) -> None:
    assert found(night(20, **facts)).status == status


def test_another_governor_is_no_baseline() -> None:
    powersave = [night(n, 20, context=RunContext(governor="powersave")) for n in range(8)]
    tonight = night(20, context=RunContext(governor="performance"))
    finding = found(tonight, powersave)
    assert finding.status == Status.UNJUDGED
    assert "0 comparable nights" in finding.words


def test_too_few_nights_too_few_turns_an_invalid_night() -> None:
    assert found(night(20), []).status == Status.NEW
    assert found(night(20), HISTORY[:2]).status == Status.UNJUDGED
    short = night(20).model_copy(update={"samples_ns": [30 * MS] * 6, "turns": [1] * 6})
    assert found(short).status == Status.UNJUDGED
    invalid = night(20, 30).model_copy(update={"verdict": "invalid", "reasons": ["too few"]})
    assert found(invalid).status == Status.UNJUDGED


def test_what_was_not_measured_is_missing_and_says_why() -> None:
    (finding,) = judge([KEY], [], HISTORY, Gate(), {KEY: "rpi4 was quarantined"})
    assert (finding.status, finding.words) == (Status.MISSING, "rpi4 was quarantined")


@pytest.mark.parametrize(
    ("word", "status"),
    [("slower", Status.SLOWER), ("same", Status.UNCONFIRMED), ("unknown", Status.UNCONFIRMED)],
)
def test_no_alarm_without_confirmation(word: Any, status: Status) -> None:
    suspicion = found(night(20, 11))
    assert confirmed(suspicion, Comparison(word, 1.08, None, 0.0001)).status == status


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([Status.SAME, Status.FASTER, Status.NEW, Status.UNJUDGED, Status.UNCONFIRMED], 0),
        ([Status.SAME, Status.SLOWER, Status.MISSING], 1),
        ([Status.LARGER], 1),
        ([Status.FLOAT], 1),
        ([Status.OTHERWISE], 1),
        ([Status.SAME, Status.MISSING], 3),
        ([Status.NOT_APPLICABLE], 3),  # nothing measured is never a pass
        ([], 3),
    ],
)
def test_the_exit_code(statuses: list[Status], code: int) -> None:
    assert exit_code([Finding(KEY, status, "") for status in statuses]) == code


def again(a: Row, b: Row) -> Comparison:
    return compare(split(a.samples_ns, a.turns), split(b.samples_ns, b.turns))


def test_fifty_nights_in_which_nothing_changed_raise_no_alarm() -> None:
    """Nights and turns of 2 % noise each; measured again, old and new share a night."""
    nights = [night(1000 + number, noise=0.02) for number in range(57)]
    findings = [found(nights[n], nights[n - 7 : n]) for n in range(7, 57)]
    suspicions = [finding for finding in findings if finding.status == Status.SLOWER]
    assert len(suspicions) <= 2
    alarms = [
        confirmed(finding, again(night(5000 + n, noise=0.005), night(6000 + n, noise=0.005)))
        for n, finding in enumerate(suspicions)
    ]
    assert [alarm.status for alarm in alarms] == [Status.UNCONFIRMED] * len(suspicions)


def test_ten_per_cent_are_found_in_noise_of_two() -> None:
    nights = [night(2000 + number, noise=0.02) for number in range(7)]
    statuses = [found(night(3000 + n, 11, noise=0.02), nights).status for n in range(20)]
    assert statuses.count(Status.SLOWER) >= 19


# --- JUnit ------------------------------------------------------------------------------------------


def test_junit_says_what_failed_what_could_not_be_measured_and_what_was_skipped() -> None:
    findings = [
        Finding(KEY, Status.SAME, "1.00×", 1.0, HISTORY[0]),
        Finding(("rpi4", *KEY[1:]), Status.SLOWER, "1.10×", 1.1, HISTORY[0]),
        Finding(("rpi4", *KEY[1:]), Status.MISSING, "unreachable"),
        Finding(("rpi4", *KEY[1:]), Status.NEW, "first"),
    ]
    root = ElementTree.fromstring(junit(findings))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    assert [suite.get("name") for suite in root] == ["local", "rpi4"]
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("slower", "1.10×")


def test_junit_holds_any_text() -> None:
    nasty = Finding(
        ("a\x00<&\"'", *KEY[1:]),
        Status.MISSING,
        "]]>\x1b[31m broken\nline \ud800".encode("utf-8", "replace").decode(),
    )
    root = ElementTree.fromstring(junit([nasty]))
    assert root[0].get("name") == "a�<&\"'"
