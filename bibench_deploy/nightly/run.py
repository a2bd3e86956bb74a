"""A plan becomes a night: what it means today, what is converted, and the night itself."""

from __future__ import annotations

import hashlib
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bibench_deploy.errors import BibenchError, InputError, MissingExtraError, in_a_line
from bibench_deploy.results import Store
from bibench_deploy.results.job import JobSpec, State
from bibench_deploy.results.nights import Night, Progress, default_name, finish, nights, open_night
from bibench_deploy.results.queue import Queue
from bibench_deploy.runners.providers import DeviceProvider
from bibench_deploy.runners.workspace import Artefact

from .baseline import choose
from .checks import open_plan
from .confirm import Confirming
from .conversion import Converted, Task, convert_stale, find_artefact, prune, tasks
from .cooling import cooled
from .document import NightReport
from .estimate import estimate, rule_of
from .events import Emit, Planned, Stage
from .expansion import Board, Wanted, expand
from .finding import Key, Unmeasured, Why
from .gate import Gate
from .making import FULL_PRECISION
from .night import Expected, confirmed, distinct, findings, ill, measure, queue_of
from .opening import Opens
from .patience import Patience
from .plan import Plan, workspace_of
from .pools import Pool
from .programs import HasPrograms, Programs
from .reading import plan_text
from .worker import Shared


@dataclass(frozen=True)
class Prepared:
    """What a plan means today.

    Attributes:
        sha256: of the plan's text.
        folder: the plan's.
        boards: by name.
        only: what the user has chosen of it.
        warnings: what is not as it should be, with its line.
    """

    plan: Plan
    sha256: str
    folder: Path
    workspace: Path
    wanted: tuple[Wanted, ...]
    tasks: tuple[Task, ...]
    boards: Mapping[str, Board]
    only: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choices:
    """What the user says of a night beside the plan.

    Attributes:
        name: of the night; None for the present one.
        commit: that is measured; None where it is unknown.
        baseline: as ``baseline.choose`` takes it.
    """

    name: str | None = None
    commit: str | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class Means:
    """What a night is done with.

    Attributes:
        pool: where models are converted.
        engines: that devices can execute, by name.
        opens: how a device is opened.
        watch: told of every event.
        warn: tells the user what he should know; from any thread.
    """

    store: Store
    pool: Pool
    engines: Mapping[str, HasPrograms]
    opens: Callable[[Board], Opens]
    watch: Emit
    warn: Callable[[str], None]


def prepare(path: Path, provider: DeviceProvider, only: Sequence[str] = ()) -> Prepared:
    """What a plan means today. Nothing is converted, reserved or written.

    Raises:
        InputError: the plan is wrong; unknown devices; nothing is left to be done.
        InfrastructureError: the lab can't be asked.
    """
    plan, found = open_plan(path, provider)
    folder = path.parent
    wanted = expand(plan, found.models, found.boards, only)
    return Prepared(
        plan,
        hashlib.sha256(plan_text(path).encode()).hexdigest(),
        folder,
        workspace_of(plan, path),
        wanted,
        tasks(plan, found.models, folder, wanted),
        {board.name: board for boards in found.boards for board in boards},
        tuple(only),
        tuple(mistake.text(str(path)) for mistake in found.mistakes),
    )


def run(prepared: Prepared, choices: Choices, means: Means) -> NightReport:
    """One night, from wherever it was left to its report.

    Raises:
        InputError: no such baseline.
        BibenchError: the store, the workspace or the pool failed.
        KeyboardInterrupt: devices and claims were given back.
    """
    plan, store = prepared.plan, means.store
    store.check()
    now = datetime.now(UTC)
    name = choices.name or _name_of_a_part(prepared.only, now)
    host = socket.gethostname()
    # A baseline that is none is refused before a night is begun for it.
    meant = Night(plan.name, name or default_name(now), prepared.sha256, choices.commit, host, now)
    choose(choices.baseline, nights(store, plan.name), meant, plan.gate.since)
    night = open_night(store, plan.name, name, prepared.sha256, choices.commit, host, now)
    if night.progress is not Progress.FRESH and night.plan_sha256 != prepared.sha256:
        means.warn(f"the plan was changed since the night {night.name} began (--night NAME begins another)")
    if night.progress is Progress.COMPLETE:
        means.watch(Stage(f"the night {night.name} is complete: this is its report"))
        return NightReport.model_validate(night.report)
    choice = choose(choices.baseline, nights(store, plan.name), night, plan.gate.since)
    how = "continuing" if night.progress is Progress.CONTINUED else "beginning"
    means.watch(Stage(f"{how} the night {night.name} of {plan.name}"))
    converted = convert_stale(prepared.tasks, prepared.workspace, means.pool, lambda m: means.watch(Stage(m)))
    programs = Programs(prepared.workspace, means.engines)
    expected = distinct(list(_expected(prepared, converted, programs)))
    opens = {
        name: cooled(means.opens(prepared.boards[name]), plan.measure.cool_down, name)
        for name in dict.fromkeys(entry.key[0] for entry in expected)
    }
    artefact_of = _artefacts(prepared, converted)
    gate = Gate(plan.gate.nights, plan.gate.factor, plan.gate.larger)
    with queue_of(store, night, prepared.workspace, means.warn) as queue:
        queue.add(entry.spec for entry in expected if entry.spec is not None)
        shared = Shared(queue, artefact_of, rule_of(plan), night.session, _patience(plan, night))
        means.watch(Planned(tuple(queue.jobs()), _job_s(prepared)))
        try:
            measure(_with_jobs(opens, expected), shared, means.watch)
        except KeyboardInterrupt:
            means.warn(f"{_how_far(queue)} in {store.where}; the same command continues there")
            raise
        found = findings(night, expected, queue, store, choice, gate)
        needs = Confirming(artefact_of, programs.kept, shared.rule, gate.factor, shared.patience, shared.stop)
        found = confirmed(found, opens, needs, means.watch)
        report = NightReport.of(night, found, ill(queue.devices()), choice.words, datetime.now(UTC))
        night = finish(store, night, report.document(), report.finished_at)
    prune(prepared.workspace, plan.keep_days)
    programs.prune(plan.keep_days)
    return NightReport.model_validate(night.report)


