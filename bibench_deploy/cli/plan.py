"""``bibench-deploy plan check``: what a lab's plan means, or every mistake in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bibench_deploy.cli import console, targets
from bibench_deploy.cli.options import JsonOption, PlanArgument, PlansStoreOption

if TYPE_CHECKING:
    from bibench_deploy.nightly.foresight import Checked

app = typer.Typer(help="Look at the plan of a device lab.", no_args_is_help=True)


@app.callback()
def plan() -> None:
    """Look at the plan of a device lab."""


@app.command()
def check(
    file: PlanArgument,
    inventory: targets.InventoryOption = None,
    profiles: targets.ProfilesOption = None,
    lab: targets.LabOption = None,
    store: PlansStoreOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a plan means: its jobs, how long they will take, what has to be converted first.

    Every mistake is told with its line, also those that only show when files, engines, devices and models are
    looked at. No device is touched. Ends with 2 if there is a mistake; warnings alone are none.
    """
    from bibench_deploy.device_profiles import load_profiles
    from bibench_deploy.nightly import foresight, pools
    from bibench_deploy.runners.providers import provider

    devices = provider(lab, inventory, load_profiles(profiles or []))
    with console.stderr().status("") as status:
        checked = foresight.check(file, devices, pools.pool(None), store, status.update)
    if json:
        console.print_json(_document(file, checked))
    else:
        _show(file, checked)
    if not checked.ok:
        raise typer.Exit(2)


def _document(file: Path, checked: Checked) -> dict[str, object]:
    from bibench_deploy.cli.plan_views import as_json

    document: dict[str, object] = {
        "plan": str(file),
        "ok": checked.ok,
        "mistakes": [mistake.as_json() for mistake in checked.mistakes],
    }
    return document | (as_json(checked.foresight) if checked.foresight and checked.ok else {})


def _show(file: Path, checked: Checked) -> None:
    from bibench_deploy.cli.plan_views import overview

    for mistake in checked.mistakes:  # not by rich: an editor that jumps to the line wants it unbroken
        typer.echo(mistake.text(str(file)))
    if checked.ok and checked.foresight is not None:
        console.stdout().print(overview(checked.foresight))
    wrong = sum(not mistake.warning for mistake in checked.mistakes)
    if wrong:
        typer.echo(f"{wrong} mistake{'s' if wrong > 1 else ''}", err=True)
