"""What a second look makes of a suspicion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bibench_deploy.nightly.confirmation import (
    Again,
    HowTo,
    changes,
    confirmed,
    how_to_confirm,
    unconfirmable,
)
from bibench_deploy.nightly.finding import Finding, Status
from bibench_deploy.results import Row
from support.nights import found, row, rows, turns_of

OLD, NEW, PROGRAM, OTHER_PROGRAM = "b" * 64, "c" * 64, "1" * 64, "2" * 64
HISTORY = rows([10] * 8, engine_sha256=PROGRAM)
FACTOR = 1.05


def suspicion(**facts: Any) -> Finding:
    """Ten per cent slower."""
    finding = found(row(8, 11, **({"engine_sha256": PROGRAM} | facts)), HISTORY)
    assert finding.status is Status.SUSPECT
    return finding


def opening(
    new_ms: float, old_ms: float | None = None, seed: int = 0, disturbed: tuple[str, ...] = ()
) -> Again:
    random = np.random.default_rng(seed)
    new = turns_of(new_ms, 0.005, random)
    return Again(new, None if old_ms is None else turns_of(old_ms, 0.005, random), disturbed)


def openings(new_ms: float, old_ms: float | None = None) -> list[Again]:
    return [opening(new_ms, old_ms, seed) for seed in range(3)]


# --- how --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "artefacts", "programs", "changed", "artefact", "program"),
    [
        ({}, {OLD}, {PROGRAM}, (), None, None),
        ({"sha256": NEW}, {OLD}, set(), ("artefact",), OLD, None),
        ({"sha256": NEW}, set(), {PROGRAM}, ("artefact",), None, None),
        ({"engine_sha256": OTHER_PROGRAM}, {OLD}, {PROGRAM}, ("engine",), OLD, PROGRAM),
        ({"engine_sha256": OTHER_PROGRAM}, {OLD}, set(), ("engine",), None, None),
        (
            {"sha256": NEW, "engine_sha256": OTHER_PROGRAM},
            {OLD},
            {PROGRAM},
            ("artefact", "engine"),
            OLD,
            PROGRAM,
        ),
        # a library in this process: its version is all that is known of it
        (
            {"engine_sha256": None, "versions": {"larq-compute-engine": "0.17"}},
            {OLD},
            set(),
            ("engine",),
            None,
            None,
        ),
    ],
)
def test_it_is_measured_beside_what_it_was_where_all_of_that_is_at_hand(
    facts: dict[str, Any],
    artefacts: set[str],
    programs: set[str],
    changed: tuple[str, ...],
    artefact: str | None,
    program: str | None,
) -> None:
    how = how_to_confirm(suspicion(**facts), artefacts, programs)
    assert (how.changed, how.artefact, how.program) == (changed, artefact, program)


def test_the_reference_is_from_before_the_step_not_of_last_night() -> None:
    history = [*rows([10] * 8, sha256=OLD), row(8, 11, sha256=NEW)]
    again = found(row(9, 11, sha256=NEW), history)
    assert how_to_confirm(again, {OLD, NEW}, set()).artefact == OLD


def test_only_suspicions_are_confirmed() -> None:
    same = found(row(8, 10), HISTORY)
    with pytest.raises(ValueError, match="not a suspicion"):
        how_to_confirm(same, set(), set())
    with pytest.raises(ValueError, match="nothing to confirm"):
        confirmed(same, HowTo(()), openings(11), FACTOR)
    with pytest.raises(ValueError, match="nothing to confirm"):
        confirmed(suspicion(), HowTo(()), [], FACTOR)


def test_versions_of_an_engine_without_a_program_count() -> None:
    old: Row = HISTORY[0].model_copy(update={"engine_sha256": None})
    assert changes(old, old.model_copy(update={"versions": {"larq-compute-engine": "0.17"}})) == ("engine",)
    assert changes(old, old) == ()


# --- what comes of it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new_ms", "old_ms", "status"),
    [
        (11.0, 10.0, Status.SLOWER),
        (10.0, 10.0, Status.UNCONFIRMED),  # the device had a bad hour
        (10.2, 10.0, Status.UNCONFIRMED),
        (11.0, 11.0, Status.DEVICE_SLOWER),  # and still has
        (13.0, 11.0, Status.SLOWER),  # both
        (9.0, 10.0, Status.UNCONFIRMED),
    ],
)
def test_beside_the_old_artefact(new_ms: float, old_ms: float, status: Status) -> None:
    finding = confirmed(suspicion(sha256=NEW), HowTo(("artefact",), OLD), openings(new_ms, old_ms), FACTOR)
    assert finding.status == status
    assert "measured again beside the old artefact" in finding.words


def test_one_slow_process_is_no_slow_artefact() -> None:
    """Modes by the luck of a process: slow in two openings of three does not do."""
    again = [opening(13, 10, 0), opening(13, 10, 1), opening(10, 10, 2)]
    finding = confirmed(suspicion(sha256=NEW), HowTo(("artefact",), OLD), again, FACTOR)
    assert finding.status == Status.UNCONFIRMED
    assert "in 3 openings" in finding.words


@pytest.mark.parametrize(
    ("changed", "new_ms", "disturbed", "status"),
    [
        ((), 11.0, (), Status.DEVICE_SLOWER),
        ((), 10.0, (), Status.UNCONFIRMED),
        (("engine",), 11.0, (), Status.SLOWER),
        (("engine",), 11.0, ("other load",), Status.SUSPECT),
        (("engine",), 10.0, ("other load",), Status.UNCONFIRMED),
    ],
)
def test_alone(changed: tuple[str, ...], new_ms: float, disturbed: tuple[str, ...], status: Status) -> None:
    again = [opening(new_ms, None, seed, disturbed) for seed in range(3)]
    assert confirmed(suspicion(), HowTo(changed), again, FACTOR).status == status


@pytest.mark.parametrize(
    ("new_ms", "status", "words"),
    [(11.0, Status.SLOWER, "also larger"), (10.0, Status.LARGER, "; latency: ")],
)
def test_what_is_larger_stays_so_whatever_becomes_of_its_latency(
    new_ms: float, status: Status, words: str
) -> None:
    finding = suspicion(sha256=NEW, size_bytes=1_100_000)
    found_now = confirmed(finding, HowTo(("artefact",), OLD), openings(new_ms, 10.0), FACTOR)
    assert found_now.status is status
    assert words in found_now.words
    gone = unconfirmable(finding, "rpi4 is unreachable")
    assert (gone.status, "rpi4 is unreachable" in gone.words) == (Status.LARGER, True)


def test_what_could_not_be_measured_again_stays_a_suspicion() -> None:
    finding = unconfirmable(suspicion(), "rpi4 is unreachable")
    assert finding.status is Status.SUSPECT
    assert "rpi4 is unreachable" in finding.words
    short = Again([[11_000_000] * 3] * 2, [[10_000_000] * 3] * 2)
    assert confirmed(suspicion(), HowTo(("artefact",), OLD), [short], FACTOR).status is Status.SUSPECT
    assert confirmed(suspicion(), HowTo(()), [Again(short.new)], FACTOR).status is Status.SUSPECT
