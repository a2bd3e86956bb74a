"""``bibench-deploy nightly``: a plan is measured, and what got worse is told, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.cli import console, targets
from bibench_deploy.cli.options import JsonOption, PlanArgument, PlansStoreOption
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from bibench_deploy.nightly.run import Prepared
    from bibench_deploy.results import Store

#: What CI systems call the commit that they test.
COMMIT_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA")


@targets.dealing_with_devices_at_night
def nightly(
    manner: targets.Manner,
    plan: PlanArgument,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PATTERN",
            help="Only models, devices, engines or variants that fit, as 'rpi*'; may be repeated.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done, and how long it would take.")
    ] = False,
    night: Annotated[
        str | None,
        typer.Option(
            "--night", metavar="NAME", help="Name of the night; by default the date (UTC) of its start."
        ),
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(
            "--commit",
            metavar="SHA",
            help="What is measured. Default: $GITHUB_SHA, $CI_COMMIT_SHA or HEAD of the plan's folder.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="WHICH",
            help="Judge against: last (the nights before, the default), night:NAME or commit:SHA.",
        ),
    ] = None,
    store: PlansStoreOption = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML, as CI systems read it.")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary", metavar="FILE", help="Write Markdown; appended where it is $GITHUB_STEP_SUMMARY."
        ),
    ] = None,
    as_json: JsonOption = False,
    inventory: targets.InventoryOption = None,
    profiles: targets.ProfilesOption = None,
    lab: targets.LabOption = None,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Convert on a Dask cluster, as tcp://HOST:8786."),
    ] = None,
) -> None:
    """Measure a lab's plan, judge it against the nights before, and tell what got worse.

    A night that was killed goes on where it was; one that is complete is only reported again. Latencies that look
    slower are measured again beside the old artefact before anyone is told. Ends with 0 if nothing got worse, 1 if
    something did, 2 for a wrong plan, 3 if something could not be measured.
    """
    from bibench_deploy.device_profiles import load_profiles
    from bibench_deploy.files import check_output
    from bibench_deploy.nightly.plan import store_of
    from bibench_deploy.nightly.run import prepare
    from bibench_deploy.runners.providers import provider

    for path in (junit, summary):
        if path is not None:
            check_output(path)
    _check_name(night)
    devices = provider(lab, inventory, load_profiles(profiles or []))
    prepared = prepare(plan, devices, only or [])
    for warning in prepared.warnings:
        typer.echo(warning, err=True)
    kept_in = store_of(prepared.plan, plan, store)
    if dry_run:
        _foretell(prepared, kept_in, as_json)
        return
    from bibench_deploy.cli.nightly_board import board
    from bibench_deploy.cli.nightly_devices import opener
    from bibench_deploy.cli.nightly_report import publish
    from bibench_deploy.device_profiles import load_cores
    from bibench_deploy.nightly.pools import pool
    from bibench_deploy.nightly.run import Choices, Means, run
    from bibench_deploy.runners.device.place import engines

    choices = Choices(night, commit or _commit(plan.parent), baseline)
    with _ended_by_signals(), board(prepared.plan.name) as watch:
        on_devices = engines(console.warn)
        means = Means(
            kept_in,
            pool(dask),
            on_devices,
            opener(devices, load_cores(), on_devices, manner),
            watch,
            console.warn,
        )
        report = run(prepared, choices, means)
    publish(report, as_json, junit, summary)
    raise typer.Exit(report.exit_code)


def _check_name(night: str | None) -> None:
    import re

    from bibench_deploy.nightly.plan import NAME_PATTERN

    if night is not None and not re.match(NAME_PATTERN, night):
        raise InputError(
            f"'{night}' can't name a night",
            where="--night",
            remedy="take letters, digits, '.', '_' and '-', as a date or a commit has them",
        )


def _foretell(prepared: Prepared, store: Store, as_json: bool) -> None:
    """What a night would be."""
    from bibench_deploy.cli import plan_views
    from bibench_deploy.nightly.foresight import foresee, former

    history = former(prepared.plan, store)
    foresight = foresee(prepared.plan, prepared.wanted, prepared.tasks, prepared.workspace, history)
    if as_json:
        console.print_json({"plan": prepared.plan.name} | plan_views.as_json(foresight))
    else:
        console.stdout().print(plan_views.overview(foresight))


def _commit(folder: Path) -> str | None:
    """The commit that CI says it tests, else the one that is checked out beside the plan; None without either."""
    for name in COMMIT_VARIABLES:
        if os.environ.get(name):
            return os.environ[name]
    try:
        asked = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):  # no git here: the commit is unknown
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let what ends a CI job or a session end a night as Ctrl-C does: devices and jobs are given back."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
