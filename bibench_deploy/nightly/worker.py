"""One device in a night: it is opened, looked at, and measured unit by unit until nothing of it is left.

What goes wrong is either the device's (it is given a pause, and left alone for the night after some failures) or a
job's (it is tried again, and then is failed). A lease or a claim that was lost is nobody's failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bibench_deploy.errors import (
    BibenchError,
    DeviceBusyError,
    DeviceError,
    DeviceUnfitError,
    InputError,
    RefusedError,
    StepTimeoutError,
    in_a_line,
)
from bibench_deploy.profile_plan import Said
from bibench_deploy.profiling import Measured, concerns_the_device, measured
from bibench_deploy.results import Row
from bibench_deploy.results.job import Claimed, State
from bibench_deploy.results.queue import Queue
from bibench_deploy.runners.device.lease import LeaseLostError
from bibench_deploy.runners.device.stopping import Stopped
from bibench_deploy.runners.measure import Job
from bibench_deploy.runners.timing import MeasureRule, summarise
from bibench_deploy.runners.workspace import Artefact

from .events import DeviceFailed, Doing, Done, Emit, JobFailed, Now, Turned
from .finding import Unmeasured, Why
from .opening import Opened, Opens, Waiting
from .patience import Patience

#: Pause between two looks at jobs that another host is at, s.
LOOK_S = 5.0


@dataclass(frozen=True)
class Shared:
    """What the workers of a night have in common.

    Attributes:
        artefact_of: by sha256; None where this host has none such.
        session: that the rows belong to.
        stop: set when the command is to be ended.
    """

    queue: Queue
    artefact_of: Callable[[str], Artefact | None]
    rule: MeasureRule
    session: str
    patience: Patience
    stop: threading.Event = field(default_factory=threading.Event)


class Worker:
    """Works on one device, in one thread.

    Args:
        device: its name.
        opens: opens it.
    """

    def __init__(self, device: str, opens: Opens, shared: Shared, emit: Emit) -> None:
        self._device, self._opens, self._shared, self._emit = device, opens, shared, emit
        self._queue, self._patience, self._stop = shared.queue, shared.patience, shared.stop
        self._held: dict[int, Claimed] = {}
        self._used_s = 0.0

    def work(self) -> None:
        """Measure until nothing is left that can be.

        Raises:
            Stopped: told to; all claims were given back.
            BibenchError: the store failed.
        """
        try:
            claims = self._next()
            while claims:
                claims = self._visit(claims)
        finally:
            self._give_back()
        reason = self._quarantined()
        self._now(Doing.ENDED if reason is None else Doing.QUARANTINED, reason or "")

    # --- visits to the device ---------------------------------------------------------------------------

    def _visit(self, claims: Sequence[Claimed]) -> Sequence[Claimed]:
        """Open the device, measure what can be, and give what is to be done next."""
        cpus = claims[0].spec.cpus
        self._now(Doing.OPENING)
        waiting = Waiting(self._stop, self._patience.night_ends)
        try:
            with self._opens(cpus, self._say, waiting) as opened:
                waiting.is_over()
                claims = self._measure_all(opened, claims, cpus)
        except Stopped:
            if self._stop.is_set():
                raise
            self._give_back()  # someone else has the device, and the night is over
            return []
        except (LeaseLostError, DeviceBusyError) as error:
            self._say(f"{error.message}; its jobs are given back")
            self._give_back()
            self._pause(LOOK_S)
            return self._next()
        except DeviceError as error:
            return self._next() if self._may_try_again(error) else []
        except InputError as error:
            for claim in list(self._held.values()):
                self._fail(claim, error)
            return self._next()
        return claims or self._next()

    def _measure_all(self, opened: Opened, claims: Sequence[Claimed], cpus: str | None) -> Sequence[Claimed]:
        """Units, until none is left; gives one that has to be measured on other cores."""
        while claims and claims[0].spec.cpus == cpus:
            self._now(Doing.MEASURING)
            begun = time.monotonic()
            try:
                self._measure(opened, claims)
            finally:
                self._used_s += time.monotonic() - begun
            claims = self._claim()
        return claims

    def _measure(self, opened: Opened, claims: Sequence[Claimed]) -> None:
        """One unit, in turns."""
        left = list(claims)
        while left:
            batch, artefacts, left = self._batch(left)
            if batch:
                self._in_turns(opened, batch, artefacts)

    def _batch(
        self, claims: Sequence[Claimed]
    ) -> tuple[dict[Job, Claimed], dict[Path, Artefact], list[Claimed]]:
        """What can be measured together, and what is left: the same job twice, for two versions of a program."""
        batch: dict[Job, Claimed] = {}
        artefacts: dict[Path, Artefact] = {}
        left = []
        for claim in claims:
            artefact = self._shared.artefact_of(claim.spec.sha256)
            if artefact is None:
                self._give_up(
                    claim, "this host has no such artefact (another plan, or another version of it?)"
                )
                continue
            job = Job(artefact.path, claim.spec.threads)
            if job in batch:
                left.append(claim)
            else:
                batch[job] = claim
                artefacts[artefact.path] = artefact
        return batch, artefacts, left

    def _in_turns(
        self, opened: Opened, batch: Mapping[Job, Claimed], artefacts: Mapping[Path, Artefact]
    ) -> None:
        def turned(job: Job, runs: int) -> None:
            if self._stop.is_set():
                raise Stopped
            self._emit(Turned(self._device, batch[job].spec, runs))

        shared = self._shared
        work = measured(
            self._device, opened.place, list(batch), artefacts, shared.rule, shared.session, turned
        )
        with closing(work) as results:
            for result in results:
                claim = batch[result.job]
                if isinstance(result, Measured):
                    _check_ours(opened)
                    self._keep(claim, result.row)
                elif not concerns_the_device(result.error):
                    self._fail(claim, result.error)
                else:
                    # A step that hangs again and again hangs because of its job: the others are not to wait for it.
                    if isinstance(result.error, StepTimeoutError):
                        self._fail(claim, result.error)
                    raise result.error

    # --- what becomes of jobs -----------------------------------------------------------------------------

    def _keep(self, claim: Claimed, row: Row) -> None:
        kept = self._queue.done(claim, row)
        self._held.pop(claim.seq, None)
        if kept:
            self._emit(Done(self._device, claim.spec, in_words(row)))
        else:
            self._say(
                f"{claim.spec.model}: another host took the job over meanwhile; this measurement is dropped"
            )

    def _fail(self, claim: Claimed, error: BibenchError) -> None:
        # What is refused or misses something is so the next time, too.
        final = isinstance(error, (InputError, RefusedError, DeviceUnfitError))
        self._failed(claim, Unmeasured.of(error).said, 1 if final else self._patience.attempts)

    def _give_up(self, claim: Claimed, words: str) -> None:
        self._failed(claim, Unmeasured(Why.INFRASTRUCTURE, words).said, 1)

    def _failed(self, claim: Claimed, said: str, attempts: int) -> None:
        state = self._queue.failed(claim, said, attempts)
        self._held.pop(claim.seq, None)
        if state is not None:
            words = Unmeasured.parse(said).words
            self._emit(JobFailed(self._device, claim.spec, words, state is State.WAITING))

    # --- the queue ----------------------------------------------------------------------------------------

    def _next(self) -> Sequence[Claimed]:
        """The next unit; waits for what another host is at, which may come back. Empty when nothing is left."""
        while True:
            if self._stop.is_set():
                raise Stopped
            claims = self._claim()
            if claims:
                return claims
            taken = [job for job in self._queue.jobs(self._device) if job.state is State.TAKEN]
            if not taken or self._patience.spent(self._used_s) or self._quarantined() is not None:
                return []
            self._now(Doing.WAITING, f"{len(taken)} jobs are with {taken[0].owner or 'another host'}")
            self._pause(LOOK_S)

    def _claim(self) -> Sequence[Claimed]:
        words = self._patience.spent(self._used_s)
        if words:
            self._say(words)
            return []
        claims = self._queue.claim(self._device)
        self._held |= {claim.seq: claim for claim in claims}
        return claims

    def _give_back(self) -> None:
        if self._held:
            self._queue.give_back(self._held.values())
            self._held.clear()

    # --- the device's health --------------------------------------------------------------------------------

    def _quarantined(self) -> str | None:
        """Why the device is left alone; None for one that is not."""
        found = (health for health in self._queue.devices() if health.device == self._device)
        return next((health.said or "" for health in found if health.quarantined_at), None)

    def _may_try_again(self, error: DeviceError) -> bool:
        """Count a failure of the device; pauses, unless it was the last."""
        self._give_back()
        said = f"{error.step}: {error.message}" if error.step else error.message
        failures = self._queue.device_failed(self._device, said)
        self._emit(DeviceFailed(self._device, failures, in_a_line(error)))
        if failures >= self._patience.failures:
            self._queue.quarantine(self._device, said)
            return False
        self._now(Doing.RESTING, f"{self._patience.pause_s:g} s after failure {failures}: {said}")
        self._pause(self._patience.pause_s)
        return True

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped

    def _now(self, doing: Doing, words: str = "") -> None:
        self._emit(Now(self._device, doing, words))

    def _say(self, message: str) -> None:
        self._emit(Said(self._device, message))


def _check_ours(opened: Opened) -> None:
    try:
        opened.check()
    except DeviceError as lost:  # of whatever kind: what was measured meanwhile may be disturbed
        raise LeaseLostError(lost.message, where=lost.where, remedy=lost.remedy) from lost


def in_words(row: Row) -> str:
    """A row in a few words."""
    if row.state == "not_applicable":
        return "; ".join(row.reasons)
    return f"{summarise(row.samples_ns).median_ms:.3g} ms, {row.verdict or 'not judged'}"
