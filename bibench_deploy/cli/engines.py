"""``bibench-deploy engines``: the engines that are known here, and the native engine's programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console

if TYPE_CHECKING:
    from bibench_deploy.converters.capabilities import Capabilities

app = typer.Typer(help="Inference engines: what is here, and building the native one.", no_args_is_help=True)


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Every engine, its versions here, and the targets that the native engine's program can be built for."""
    document = {"engines": _engines(), "targets": _targets()}
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
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
        engines.add_row(row["engine"], row["status"], escape(row["missing"] or installed or "-"))
    out.print(engines)
    targets = Table("target of native", "runs on", "built with", "built")
    for row in document["targets"]:
        chain = escape(row["toolchain"] or row["missing"] or "")
        targets.add_row(row["target"], row["runs_on"], chain, "yes" if row["path"] else "no")
    out.print(targets)
