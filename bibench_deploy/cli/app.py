"""The command ``bibench-deploy``: registers one module a command and turns errors into messages and exit codes.

Command modules import nothing heavy at the top (no numpy, onnx, torch): ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from inspect import getdoc
from typing import Annotated

import typer

from bibench_deploy.cli import (
    check,
    compare,
    complexity,
    console,
    convert,
    devices,
    engines,
    inspect,
    nightly,
    plan,
    profile,
    recommend,
    report,
    results,
    run,
    tracks,
    zoo,
)

EXIT_CODES = (
    "Exit codes: 0 done, 1 the answer is no (not deployable, verification failed), "
    "2 wrong usage or input, 3 device or infrastructure, 130 interrupted."
)

app = typer.Typer(
    name="bibench-deploy",
    help="Run binarized neural networks on real edge devices: convert, prove, measure.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"bibench-deploy {version('bibench-deploy')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (also BIBENCH_DEBUG=1).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""
    console.settings.debug = console.settings.debug or debug


app.command("inspect")(inspect.inspect)
app.command("check")(check.check)
app.command("convert")(convert.convert)
app.command("profile")(profile.profile)
app.command("compare")(compare.compare)
app.command("run")(run.run)
app.command("complexity")(complexity.complexity)
app.command("tracks")(tracks.tracks)
app.command("report")(report.report)
app.command("recommend")(recommend.recommend)
app.command("nightly")(nightly.nightly)
app.add_typer(plan.app, name="plan")
app.add_typer(results.app, name="results")
app.add_typer(devices.app, name="devices")
app.add_typer(engines.app, name="engines")
app.add_typer(zoo.app, name="zoo")


def _let_flow(group: typer.Typer) -> None:
    """Help texts are docstrings, whose lines rich would break where the source does and where the terminal ends."""
    for command in group.registered_commands:
        paragraphs = (getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for below in group.registered_groups:
        if below.typer_instance is not None:
            _let_flow(below.typer_instance)


_let_flow(app)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(console.guarded(app))


if __name__ == "__main__":
    main()
