"""``bibench-deploy profile``: how fast artefacts run, and what that is against full precision."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.cli import console, targets
from bibench_deploy.cli.options import JsonOption, WorkspaceOption
from bibench_deploy.cli.profile_choice import plan_of, targets_of, timed_here
from bibench_deploy.cli.profile_report import give_up, show
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bibench_deploy.profile_plan import Outcome, Plan, Target
    from bibench_deploy.results import Row, Store
    from bibench_deploy.runners.timing import MeasureRule
    from bibench_deploy.sweep import Sweep


@targets.dealing_with_devices
def profile(
    manner: targets.Manner,
    artefacts: Annotated[
        list[Path] | None,
        typer.Argument(metavar="ARTEFACT", help="What to measure; all of the workspace by default."),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            metavar="ID",
            help="Where to measure: 'local' (this machine, the default) or a device of your inventory or your "
            "ssh configuration; several with commas.",
        ),
    ] = None,
    tag: targets.TagOption = None,
    threads: Annotated[
        str, typer.Option("--threads", metavar="LIST", help="Numbers of threads, as 1,2,4 or 1-4.")
    ] = "1",
    cpus: Annotated[
        str | None,
        typer.Option(
            "--cpus", metavar="CORES", help="Pin engines to cores: big, little, all, or numbers like 0-3."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    inventory: targets.InventoryOption = None,
    profiles: targets.ProfilesOption = None,
    lab: targets.LabOption = None,
    min_time: Annotated[
        float, typer.Option("--min-time", metavar="S", help="Time at least so many seconds of runs.")
    ] = 2.0,
    max_time: Annotated[
        float,
        typer.Option("--max-time", metavar="S", help="Stop after so many seconds, precise or not."),
    ] = 10.0,
    precision: Annotated[
        float,
        typer.Option(
            "--precision", metavar="PERCENT", help="Stop when the median's 95 % interval is within ± so much."
        ),
    ] = 1.0,
    min_runs: Annotated[
        int, typer.Option("--min-runs", metavar="N", help="Time at least so many runs.")
    ] = 30,
    per_op: Annotated[
        bool,
        typer.Option("--per-op", help="Also time each layer, and tell how near its core's ceiling it is."),
    ] = False,
    cool_down: Annotated[
        str | None,
        typer.Option(
            "--cool-down",
            metavar="auto|°C",
            help="Begin each turn when the hottest sensor is back at so many degrees; auto: where it was at first.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure all again, also what an interrupted run has measured.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure artefacts: latency, size and, against the full-precision twin, BiBench's hardware metric.

    Each artefact runs in a fresh process for each number of threads, in turns with its twin; devices are measured
    at the same time, each after its outputs were compared with the reference. All samples are added to the
    store; what was measured before a failure or Ctrl-C is kept, and the same command continues there.
    """
    from dataclasses import replace

    from bibench_deploy.cool_place import cooled
    from bibench_deploy.device_profiles import load_profiles
    from bibench_deploy.results import choose_store
    from bibench_deploy.runners.clusters import check_request
    from bibench_deploy.runners.cooldown import parse_bound
    from bibench_deploy.runners.providers import provider
    from bibench_deploy.runners.threads import parse_threads
    from bibench_deploy.runners.workspace import read_artefact, read_workspace, workspace_folder

    source = provider(lab, inventory, load_profiles(profiles or []), wait=manner.wait)
    devices, remote = targets.choose(
        device or ([] if tag else [targets.LOCAL]), tag or [], inventory, profiles or [], source
    )
    counts = parse_threads(threads)
    rule = _rule(min_time, max_time, min_runs, precision)
    folder = workspace_folder(workspace)
    chosen = [read_artefact(path) for path in artefacts] if artefacts else read_workspace(folder)
    store = choose_store(None, folder)
    asked = check_request(cpus) if cpus is not None else None
    bound = parse_bound(cool_down) if cool_down is not None else None
    manner = replace(manner, cpus=asked)
    here = timed_here(chosen, named=bool(artefacts))
    measured_on = targets_of(devices, remote, source, counts, manner, bool(artefacts), here)
    if bound is not None:
        measured_on = [cooled(target, bound) for target in measured_on]
    plan = replace(plan_of(chosen, counts, rule, measured_on), per_op=per_op)
    store.check()
    sweep = _sweep(
        folder, plan, measured_on, fresh, {"cpus": asked, "cool_down": None if bound is None else str(bound)}
    )
    try:
        outcome = _measure(measured_on, plan, sweep, store, fresh)
        if outcome.complete(plan, measured_on):
            sweep.finish()
    finally:
        sweep.leave()
    show(outcome, plan, measured_on, as_json)
    if outcome.failures:
        if outcome.rows:
            console.warn(_kept(len(outcome.rows), store, fresh))
        give_up(outcome.failures)


def _kept(count: int, store: Store, fresh: bool) -> str:
    what = "1 finished measurement is" if count == 1 else f"{count} finished measurements are"
    again = "the same command without --fresh" if fresh else "the same command"
    return f"{what} kept in {store.where}; {again} continues there"


def _rule(min_time: float, max_time: float, min_runs: int, precision: float) -> MeasureRule:
    import math

    from bibench_deploy.runners.timing import MeasureRule

    for value, option in ((min_time, "--min-time"), (max_time, "--max-time")):
        if not (math.isfinite(value) and 0 < value <= 3600):
            raise InputError("a time between 0 and 3600 s is needed", where=option)
    if not 1 <= min_runs <= 1_000_000:
        raise InputError("a number between 1 and 1000000 is needed", where="--min-runs")
    if not 0.01 <= precision <= 100:
        raise InputError("a number of percent between 0.01 and 100 is needed", where="--precision")
    return MeasureRule(min_time, min_runs, max(min_time, max_time), precision / 100)


def _sweep(
    folder: Path, plan: Plan, measured_on: Sequence[Target], fresh: bool, manner: dict[str, str | None]
) -> Sweep:
    from dataclasses import asdict

    from bibench_deploy.sweep import open_sweep

    asked = {name: value for name, value in manner.items() if value is not None}
    options = asdict(plan.rule) | asked | ({"per_op": True} if plan.per_op else {})
    return open_sweep(folder, plan.keys(measured_on), options, fresh)


def _measure(measured_on: Sequence[Target], plan: Plan, sweep: Sweep, store: Store, fresh: bool) -> Outcome:
    """Measure and store.

    Raises:
        KeyboardInterrupt: after saying what was kept.
    """
    from bibench_deploy.cli.live import live
    from bibench_deploy.profiling import profile
    from bibench_deploy.results import Selection

    done = sweep.done(store.read(Selection(sessions=(sweep.id,))).rows) if sweep.continued else {}
    jobs = {
        target.name: len([key for key in plan.keys([target]) if key not in done]) for target in measured_on
    }
    if done:
        console.warn(
            f"continuing the run of {sweep.started_at.astimezone():%Y-%m-%d %H:%M}: {len(done)} of "
            f"{len(done) + sum(jobs.values())} are measured (--fresh measures all again)"
        )
    kept = 0

    def keep(row: Row) -> None:
        nonlocal kept
        with _undisturbed():
            store.append([row])
            kept += 1

    with live(jobs) as watch:
        try:
            return profile(measured_on, plan, sweep.id, done, keep, watch)
        except KeyboardInterrupt:
            if done or kept:
                console.warn(_kept(len(done) + kept, store, fresh))
            raise


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a Ctrl-C wait until the block is done: a finished measurement is not lost while it is kept."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
