"""What is decided about one device in a night. The queue is the real one, in a store of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bibench_deploy.errors import (
    ConnectionLostError,
    DeviceComputesOtherwiseError,
    DeviceUnfitError,
    EngineError,
    InputError,
    StepTimeoutError,
    StoreError,
    UnreachableError,
)
from bibench_deploy.nightly import worker as worker_module
from bibench_deploy.nightly.events import DeviceFailed, Doing, Event, JobFailed, Now
from bibench_deploy.nightly.finding import Unmeasured, Why
from bibench_deploy.nightly.opening import Opened
from bibench_deploy.nightly.patience import Patience
from bibench_deploy.nightly.worker import Shared, Worker
from bibench_deploy.profile_plan import Said
from bibench_deploy.results import Store
from bibench_deploy.results.job import JobSpec, State
from bibench_deploy.results.nights import open_night
from bibench_deploy.results.queue import Queue
from bibench_deploy.runners.device.lease import LeaseLostError
from bibench_deploy.runners.device.stopping import Stopped
from support.scripted_device import QUICK, ScriptedDevice, artefact, spec

NET, TWIN, OTHER = artefact(), artefact(variant="fp32"), artefact("other")
GONE = UnreachableError("no answer", device="board", step="connecting")
LOST = ConnectionLostError("the connection broke", device="board", step="measuring")
#: After a worker has certainly begun, s: a machine may be busy.
SOON_S = 3.0
HANGS = StepTimeoutError("took longer than 8 s", device="board", step="measuring")


class Night:
    """A night with some jobs, and a worker on its device."""

    def __init__(self, folder: Path, *specs: JobSpec, **patience: object) -> None:
        self.store = Store.at(str(folder / "results.sqlite"))
        self.store.check()
        open_night(self.store, "lab", "tonight", "0" * 64, None, "here", datetime.now(UTC))
        self.queue = self.owned_by("we")
        self.queue.add(specs or [spec(TWIN), spec(NET)])
        self.device = ScriptedDevice()
        self.events: list[Event] = []
        artefacts = {each.manifest.sha256: each for each in (NET, TWIN, OTHER)}
        given = {"pause_s": 0.0} | patience
        self.shared = Shared(self.queue, artefacts.get, QUICK, "lab/tonight", Patience(**given))  # type: ignore[arg-type]

    def owned_by(self, name: str, stale_s: float = 120.0) -> Queue:
        return Queue(self.store, "lab", "tonight", name, stale_s)

    def work(self) -> None:
        Worker("board", self.device, self.shared, self.events.append).work()

    @property
    def states(self) -> list[State]:
        return [job.state for job in self.queue.jobs()]

    @property
    def said(self) -> list[str | None]:
        return [job.said for job in self.queue.jobs()]

    def rows(self) -> list[tuple[str, int]]:
        return sorted((row.sha256, row.threads) for row in self.store.read().rows)

    def of(self, kind: type[Event]) -> Sequence[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def test_a_unit_is_measured_in_turns_and_stored_under_the_nights_session(tmp_path: Path) -> None:
    night = Night(tmp_path, spec(TWIN), spec(NET), spec(OTHER))
    night.work()
    assert night.states == [State.DONE] * 3
    assert night.device.opened == [None]  # once for all units
    first = [job.artefact for job in night.device.measured[:4]]
    assert first == [TWIN.path, NET.path, TWIN.path, NET.path]
    assert OTHER.path not in [
        job.artefact for job in night.device.measured[: -len(night.device.measured) // 3]
    ]
    rows = {row.id: row for row in night.store.read().rows}
    assert {row.session for row in rows.values()} == {"lab/tonight"}
    assert [rows[job.row_id].sha256 for job in night.queue.jobs() if job.row_id] == [
        each.manifest.sha256 for each in (TWIN, NET, OTHER)
    ]
    assert night.events[-1] == Now("board", Doing.ENDED)


def test_a_second_start_does_nothing_twice(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.work()
    night.work()
    assert len(night.rows()) == 2
    assert night.device.opened == [None]


@pytest.mark.parametrize("where", ["opens", "turns"])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_device_that_fails_is_tried_again(tmp_path: Path, where: str, failures: int) -> None:
    night = Night(tmp_path)
    getattr(night.device, where).extend([GONE] * failures)
    night.work()
    assert night.states == [State.DONE] * 2
    assert len(night.rows()) == 2
    assert [event.failures for event in night.of(DeviceFailed) if isinstance(event, DeviceFailed)] == list(
        range(1, failures + 1)
    )
    assert [job.attempts for job in night.queue.jobs()] == [0, 0]  # no job's failure


@pytest.mark.parametrize("where", ["opens", "turns"])
def test_the_third_failure_in_a_night_is_the_last(tmp_path: Path, where: str) -> None:
    night = Night(tmp_path)
    getattr(night.device, where).extend([LOST] * 10)
    night.work()
    assert night.states == [State.WAITING] * 2
    (health,) = night.queue.devices()
    assert (health.failures, health.quarantined_at is not None) == (3, True)
    assert "the connection broke" in (health.said or "")
    assert night.events[-1] == Now("board", Doing.QUARANTINED, health.said or "")
    night.work()  # started again in the same night: it stays alone
    assert night.events[-1] == Now("board", Doing.QUARANTINED, health.said or "")
    assert len(getattr(night.device, where)) == 7


def test_what_was_done_before_the_device_failed_is_kept(tmp_path: Path) -> None:
    night = Night(tmp_path, spec(NET), spec(OTHER))

    def fail_for_good() -> None:
        if len(night.rows()) == 1:
            night.device.opens = [GONE] * 3
            raise LOST

    night.device.turns = [fail_for_good] * 100
    night.work()
    assert night.states == [State.DONE, State.WAITING]


def test_a_job_that_hangs_fails_alone(tmp_path: Path) -> None:
    """It costs the device two failures, one less than quarantine."""
    night = Night(tmp_path, spec(NET), spec(OTHER))

    def hang() -> None:
        if night.device.measured[-1].artefact == NET.path:
            raise HANGS

    night.device.turns = [hang] * 100
    night.work()
    assert night.states == [State.FAILED, State.DONE]
    assert "8 s" in (night.said[0] or "")


@pytest.mark.parametrize(
    ("error", "attempts", "why"),
    [
        (EngineError("crashed"), 2, Why.INFRASTRUCTURE),
        (DeviceUnfitError("killed: out of memory"), 1, Why.INFRASTRUCTURE),
        (InputError("no program is registered"), 1, Why.INFRASTRUCTURE),
        (DeviceComputesOtherwiseError("the device computes something else"), 1, Why.OTHERWISE),
    ],
)
def test_a_jobs_own_failure(tmp_path: Path, error: Exception, attempts: int, why: Why) -> None:
    night = Night(tmp_path)

    def fail() -> None:
        if night.device.measured[-1].artefact == NET.path:
            raise error

    night.device.turns = [fail] * 100
    night.work()
    assert night.states == [State.DONE, State.FAILED]
    assert night.queue.jobs()[1].attempts == attempts
    assert Unmeasured.parse(night.said[1] or "").why is why
    assert [event.again for event in night.of(JobFailed) if isinstance(event, JobFailed)] == [True] * (
        attempts - 1
    ) + [False]
    assert night.queue.devices()[0].failures == 0


@pytest.mark.parametrize("where", ["opens", "turns", "checks"])
def test_a_lease_that_was_lost_is_nobodys_failure(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "LOOK_S", 0.0)
    night = Night(tmp_path)
    lost = GONE if where == "checks" else LeaseLostError("someone else took it")
    getattr(night.device, where).append(lost)
    night.work()
    assert night.states == [State.DONE] * 2
    assert len(night.rows()) == 2
    assert [(health.failures, health.quarantined_at) for health in night.queue.devices()] == [(0, None)]


def test_a_claim_that_was_lost_gives_no_row(tmp_path: Path) -> None:
    night = Night(tmp_path, spec(NET))
    other = night.owned_by("other", stale_s=-1)

    def slept_too_long() -> None:
        (claimed,) = other.claim("board")
        assert claimed.spec.sha256 == NET.manifest.sha256
        other.give_back([claimed])

    night.device.turns = [slept_too_long]
    night.work()
    assert night.states == [State.DONE]
    assert len(night.rows()) == 1
    assert any(isinstance(event, Said) and "dropped" in event.message for event in night.events)


def test_jobs_of_another_host_are_waited_for_and_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "LOOK_S", 0.01)
    night = Night(tmp_path, spec(NET), spec(OTHER))
    other = night.owned_by("other")
    claims = other.claim("board")
    waited = threading.Event()

    def watch(event: Event) -> None:
        night.events.append(event)
        if isinstance(event, Now) and event.doing is Doing.WAITING and not waited.is_set():
            assert not night.device.is_open  # nobody else is kept from it meanwhile
            waited.set()
            other.give_back(claims)  # as when its owner's beats are stale

    Worker("board", night.device, night.shared, watch).work()
    assert waited.is_set()
    assert night.states == [State.DONE] * 2


def test_units_on_other_cores_are_opened_anew(tmp_path: Path) -> None:
    night = Night(tmp_path, spec(NET, cpus="big", unit="a"), spec(NET, cpus="little", unit="b"))
    night.work()
    assert night.device.opened == ["big", "little"]
    assert [row.cpus for row in night.store.read().rows] == ["big", "little"]


def test_a_device_without_such_cores_fails_the_jobs_that_ask_for_them(tmp_path: Path) -> None:
    night = Night(tmp_path, spec(NET, cpus="big", unit="a"), spec(OTHER, unit="b"))
    night.device.opens = [InputError("it has no big cores", where="board, --cpus big")]
    night.work()
    assert night.states == [State.FAILED, State.DONE]
    assert "no big cores" in (night.said[0] or "")


def test_the_same_job_for_two_versions_of_a_program_is_measured_for_each(tmp_path: Path) -> None:
    """A night that went on with another program than it began with."""
    night = Night(tmp_path, spec(NET), spec(NET, engine_id="f" * 64))
    night.work()
    assert night.states == [State.DONE] * 2


def test_a_job_without_an_artefact_here_fails_with_its_reason(tmp_path: Path) -> None:
    night = Night(tmp_path, spec(artefact("unknown")), spec(NET))
    night.work()
    assert night.states == [State.FAILED, State.DONE]
    assert "no such artefact" in (night.said[0] or "")


def test_what_an_engine_refuses_is_a_row_that_says_why(tmp_path: Path) -> None:
    night = Night(tmp_path, spec(NET, cpus="big"))
    night.device.refusal = "one thread at most"
    night.work()
    (row,) = night.store.read().rows
    assert (row.state, row.reasons, row.cpus) == ("not_applicable", ["one thread at most"], "big")


@pytest.mark.parametrize(
    "patience", [{"night_ends": datetime.now(UTC) - timedelta(seconds=1)}, {"device_s": 0.0}]
)
def test_nothing_is_begun_when_the_budget_is_used_up(tmp_path: Path, patience: dict[str, object]) -> None:
    night = Night(tmp_path, **patience)
    night.work()
    assert night.states == [State.WAITING] * 2
    assert night.device.opened == []
    assert any(isinstance(event, Said) and "budget" in event.message for event in night.events)


def test_a_device_that_someone_else_has_is_waited_for_no_longer_than_the_budget(tmp_path: Path) -> None:
    night = Night(tmp_path, night_ends=datetime.now(UTC) + timedelta(seconds=SOON_S))
    waited: list[bool] = []

    @contextmanager
    def taken(cpus: str | None, say: Callable[[str], None], stop: threading.Event) -> Iterator[Opened]:
        waited.append(stop.wait(60))  # as a lease is waited for
        raise Stopped
        yield

    Worker("board", taken, night.shared, night.events.append).work()
    assert waited == [True]
    assert night.states == [State.WAITING] * 2


def test_what_was_begun_in_time_is_ended(tmp_path: Path) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=SOON_S)
    night = Night(tmp_path, spec(NET), spec(OTHER), night_ends=ends)
    night.device.turns = [lambda: time.sleep((ends - datetime.now(UTC)).total_seconds() + 0.01)]
    night.work()
    assert night.states == [State.DONE, State.WAITING]


@pytest.mark.parametrize("moment", ["measuring", "resting", "before"])
def test_stopping_gives_claims_and_device_back(tmp_path: Path, moment: str) -> None:
    night = Night(tmp_path)
    if moment == "measuring":
        night.device.turns = [night.shared.stop.set]
    elif moment == "resting":
        night.shared = replace(night.shared, patience=Patience(pause_s=60.0))
        night.device.opens = [GONE]
    else:
        night.shared.stop.set()

    def watch(event: Event) -> None:
        if isinstance(event, Now) and event.doing is Doing.RESTING:
            night.shared.stop.set()

    with pytest.raises(Stopped):
        Worker("board", night.device, night.shared, watch).work()
    assert night.states == [State.WAITING] * 2
    assert [job.attempts for job in night.queue.jobs()] == [0, 0]
    assert not night.device.is_open


def test_a_store_that_fails_is_no_failure_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(tmp_path)

    def broken(*arguments: object) -> bool:
        raise StoreError("the database can't be reached")

    monkeypatch.setattr(night.queue, "done", broken)
    with pytest.raises(StoreError):
        night.work()
    assert night.states == [State.WAITING] * 2
    assert night.queue.devices()[0].failures == 0
