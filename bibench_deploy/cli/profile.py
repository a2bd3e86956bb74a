"""``bibench-deploy profile``: how fast artefacts run, and what that is against full precision."""

from __future__ import annotations

import signal
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bibench_deploy.cli import console
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bibench_deploy.results import Row, Store
    from bibench_deploy.runners.host import Host
    from bibench_deploy.runners.measure import Failure, Job
    from bibench_deploy.runners.timing import MeasureRule
    from bibench_deploy.runners.workspace import Artefact

LOCAL = "local"

# Other work on this share of the cores shows in the figures.
BUSY = 0.5


def profile(
    artefacts: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[ARTEFACT]...", help="What to measure; all of the workspace by default."),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="ID", help="Where to measure; 'local' is this machine.")
    ] = LOCAL,
    threads: Annotated[
        str, typer.Option("--threads", metavar="LIST", help="Numbers of threads, as 1,2,4 or 1-4.")
    ] = "1",
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            metavar="DIR",
            help="Holds the artefacts and the results. Default: $BIBENCH_WORKSPACE or bibench-workspace.",
        ),
    ] = None,
    profiles: Annotated[
        list[Path] | None,
        typer.Option("--profiles", metavar="DIR", help="A folder with your own device profiles."),
    ] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure artefacts: latency, size and, against the full-precision twin, BiBench's hardware metric.

    Each artefact runs in a fresh process for each number of threads, in turns with its twin. All samples are
    added to the workspace's store; what was measured before Ctrl-C is kept.
    """
    from bibench_deploy.results import Store
    from bibench_deploy.runners.host import local_host
    from bibench_deploy.runners.threads import parse_threads
    from bibench_deploy.runners.workspace import groups, read_artefact, read_workspace, workspace_folder

    _choose_device(device, profiles or [])
    counts = parse_threads(threads)
    rule = _rule(min_time, max_time, min_runs, precision)
    folder = workspace_folder(workspace)
    chosen = [read_artefact(path) for path in artefacts] if artefacts else read_workspace(folder)
    store = Store.of_workspace(folder)
    store.check()
    host = local_host()
    _warn_about(host, counts)
    rows, failures = _measure(groups(chosen), counts, rule, store, host)
    _show(rows, as_json)
    if failures:
        _give_up(failures)


def _choose_device(device: str, folders: Sequence[Path]) -> None:
    """Only this machine, yet.

    Raises:
        InputError: a device that is known but is not this machine, or one that is unknown.
    """
    from bibench_deploy.device_profiles import find_profile, load_profiles

    profiles = load_profiles(folders)
    if device == LOCAL:
        return
    known = find_profile(device, profiles)
    raise InputError(
        f"the profile of the {known.name} is known, but this version measures on this machine only; "
        "remote devices come with a later version",
        where=f"--device {device}",
        remedy=f"install bibench-deploy on the device itself and run it there with --device {LOCAL}",
    )


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


def _warn_about(host: Host, counts: Sequence[int]) -> None:
    from bibench_deploy.runners.host import load_average

    if counts[-1] > host.cores:
        over = ", ".join(str(count) for count in counts if count > host.cores)
        console.warn(
            f"oversubscribed: {over} threads on {host.cores} cores wait for each other; "
            "such figures say nothing about a machine that has the cores"
        )
    load = load_average()
    if load is not None and load > BUSY * host.cores:
        console.warn(f"the machine is busy (load {load:.1f} on {host.cores} cores): figures will be too high")
    if host.governor not in (None, "performance"):
        console.warn(
            f"the clock follows the governor '{host.governor}'; 'performance' gives steadier figures"
        )


def _measure(
    groups: Sequence[Sequence[Artefact]], counts: Sequence[int], rule: MeasureRule, store: Store, host: Host
) -> tuple[list[Row], list[Failure]]:
    """Measure and store; in the order of the groups, then by threads.

    Raises:
        KeyboardInterrupt: after saying what was kept.
    """
    from bibench_deploy.results.record import row_of
    from bibench_deploy.runners.measure import Failure, Job, measure

    rows: list[Row] = []
    failures: list[Failure] = []
    manifests = {artefact.path: artefact.manifest for group in groups for artefact in group}
    with _progress(len(manifests) * len(counts)) as (describe, advance):
        for group in groups:
            jobs = [Job(path, count) for count in counts for path in dict.fromkeys(a.path for a in group)]
            measured: dict[Job, Row] = {}
            try:
                with closing(measure(jobs, rule, on_turn=describe)) as results:
                    for result in results:
                        if isinstance(result, Failure):
                            failures.append(result)
                        else:
                            row = row_of(result, manifests[result.job.artefact], LOCAL, host)
                            with _undisturbed():
                                store.append([row])
                                measured[result.job] = row
                        advance()
            except KeyboardInterrupt:
                console.warn(f"{len(rows) + len(measured)} finished measurements are kept in {store.path}")
                raise
            rows += [measured[job] for job in jobs if job in measured]
    return rows, failures


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


@contextmanager
def _progress(jobs: int) -> Iterator[tuple[Callable[[Job, int], None], Callable[[], None]]]:
    """A progress bar on stderr; yields what describes the present turn and what counts a finished job."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.stderr(), transient=True) as bar:
        task = bar.add_task("measuring", total=jobs)

        def describe(job: Job, runs: int) -> None:
            bar.update(task, description=f"{job.artefact.name}, threads {job.threads}: {runs} runs")

        yield describe, lambda: bar.advance(task)


def _show(rows: Sequence[Row], as_json: bool) -> None:
    from bibench_deploy.results.document import document
    from bibench_deploy.results.report import report
    from bibench_deploy.results.tables import show

    summary = report(rows)
    if as_json:
        console.print_json(document(summary))
    elif rows:
        show(summary, console.stdout())


def _give_up(failures: Sequence[Failure]) -> NoReturn:
    """Report what could not be measured; the last as the error that ends the command.

    Raises:
        BibenchError: always.
    """
    for failure in failures[:-1]:
        console.warn(f"not measured with {failure.job.threads} threads: {failure.error}")
    raise failures[-1].error
