"""``bibench-deploy engines``: the engines that are known here, and their programs for devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption

if TYPE_CHECKING:
    from bibench_deploy.converters.capabilities import Capabilities
    from bibench_deploy.runners.registry import Registered

app = typer.Typer(
    help="Inference engines: what is here, and their programs for devices.", no_args_is_help=True
)


@app.command("list")
def list_(
    as_json: JsonOption = False,
) -> None:
    """Every engine, its versions here, and its programs for devices: native's are built, others registered."""
    from bibench_deploy.runners.registry import Registry

    registry = Registry()
    programs = [_program(entry, registry.path(entry)) for entry in registry.entries()]
    document = {"engines": _engines(), "targets": _targets(), "programs": programs}
    if as_json:
        console.print_json(document)
    else:
        _print(document)


@app.command("build")
def build(
    target: Annotated[
        list[str] | None,
        typer.Option("--target", "-t", help="See 'engines list' (repeatable). Default: this machine."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build bibench-run, the native engine's program; what was built before is taken from the cache.

    For this machine the system's C++ compiler is used where there is one. For other targets the extra native
    brings a compiler: static programs that need nothing on the device.
    """
    from bibench_deploy.runners import native_build

    names = list(dict.fromkeys(target or [native_build.HOST]))
    rows = []
    for name in names:
        path = native_build.build(name, progress=lambda message: console.stderr().print(message))
        rows.append(
            {
                "target": name,
                "path": str(path),
                "size_bytes": path.stat().st_size,
                "toolchain": native_build.toolchain(name).version,
            }
        )
    if as_json:
        console.print_json({"programs": rows})
        return
    for row in rows:
        # Paths must stay whole to be copied: no wrapping.
        console.stdout().print(f"{row['target']}  {row['size_bytes']:,} bytes  {row['path']}", soft_wrap=True)


@app.command("add")
def add(
    engine: Annotated[str, typer.Argument(metavar="ENGINE", help="larq or dabnn.", show_default=False)],
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="larq: lce_benchmark_model; dabnn: benchmark_single_model (measures) or run (verifies).",
            show_default=False,
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="TARGET", help="What it is built for. Default: what the file says."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Register an engine's program for devices of one kind. It is copied, and pushed to devices by 'profile'.

    The file has to be that program, built for the target; a program that was registered before is replaced.
    """
    from bibench_deploy.runners.registry import Registry

    registry = Registry()
    entry = registry.add(engine, path, target)
    if as_json:
        console.print_json(_program(entry, registry.path(entry)))
        return
    known = {"static": "needs no C library", "macos": "for macOS"}.get(entry.libc, f"needs {entry.libc}")
    typer.echo(f"{entry.engine} {entry.program} for {entry.target} ({known}): {entry.size_bytes:,} bytes")
    typer.echo(f"sha256 {entry.sha256}")


@app.command("remove")
def remove(
    engine: Annotated[str, typer.Argument(metavar="ENGINE", help="larq or dabnn.", show_default=False)],
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", metavar="TARGET", help="Those for this target alone. Default: all."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Forget an engine's registered programs."""
    from bibench_deploy.runners.registry import Registry

    registry = Registry()
    gone = registry.remove(engine, target)
    if as_json:
        console.print_json({"removed": [_program(entry, registry.path(entry)) for entry in gone]})
        return
    for entry in gone:
        typer.echo(f"removed {entry.engine} {entry.program} for {entry.target}")


def _program(entry: Registered, path: Path) -> dict[str, Any]:
    """A registered program, as JSON."""
    return {**entry.model_dump(mode="json", exclude={"format"}), "path": str(path)}


def _engines() -> list[dict[str, Any]]:
    from bibench_deploy.converters.capabilities import known_engines, load
    from bibench_deploy.converters.engine import engine_names

    emitting = engine_names()
    return [_engine(load(name), name in emitting) for name in known_engines()]


def _engine(capabilities: Capabilities, emits: bool) -> dict[str, Any]:
    from bibench_deploy.converters.engine import load_engine
    from bibench_deploy.errors import MissingExtraError

    versions: dict[str, str] = {}
    missing: str | None = None
    if emits:
        try:
            versions = load_engine(capabilities.engine).versions()
        except MissingExtraError as error:
            missing = f"{error.message}: {error.remedy}"
    return {
        "engine": capabilities.engine,
        "title": capabilities.title,
        "status": capabilities.status,
        "versions": versions,
        "missing": missing,
    }


def _targets() -> list[dict[str, Any]]:
    from bibench_deploy.errors import BibenchError
    from bibench_deploy.runners import native_build

    rows: list[dict[str, Any]] = []
    for name in (native_build.HOST, *native_build.TARGETS):
        known = native_build.TARGETS.get(name)
        try:
            chain, missing = native_build.toolchain(name).version, None
        except BibenchError as error:
            chain, missing = None, f"{error.message}: {error.remedy}"
        path = native_build.built(name) if chain else None
        rows.append(
            {
                "target": name,
                "runs_on": known.runs_on if known else "this machine",
                "toolchain": chain,
                "missing": missing,
                "path": str(path) if path else None,
            }
        )
    return rows


def _print(document: dict[str, list[dict[str, Any]]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = console.stdout()
    engines = Table("engine", "status", "installed")
    for row in document["engines"]:
        installed = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
        status = "not installed" if row["missing"] else row["status"]
        engines.add_row(row["engine"], status, escape(installed or "-"))
    out.print(engines)
    targets = Table("target of native", "runs on", "built with", "built")
    for row in document["targets"]:
        targets.add_row(
            row["target"], row["runs_on"], escape(row["toolchain"] or "-"), "yes" if row["path"] else "no"
        )
    out.print(targets)
    # Below the tables and in one line each: a command must stay whole to be copied.
    for row in (*document["engines"], *document["targets"]):
        if row["missing"]:
            out.print(row["missing"], markup=False, soft_wrap=True)
    if not document["programs"]:
        out.print("no programs of larq or dabnn for devices are registered; see 'engines add'", markup=False)
        return
    programs = Table("registered", "program", "target", "needs", "size", "sha256")
    for row in document["programs"]:
        needs = "nothing" if row["libc"] == "static" else row["libc"]
        size = f"{row['size_bytes'] / 1e6:.1f} MB"
        programs.add_row(row["engine"], row["program"], row["target"], needs, size, row["sha256"][:12])
    out.print(programs)
