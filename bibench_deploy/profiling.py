"""The pipeline behind ``bibench-deploy profile``: artefacts on devices, measured side by side, become rows.

Each device is measured by itself, several at once; what happens there arrives as events in one place, which keeps
the rows: a finished measurement is stored before anything else happens to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bibench_deploy.errors import BibenchError, DeviceError, DeviceUnfitError
from bibench_deploy.results import Row
from bibench_deploy.results.record import not_applicable, row_of
from bibench_deploy.runners.device.stopping import Stopped
from bibench_deploy.runners.measure import Failure, Job, measure
from bibench_deploy.runners.timing import MeasureRule
from bibench_deploy.runners.workspace import Artefact

from .profile_plan import (
    Emit,
    Event,
    Failed,
    Finished,
    Outcome,
    Place,
    Plan,
    Pushed,
    Said,
    Target,
    Turned,
)
from .side_by_side import Work, side_by_side
from .sweep import Key, key_of


def profile(
    targets: Sequence[Target],
    plan: Plan,
    session: str,
    done: Mapping[Key, Row],
    keep: Callable[[Row], None],
    watch: Callable[[Event], None],
) -> Outcome:
    """Measure a plan on devices.

    Args:
        session: id of the sweep that the rows belong to.
        done: rows that an earlier run of the command measured; these jobs are left out.
        keep: stores a row; not disturbed by Ctrl-C if it says so itself.
        watch: told of every event, after its row was kept.

    Raises:
        KeyboardInterrupt: after every device has been given back, or a while later.
        BibenchError: a row can't be kept.
    """
    outcome = Outcome(dict(done))
    stop = threading.Event()

    def handle(event: Event) -> None:
        if isinstance(event, Finished):
            _keep(event, keep)
            outcome.rows[key_of(event.row)] = event.row
        elif isinstance(event, Failed):
            outcome.failures.append(event)
        elif isinstance(event, Pushed):
            outcome.pushed[event.device] = event.size_bytes
        watch(event)

    if len(targets) == 1:  # here: Ctrl-C reaches it at once, whatever it does

        def emit(event: Event) -> None:
            try:
                handle(event)
            except BibenchError as error:
                raise _NotHandledError(error) from error

        try:
            _at(targets[0], plan, session, done, emit, stop)
        except _NotHandledError as failed:
            raise failed.error from None
        return outcome

    def work(target: Target) -> Work[Event]:
        return lambda emit: _at(target, plan, session, done, emit, stop)

    side_by_side({target.name: work(target) for target in targets}, handle, stop)
    return outcome


def _keep(finished: Finished, keep: Callable[[Row], None]) -> None:
    row = finished.row
    try:
        keep(row)
    except Exception as error:
        error.add_note(
            f"{finished.device}: {row.file}, threads {row.threads}: was measured and could not be kept"
        )
        raise


def _at(
    target: Target,
    plan: Plan,
    session: str,
    done: Mapping[Key, Row],
    emit: Emit,
    stop: threading.Event,
) -> None:
    """Measure a plan on one device; whatever the device does becomes an event."""
    left = [[job for job in jobs if plan.key(target, job) not in done] for jobs in plan.jobs(target)]
    if not any(left):
        return
    try:
        with target.opened(lambda message: emit(Said(target.name, message)), stop) as place:
            try:
                for jobs in left:
                    _measure(target, place, jobs, plan, session, emit, stop)
            finally:
                if place.pushed_bytes is not None:
                    emit(Pushed(target.name, place.pushed_bytes))
    except _DeviceGoneError as gone:
        emit(Failed(target.name, gone.job, gone.error))
    except BibenchError as error:
        emit(Failed(target.name, None, error))


class _NotHandledError(Exception):
    """An event could not be handled; that is no failure of the device."""

    def __init__(self, error: BibenchError) -> None:
        super().__init__(str(error))
        self.error = error


class _DeviceGoneError(Exception):
    """The rest of the device's jobs would fail alike."""

    def __init__(self, job: Job, error: BibenchError) -> None:
        super().__init__(str(error))
        self.job, self.error = job, error


def _measure(
    target: Target, place: Place, jobs: list[Job], plan: Plan, session: str, emit: Emit, stop: threading.Event
) -> None:
    device = target.name

    def turned(job: Job, runs: int) -> None:
        if stop.is_set():
            raise Stopped
        emit(Turned(device, job, runs))

    work = measured(device, place, jobs, plan.artefacts, plan.rule, session, turned, per_op=plan.per_op)
    with closing(work) as results:
        for result in results:
            if isinstance(result, Measured):
                target.check()
                emit(Finished(device, result.row))
                continue
            if concerns_the_device(result.error):
                raise _DeviceGoneError(result.job, result.error)
            emit(Failed(device, result.job, result.error))


@dataclass(frozen=True)
class Measured:
    """A job that has become a row."""

    job: Job
    row: Row


def measured(
    device: str,
    place: Place,
    jobs: Sequence[Job],
    artefacts: Mapping[Path, Artefact],
    rule: MeasureRule,
    session: str,
    turned: Callable[[Job, int], None],
    *,
    per_op: bool = False,
) -> Generator[Measured | Failure]:
    """Measure jobs that are compared with each other on an open device; each is yielded as soon as it is done.

    Args:
        artefacts: those of the jobs, by path.
        session: what the rows belong to.
        turned: told after each turn how many timed runs a job has; what it raises ends the measuring.
        per_op: whether layers are timed one by one, too.
    """
    able = []
    for job in jobs:
        artefact = artefacts[job.artefact]
        reason = place.refuses(artefact, job.threads)
        if reason is None:
            able.append(job)
            continue
        row = not_applicable(
            job.threads, artefact.manifest, device, place.host, reason, session=session, cpus=place.cpus
        )
        yield Measured(job, row)
    with closing(measure(able, rule, turned, place.open_worker)) as results:
        for result in results:
            if isinstance(result, Failure):
                yield result
                continue
            facts = {"session": session} | place.facts(result.job)
            if per_op:  # before the next turn: nothing else runs now
                facts["operators"] = place.operators(result.job)
            manifest = artefacts[result.job.artefact].manifest
            yield Measured(result.job, row_of(result, manifest, device, place.host, **facts))


def concerns_the_device(error: BibenchError) -> bool:
    """Whether another job would meet the same: not if this one was too large, or needs what the processor lacks."""
    return isinstance(error, DeviceError) and not isinstance(error, DeviceUnfitError)