def _how_far(queue: Queue) -> str:
    try:
        states = [job.state for job in queue.jobs()]
    except BibenchError as error:  # must not take the place of what the night ended with
        return f"what is measured is kept (how much, can't be told now: {in_a_line(error)})"
    return f"{states.count(State.DONE)} of {len(states)} jobs are measured and kept"


def _name_of_a_part(only: Iterable[str], now: datetime) -> str | None:
    """A part of a plan is a night of its own: the whole is still to be measured. None for the whole."""
    chosen = sorted(only)
    if not chosen:
        return None
    return f"{default_name(now)}.only-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}"


def _expected(prepared: Prepared, converted: Converted, programs: Programs) -> Iterable[Expected]:
    for job in prepared.wanted:
        artefact = converted.artefact(job)
        if artefact is None:
            yield Expected(*_without_artefact(job, converted))
            continue
        manifest = artefact.manifest
        device = prepared.boards[job.device].device
        spec = JobSpec(
            device=job.device,
            engine=job.engine,
            model=manifest.model,
            variant=manifest.variant,
            sha256=manifest.sha256,
            engine_id=programs.engine_id(job.engine, job.device, device.profile if device else None),
            threads=job.threads,
            cpus=job.cpus,
            unit=f"{job.model} on {job.cpus}" if job.cpus else str(job.model),
        )
        key = (job.device, job.engine, manifest.model, manifest.variant, job.threads, job.cpus)
        yield Expected(key, spec)


def _without_artefact(job: Wanted, converted: Converted) -> tuple[Key, None, Unmeasured]:
    refused = converted.refused.get((job.model, job.engine))
    variant = (
        FULL_PRECISION if job.variant == FULL_PRECISION else (refused and refused.algorithm) or job.variant
    )
    key = (job.device, job.engine, job.model.stem, variant, job.threads, job.cpus)
    if refused is not None:
        return key, None, Unmeasured(Why.REFUSED, "; ".join(refused.reasons))
    error = converted.failed.get((job.model, job.engine))
    if error is None:
        return key, None, Unmeasured(Why.CONVERSION, f"conversion gave no {job.variant} artefact")
    found = Unmeasured.of(error)
    wrong_model = isinstance(error, InputError) and not isinstance(error, MissingExtraError)
    return key, None, Unmeasured(Why.CONVERSION, found.words) if wrong_model else found


def _artefacts(prepared: Prepared, converted: Converted) -> Callable[[str], Artefact | None]:
    """Tonight's, else one that is kept; of two models of the same bytes the first, as ``distinct`` has it."""
    now: dict[str, Artefact] = {}
    for artefact in filter(None, map(converted.artefact, prepared.wanted)):
        now.setdefault(artefact.manifest.sha256, artefact)
    return lambda sha256: now.get(sha256) or find_artefact(prepared.workspace, sha256)


def _with_jobs(opens: Mapping[str, Opens], expected: Sequence[Expected]) -> dict[str, Opens]:
    busy = dict.fromkeys(entry.key[0] for entry in expected if entry.spec is not None)
    return {device: opens[device] for device in busy}


def _job_s(prepared: Prepared) -> dict[str, float]:
    """How long a job of each device takes by the plan's own rule, in s; what devices do will tell better."""
    expected = estimate(prepared.wanted, rule_of(prepared.plan), ())
    count = Counter(job.device for job in prepared.wanted)
    return {name: (span.low_s + span.high_s) / 2 / count[name] for name, span in expected.devices.items()}


def _patience(plan: Plan, night: Night) -> Patience:
    retries, budget = plan.retries, plan.budget
    ends = night.started_at + timedelta(seconds=budget.night) if budget.night is not None else None
    return Patience(retries.attempts, retries.failures, retries.pause, ends, budget.device)
