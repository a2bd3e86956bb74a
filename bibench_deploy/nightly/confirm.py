"""Suspicions are measured again on their device, new and old in turns, before anybody is told.

Nothing of it is stored but what came of it, with the night's report: a night that is killed here does it again.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bibench_deploy.errors import BibenchError, DeviceError, InputError, in_a_line
from bibench_deploy.profile_plan import Place, Said
from bibench_deploy.profiling import concerns_the_device
from bibench_deploy.results import Row
from bibench_deploy.runners.device.stopping import Stopped
from bibench_deploy.runners.measure import Failure, Job, Measurement, Timed, measure
from bibench_deploy.runners.timing import MeasureRule
from bibench_deploy.runners.verdict import disturbances
from bibench_deploy.runners.workspace import Artefact, read_artefact

from .confirmation import Again, HowTo, confirmed, how_to_confirm, unconfirmable
from .events import Doing, Emit, Now
from .finding import Finding
from .opening import Exchangeable, Opened, Opens
from .patience import Patience
from .telling import counted


@dataclass(frozen=True)
class Confirming:
    """What confirming needs of the night.

    Attributes:
        artefact_of: by sha256, of this night or an old one; None where it is not at hand.
        program_of: the same for programs of engines.
        factor: of the gate.
    """

    artefact_of: Callable[[str], Artefact | None]
    program_of: Callable[[str], Path | None]
    rule: MeasureRule
    factor: float
    patience: Patience
    stop: threading.Event = field(default_factory=threading.Event)


def confirm(
    device: str, opens: Opens, suspects: Sequence[Finding], needs: Confirming, emit: Emit
) -> list[Finding]:
    """What becomes of the suspicions of one device, in their order.

    Raises:
        Stopped: told to.
    """
    found: dict[int, Finding] = {}
    failures, why = 0, ""
    left = list(enumerate(suspects))
    while left and failures < needs.patience.failures:
        cpus = left[0][1].key[5]
        emit(Now(device, Doing.CONFIRMING, f"{counted(len(left), 'suspicion')} left"))
        try:
            with opens(cpus, lambda message: emit(Said(device, message)), needs.stop) as opened:
                for number, finding in [entry for entry in left if entry[1].key[5] == cpus]:
                    found[number] = _confirmed(opened, finding, needs)
        except (DeviceError, InputError) as error:
            failures, why = failures + 1, in_a_line(error)
            emit(Said(device, f"measuring again failed: {why}"))
            if failures < needs.patience.failures and needs.stop.wait(needs.patience.pause_s):
                raise Stopped from error
        left = [entry for entry in left if entry[0] not in found]
    emit(Now(device, Doing.ENDED))
    return [found.get(number) or unconfirmable(finding, why) for number, finding in enumerate(suspects)]


def _confirmed(opened: Opened, finding: Finding, needs: Confirming) -> Finding:
    """One suspicion, measured again.

    Raises:
        DeviceError: the device failed.
    """
    row, old = finding.row, finding.baseline[-1]
    assert row is not None, "a suspicion has a row"
    how = how_to_confirm(finding, _at_hand(needs.artefact_of, old.sha256), _programs(needs, old))
    new = needs.artefact_of(row.sha256)
    if new is None:
        return unconfirmable(finding, "its artefact is gone from the workspace")
    with tempfile.TemporaryDirectory(prefix="bibench-confirm-") as folder:
        sides = [_Side(opened.place, new.path)]
        if how.artefact is not None:
            sides.append(_old_side(opened.place, row.engine, how, needs, Path(folder)))
        try:
            again = [_once(sides, row.threads, how.turns, needs) for _ in range(how.openings)]
            opened.check()
        except BibenchError as error:
            if concerns_the_device(error):
                raise
            return unconfirmable(finding, in_a_line(error))
    return confirmed(finding, how, again, needs.factor)


def _at_hand(find: Callable[[str], object | None], sha256: str | None) -> set[str]:
    return {sha256} if sha256 is not None and find(sha256) is not None else set()


def _programs(needs: Confirming, old: Row) -> set[str]:
    return _at_hand(needs.program_of, old.engine_sha256)


@dataclass(frozen=True)
class _Side:
    """One of the two that are compared: an artefact, and where it is executed."""

    place: Place
    artefact: Path


def _old_side(place: Exchangeable, engine: str, how: HowTo, needs: Confirming, folder: Path) -> _Side:
    """The old artefact, with the old program where that is another one.

    Raises:
        BibenchError: it is gone since a moment ago.
    """
    assert how.artefact is not None
    artefact = needs.artefact_of(how.artefact)
    program = needs.program_of(how.program) if how.program is not None else None
    assert artefact is not None
    # In a folder of its own: where the engine alone changed, both are the same file, and jobs are known by it.
    for file in artefact.path.parent.iterdir():
        if file.name.startswith(artefact.path.name):  # its manifest, its rows
            shutil.copy2(file, folder / file.name)
    return _Side(
        place.with_program(engine, program) if program else place,
        read_artefact(folder / artefact.path.name).path,
    )


@dataclass(frozen=True)
class _Turns(MeasureRule):
    """So many turns, no more and no fewer: both sides have as many."""

    turns: int = 0

    def enough(self, turns: Sequence[Sequence[int]]) -> bool:
        """Whether these turns (ns) suffice."""
        return len(turns) >= self.turns

    enough_means = enough


def _once(sides: Sequence[_Side], threads: int, turns: int, needs: Confirming) -> Again:
    """One opening: fresh processes of all sides, in turns.

    Raises:
        BibenchError: one of them failed.
        Stopped: told to.
    """
    jobs = {Job(side.artefact, threads): side for side in sides}
    assert len(jobs) == len(sides)
    rule = needs.rule
    longer = _Turns(rule.min_seconds, rule.min_runs, rule.max_seconds, rule.precision, turns)
    found = dict(_measured(jobs, longer, needs.stop))
    new, *old = (found[job] for job in jobs)
    return Again(
        new.turns_ns,
        old[0].turns_ns if old else None,
        disturbances(new.turns_ns, new.context, sides[0].place.host.cores),
    )


def _measured(
    jobs: Mapping[Job, _Side], rule: MeasureRule, stop: threading.Event
) -> Iterator[tuple[Job, Measurement]]:
    def turned(job: Job, runs: int) -> None:
        if stop.is_set():
            raise Stopped

    def opened(job: Job) -> Timed:
        return jobs[job].place.open_worker(job)

    with closing(measure(list(jobs), rule, turned, opened)) as results:
        for result in results:
            if isinstance(result, Failure):
                raise result.error
            yield result.job, result
