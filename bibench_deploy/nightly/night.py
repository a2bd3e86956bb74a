"""The life of a night: its jobs are queued, measured by one worker a device, judged, and reported once.

Whatever kills it, the same command goes on where it was: jobs that are done stay done, what was under way is
measured again, a night that was judged is reported as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bibench_deploy.errors import BibenchError, in_a_line
from bibench_deploy.results import Row, Selection, Store
from bibench_deploy.results.job import Health, Job, JobSpec, State
from bibench_deploy.results.nights import Night, rows_of_night
from bibench_deploy.results.queue import BEAT_S, Queue
from bibench_deploy.side_by_side import Work, side_by_side

from .baseline import Baseline, Choice, condensed
from .confirm import Confirming, confirm
from .document import Ill
from .events import Emit, Event, Stage
from .finding import Finding, Key, Unmeasured, Why, suspects
from .gate import Gate, judge
from .opening import Opens
from .owner import is_dead, owner
from .telling import counted
from .worker import Shared, Worker

#: Of a hundred jobs with thousands of samples each, so many nights are some 100 MB.
_NIGHTS_AT_ONCE = 10


@dataclass(frozen=True)
class Expected:
    """A job that a night is to tell of.

    Attributes:
        spec: None where there is no artefact; then ``unmeasured`` says why.
    """

    key: Key
    spec: JobSpec | None
    unmeasured: Unmeasured | None = None


@contextmanager
def queue_of(store: Store, night: Night, workspace: Path, warn: Callable[[str], None]) -> Iterator[Queue]:
    """The queue of a night, our claims kept alive while the block runs.

    What a process that had this workspace and is gone has claimed waits again at once.

    Raises:
        BibenchError: the store or the workspace can't be written.
    """
    with owner(workspace) as name:
        queue = Queue(store, night.plan, night.name, name)
        for other in {job.owner for job in queue.jobs() if job.state is State.TAKEN and job.owner}:
            if is_dead(workspace, other):
                queue.release(other)
        ended = threading.Event()
        beating = threading.Thread(target=_beat, args=(queue, ended, warn), name="beat", daemon=True)
        beating.start()
        try:
            yield queue
        finally:
            ended.set()
            beating.join()


def _beat(queue: Queue, ended: threading.Event, warn: Callable[[str], None]) -> None:
    while not ended.wait(BEAT_S):
        try:
            queue.beat()
        except BibenchError as error:  # the next one may get through; what is lost meanwhile is told as lost
            warn(f"the queue could not be told that we are alive: {error.message}")


def measure(opens: Mapping[str, Opens], shared: Shared, watch: Emit) -> None:
    """Measure all jobs that are there: a worker for each device.

    Raises:
        KeyboardInterrupt: every device and every claim was given back.
        BibenchError: the store failed.
    """

    def work(device: str) -> Work[Event]:
        return lambda emit: Worker(device, opens[device], shared, emit).work()

    try:
        side_by_side({device: work(device) for device in opens}, watch, shared.stop)
    except BaseException as error:
        # What a thread holds that did not end in time: its device hangs.
        try:
            shared.queue.release(shared.queue.owner)
        except BibenchError as failed:  # the next start of the night does it
            error.add_note(f"jobs that were under way could not be given back: {in_a_line(failed)}")
        raise


def findings(
    night: Night,
    expected: Sequence[Expected],
    queue: Queue,
    store: Store,
    choice: Choice,
    gate: Gate,
) -> list[Finding]:
    """What became of every expected job, by the gate; device by device, so that not all of history is in memory."""
    jobs = {_identity(job.spec): job for job in queue.jobs()}
    health = {health.device: health for health in queue.devices()}
    rows = {row.id: row for row in rows_of_night(store, night.plan, night.name).rows}
    found = []
    for device in dict.fromkeys(entry.key[0] for entry in expected):
        mine = [entry for entry in expected if entry.key[0] == device]
        tonight = [row for entry in mine if (row := _row(entry, jobs, rows)) is not None]
        unmeasured = {
            entry.key: why for entry in mine if (why := _why_not(entry, jobs, health.get(device))) is not None
        }
        before = Baseline(choice, _history(store, choice, device))
        found += judge([entry.key for entry in mine], night, tonight, before, gate, unmeasured)
    return found


def confirmed(
    found: Sequence[Finding], opens: Mapping[str, Opens], needs: Confirming, watch: Emit
) -> list[Finding]:
    """Findings, the suspicions among them measured again; devices side by side.

    Raises:
        KeyboardInterrupt: every device was given back.
    """
    suspected = suspects(found)
    if not suspected:
        return list(found)
    by_device: dict[str, list[Finding]] = {}
    for finding in suspected:
        by_device.setdefault(finding.key[0], []).append(finding)
    count = f"{counted(len(suspected), 'suspicion')} on {counted(len(by_device), 'device')}"
    watch(Stage(f"measuring again what looks slower: {count}"))
    again: dict[Key, Finding] = {}
    lock = threading.Lock()

    def work(device: str) -> Work[Event]:
        def confirming(emit: Emit) -> None:
            became = confirm(device, opens[device], by_device[device], needs, emit)
            with lock:
                again.update({finding.key: finding for finding in became})

        return confirming

    side_by_side({device: work(device) for device in by_device}, watch, needs.stop)
    return [again.get(finding.key, finding) for finding in found]


def ill(health: Sequence[Health]) -> list[Ill]:
    """The devices that failed in the night."""
    return [
        Ill(
            device=device.device,
            failures=device.failures,
            quarantined=device.quarantined_at is not None,
            words=device.said or "",
        )
        for device in health
        if device.failures or device.quarantined_at
    ]


def distinct(expected: Sequence[Expected]) -> list[Expected]:
    """Each job once: two models whose artefacts are byte for byte the same are measured as the first of them."""
    seen: set[object] = set()
    kept = []
    for entry in expected:
        identity: object = _identity(entry.spec) if entry.spec is not None else entry.key
        if identity not in seen:
            seen.add(identity)
            kept.append(entry)
    return kept


_Identity = tuple[str, str, str, int, str | None]


def _identity(spec: JobSpec) -> _Identity:
    return spec.sha256, spec.engine_id, spec.device, spec.threads, spec.cpus


def _row(entry: Expected, jobs: Mapping[_Identity, Job], rows: Mapping[UUID, Row]) -> Row | None:
    job = jobs.get(_identity(entry.spec)) if entry.spec is not None else None
    return rows.get(job.row_id) if job is not None and job.row_id is not None else None


def _why_not(entry: Expected, jobs: Mapping[_Identity, Job], health: Health | None) -> Unmeasured | None:
    """Why a job has no row; None for one that has."""
    if entry.spec is None:
        return entry.unmeasured
    job = jobs.get(_identity(entry.spec))
    if job is None or job.state is State.DONE:
        return None
    if job.state is State.FAILED:
        return Unmeasured.parse(job.said or "failed")
    if health is not None and health.quarantined_at is not None:
        words = f"the device was left alone after {health.failures} failures: {health.said}"
    elif job.state is State.TAKEN:
        words = f"{job.owner} was at it when the night ended"
    else:
        words = "was not begun: the budget was used up"
    return Unmeasured(Why.INFRASTRUCTURE, words)


def _history(store: Store, choice: Choice, device: str) -> tuple[Row, ...]:
    """A device's rows of the nights before, read a few nights at a time: their samples are many."""
    sessions = [night.session for night in choice.nights]
    parts = [
        tuple(sessions[start : start + _NIGHTS_AT_ONCE]) for start in range(0, len(sessions), _NIGHTS_AT_ONCE)
    ]
    return tuple(
        condensed(row)
        for part in parts
        for row in store.read(Selection(devices=(device,), sessions=part)).rows
    )
