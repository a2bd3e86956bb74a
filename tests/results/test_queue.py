"""The queue of a night: every job is done once, whoever else works on it, goes silent or comes back too late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from bibench_deploy.results import Row, Store
from bibench_deploy.results.database import clock_s
from bibench_deploy.results.nights import open_night
from bibench_deploy.results.queue import Claimed, JobSpec, Queue, State
from support.rows import make_row

NIGHT = "2026-11-22"
#: A claim of this age is stale at once: the tests need not wait.
AT_ONCE_S = -1.0


def spec(device: str = "rpi4", model: str = "net", threads: int = 1, **facts: str | None) -> JobSpec:
    defaults = {"engine": "native", "variant": "bnn", "sha256": f"{model}'s", "engine_id": "e", "cpus": None}
    return JobSpec(
        **({"device": device, "model": model, "threads": threads, "unit": model} | defaults | facts)
    )  # type: ignore[arg-type]


def queue(store: Store, owner: str = "us", specs: Sequence[JobSpec] = (), stale_s: float = 120.0) -> Queue:
    open_night(store, "lab", NIGHT, "p" * 64, None, "host", datetime(2026, 11, 22, tzinfo=UTC))
    found = Queue(store, "lab", NIGHT, owner, stale_s)
    found.add(specs)
    return found


def row_of(claimed: Claimed) -> Row:
    return make_row(device=claimed.spec.device, model=claimed.spec.model, threads=claimed.spec.threads)


def threads(claimed: Sequence[Claimed]) -> list[int]:
    return [job.spec.threads for job in claimed]


def test_jobs_are_added_once_and_stay_as_they_are(store: Store) -> None:
    ours = queue(store)
    specs = [spec(threads=n) for n in (1, 2)]
    assert ours.add([*specs, specs[0]]) == 2
    (first, _) = ours.claim("rpi4")
    assert ours.done(first, row_of(first))
    assert ours.add([*specs, spec(threads=4)]) == 1
    assert [(job.spec, job.state) for job in ours.jobs()] == [
        (specs[0], State.DONE),
        (specs[1], State.TAKEN),
        (spec(threads=4), State.WAITING),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"sha256": "another artefact"},
        {"engine_id": "another program"},
        {"device": "pixel"},
        {"threads": 2},
        {"cpus": "big"},
    ],
)
def test_what_makes_a_job_another_one(store: Store, other: dict[str, str]) -> None:
    assert queue(store).add([spec(), spec(**other)]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [{"model": "renamed"}, {"variant": "fp32"}, {"engine": "x"}, {"unit": "y"}])
def test_what_does_not(store: Store, other: dict[str, str]) -> None:
    given = {"sha256": "one artefact"}
    assert queue(store).add([spec(**given), spec(**(given | other))]) == 1  # type: ignore[arg-type]


def test_a_night_that_was_not_opened_takes_no_jobs(store: Store) -> None:
    with pytest.raises(ValueError, match="lab/tonight was not opened"):
        Queue(store, "lab", "tonight", "us").add([spec()])


def test_units_are_claimed_whole_in_their_order_and_by_one(store: Store) -> None:
    specs = [spec(model=model, threads=n) for n in (1, 2) for model in ("a", "b")]
    ours, theirs = queue(store, "us", specs), Queue(store, "lab", NIGHT, "they")
    assert [job.spec for job in ours.claim("rpi4")] == [specs[0], specs[2]]
    assert [job.spec for job in theirs.claim("rpi4")] == [specs[1], specs[3]]
    assert ours.claim("rpi4") == theirs.claim("rpi4") == ours.claim("unheard of") == []


def test_nights_plans_and_devices_do_not_touch_each_other(store: Store) -> None:
    ours = queue(store, specs=[spec(), spec("pixel")])
    for plan, night in (("lab", "2026-11-23"), ("another", NIGHT)):
        open_night(store, plan, night, "p", None, "host", datetime(2026, 11, 22, tzinfo=UTC))
        other = Queue(store, plan, night, "us", AT_ONCE_S)
        assert other.add([spec()]) == 1
        other.quarantine("pixel", "broken")
        (claimed,) = other.claim("rpi4")
        assert other.beat() == 1
        assert ours.beat() == 0
        assert not ours.done(claimed, row_of(claimed))
        assert ours.release("us") == 0
    assert ours.counts() == {
        device: dict.fromkeys(State, 0) | {State.WAITING: 1} for device in ("rpi4", "pixel")
    }
    assert len(ours.claim("pixel")) == 1


def test_done_keeps_the_row_and_the_state_together(store: Store) -> None:
    ours = queue(store, specs=[spec()])
    (claimed,) = ours.claim("rpi4")
    row = row_of(claimed)
    assert ours.done(claimed, row)
    assert store.read().rows == (row,)
    (job,) = ours.jobs()
    assert (job.state, job.row_id, job.owner, job.attempts) == (State.DONE, row.id, "us", 0)
    assert ours.done(claimed, row)  # the first answer was lost on the way
    assert not ours.done(claimed, row_of(claimed))  # another measurement of it
    assert store.read().rows == (row,)


def test_a_row_that_can_not_be_kept_leaves_the_job_taken(store: Store) -> None:
    ours = queue(store, specs=[spec()])
    (claimed,) = ours.claim("rpi4")
    unwritable = row_of(claimed).model_copy(update={"engine": None})
    with pytest.raises(Exception, match=r"(?i)null"):
        ours.done(claimed, unwritable)
    assert [job.state for job in ours.jobs()] == [State.TAKEN]
    assert ours.done(claimed, row_of(claimed))


def test_an_owner_that_went_silent_loses_its_claims_and_what_it_says_later(store: Store) -> None:
    ours = queue(store, specs=[spec(threads=n) for n in (1, 2, 4)])
    late = ours.claim("rpi4")
    assert ours.done(late[0], row_of(late[0]))
    theirs = Queue(store, "lab", NIGHT, "they", AT_ONCE_S)
    taken = theirs.claim("rpi4")
    assert threads(taken) == [2, 4]
    assert [job.claim for job in taken] == [2, 2]
    assert not ours.done(late[1], row_of(late[1]))
    assert ours.failed(late[2], "no", 1) is None
    assert ours.give_back(late) == 0
    assert ours.beat() == 0
    assert all(theirs.done(job, row_of(job)) for job in taken)
    assert sorted(row.threads for row in store.read().rows) == [1, 2, 4]
    assert [(job.state, job.attempts, job.owner) for job in ours.jobs()] == [
        (State.DONE, 0, "us"),
        (State.DONE, 0, "they"),
        (State.DONE, 0, "they"),
    ]


def test_a_claim_of_the_same_owner_is_still_another_claim(store: Store) -> None:
    before = queue(store, specs=[spec()])
    (late,) = before.claim("rpi4")
    (now,) = Queue(store, "lab", NIGHT, "us", AT_ONCE_S).claim("rpi4")
    assert not before.done(late, row_of(late))
    assert before.done(now, row_of(now))


def test_whoever_beats_keeps_its_claims(store: Store) -> None:
    ours = queue(store, specs=[spec()])
    ours.claim("rpi4")
    with store.transaction(writes=True) as connection:
        connection.exec_driver_sql("UPDATE night_job SET beat_at = beat_at - 1000")
    theirs = Queue(store, "lab", NIGHT, "they")
    assert ours.beat() == 1
    assert theirs.claim("rpi4") == []
    with store.transaction(writes=True) as connection:
        connection.exec_driver_sql("UPDATE night_job SET beat_at = beat_at - 121")
    assert len(theirs.claim("rpi4")) == 1


def test_the_databases_clock_is_the_time_in_seconds(store: Store) -> None:
    with store.transaction() as connection:
        assert abs(connection.scalar(select(clock_s())) - datetime.now(UTC).timestamp()) < 60


def test_what_a_dead_owner_held_can_be_had_at_once(store: Store) -> None:
    queue(store, "dead", [spec(threads=n) for n in (1, 2)]).claim("rpi4")
    ours = queue(store)
    assert ours.claim("rpi4") == []
    assert ours.release("dead") == 2
    assert threads(ours.claim("rpi4")) == [1, 2]
    assert ours.release("dead") == 0


def test_a_job_is_tried_again_until_its_attempts_are_used_up(store: Store) -> None:
    ours = queue(store, specs=[spec()])
    for attempt, state in enumerate((State.WAITING, State.WAITING, State.FAILED)):
        (claimed,) = ours.claim("rpi4")
        assert claimed.attempts == attempt
        assert ours.failed(claimed, f"because of {attempt}", 3) == state
    assert ours.claim("rpi4") == []
    (job,) = ours.jobs()
    assert (job.state, job.attempts, job.said, job.row_id) == (State.FAILED, 3, "because of 2", None)


def test_what_was_interrupted_is_no_failure(store: Store) -> None:
    ours = queue(store, specs=[spec(threads=n) for n in (1, 2)])
    claimed = ours.claim("rpi4")
    assert ours.done(claimed[0], row_of(claimed[0]))
    assert ours.give_back(claimed) == 1
    (again,) = ours.claim("rpi4")
    assert (again.spec.threads, again.attempts, again.claim) == (2, 0, 2)


def test_a_device_in_quarantine_has_no_jobs_for_anyone(store: Store) -> None:
    ours = queue(store, specs=[spec(), spec("pixel")])
    assert [ours.device_failed("rpi4", f"no {n}") for n in "abc"] == [1, 2, 3]
    ours.quarantine("rpi4", "three times")
    ours.quarantine("rpi4", "again")
    assert ours.claim("rpi4") == Queue(store, "lab", NIGHT, "they").claim("rpi4") == []
    assert len(ours.claim("pixel")) == 1
    pixel, rpi4 = ours.devices()
    assert (pixel.device, pixel.failures, pixel.quarantined_at, pixel.said) == ("pixel", 0, None, None)
    assert (rpi4.device, rpi4.failures, rpi4.said) == ("rpi4", 3, "three times")
    assert rpi4.quarantined_at is not None
    assert [job.state for job in ours.jobs("rpi4")] == [State.WAITING]


def test_what_is_measured_may_still_be_said_of_a_device_in_quarantine(store: Store) -> None:
    ours = queue(store, specs=[spec()])
    (claimed,) = ours.claim("rpi4")
    Queue(store, "lab", NIGHT, "they").quarantine("rpi4", "broken")
    assert ours.done(claimed, row_of(claimed))


def test_a_call_reads_no_more_than_its_own_jobs(tmp_path: Path) -> None:
    """A claim among 100,000 jobs takes as long as among ten: each statement finds its rows by an index."""
    store = Store.at(str(tmp_path / "store.sqlite"))
    ours = queue(store, specs=[spec(threads=n) for n in range(1, 5)])
    said: list[tuple[str, Any]] = []
    with store.transaction() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", lambda *call: said.append((call[2], call[3])))
    first, second, third, _ = ours.claim("rpi4")
    assert ours.done(first, row_of(first))
    ours.failed(second, "no", 2)
    ours.give_back([third])
    ours.beat()
    ours.release("us")
    about = [(text, values) for text, values in said if "night_job" in text]
    assert len(about) >= 9
    with store.transaction() as connection:
        for text, values in about:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).mappings()
            steps = [row["detail"] for row in plan]
            assert not [s for s in steps if "SCAN" in s or s.endswith("(plan=? AND night=?)")], (text, steps)
