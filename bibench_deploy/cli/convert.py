"""``bibench-deploy convert``: verified artefacts for every engine that can take a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.cli import console, targets
from bibench_deploy.cli.options import AllowOption, JsonOption

if TYPE_CHECKING:
    from bibench_deploy.artefacts import Artefact
    from bibench_deploy.conversion import Conversion

#: Notes that say why a model is not converted although the engine could take it.
_LATER = ("planned", "no-conversion-yet")


@targets.dealing_with_devices
def convert(
    manner: targets.Manner,
    model: Annotated[
        Path,
        typer.Argument(
            help="An ONNX model (or, for larq, a Keras file or SavedModel folder).",
            show_default=False,
            readable=False,
        ),
    ],
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine", "-e", help="Convert for this engine (repeatable). Default: every one that can."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Workspace. [default: $BIBENCH_WORKSPACE or bibench-workspace]",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="X.npz", help="Verify on real inputs too (and labels, for the accuracy)."
        ),
    ] = None,
    allow: AllowOption = None,
    twin: Annotated[bool, typer.Option("--twin/--no-twin", help="Emit the fp32 twin, the baseline.")] = True,
    save_graph: Annotated[
        bool, typer.Option("--save-graph", help="Write the fused binary graph as ONNX too.")
    ] = False,
    verify_on: Annotated[
        str | None,
        typer.Option(
            "--verify-on", metavar="ID", help="Also execute the artefacts on this device, and compare."
        ),
    ] = None,
    inventory: targets.InventoryOption = None,
    profiles: targets.ProfilesOption = None,
    json: JsonOption = False,
) -> None:
    """Convert a model, prove that the artefacts compute what it computes, and say why an engine can't take it.

    Ends with 0 if something was converted (for every --engine asked for), else with 1.

    With --verify-on it also ends with 1 if one computes something else on that device; all stay in the workspace.
    """
    from bibench_deploy import conversion
    from bibench_deploy.cli import verify_on as on_device
    from bibench_deploy.converters.deployability import parse_allow
    from bibench_deploy.converters.larq.savedmodel import is_keras
    from bibench_deploy.runners.workspace import workspace_folder

    folder = workspace_folder(output)
    device = on_device.chosen(verify_on, inventory, profiles or []) if verify_on is not None else None
    with console.stderr().status("") as status:
        if is_keras(model):
            from bibench_deploy.keras_conversion import convert_keras_model

            _refuse_for_keras(model, engine, data, allow, save_graph)
            result = convert_keras_model(model, folder, status.update)
        else:
            result = conversion.convert(
                model,
                folder,
                engines=engine or (),
                data=data,
                allowed=parse_allow(allow or ()),
                twin=twin,
                save_graph=save_graph,
                progress=status.update,
            )
    if not json:
        _print(result)
    document = conversion.as_json(result)
    if device is not None and result.artefacts:
        paths = [artefact.path for artefact in result.artefacts]
        document["verified_on"] = on_device.verify_on(device, paths, manner, profiles or [])
        if not json:
            on_device.show(document["verified_on"])
    if json:
        console.print_json(document)
    if not result.artefacts or (engine and result.refused):
        raise typer.Exit(1)


def _refuse_for_keras(
    model: Path, engine: list[str] | None, data: Path | None, allow: list[str] | None, save_graph: bool
) -> None:
    """What needs a binary graph can't be asked of a model that has none."""
    from bibench_deploy.errors import InputError

    asked = {"--data": data, "--allow": allow, "--save-graph": save_graph}
    given = [option for option, value in asked.items() if value]
    given += [f"--engine {name}" for name in engine or () if name != "larq"]
    if given:
        raise InputError(
            f"{given[0]} needs an ONNX model; a Keras model or SavedModel goes to Larq as it is",
            where=str(model),
            remedy="leave the option out, or export the model to ONNX",
        )


def _print(result: Conversion) -> None:
    from rich.markup import escape

    out = console.stdout()
    out.print(f"[bold]{escape(result.model)}[/bold]: {_counted(result.binary_layers, 'binary layer')}")
    for artefact in result.artefacts:
        _print_artefact(artefact)
    for refusal in result.refused:
        assessment = refusal.assessment
        if refusal.missing is not None:
            out.print(
                f"  [dim]{escape(refusal.missing.message)}: {escape(refusal.missing.remedy or '')}[/dim]"
            )
            continue
        if assessment.verdict in ("deployable", "planned"):
            later = [note.message for note in assessment.notes if note.code in _LATER]
            out.print(f"  [dim]{refusal.engine}: {escape(', '.join(later))}[/dim]")
            continue
        reasons = assessment.reasons
        more = f" (and {len(reasons) - 1} more; see 'check')" if len(reasons) > 1 else ""
        first = reasons[0]
        place = f"{escape(first.layer)}: " if first.layer else ""
        out.print(f"  [red]{refusal.engine} can't:[/red] {place}{escape(first.message)}{more}")
        out.print(f"    {escape(first.remedy)}")


def _print_artefact(artefact: Artefact) -> None:
    from rich.markup import escape

    out = console.stdout()
    manifest, found = artefact.manifest, artefact.verification
    size = manifest.size_bytes / 1e6
    out.print(
        f"  [green]{manifest.engine}[/green] {escape(manifest.variant)}: {escape(str(artefact.path))}  "
        f"{size:.2f} MB, {_counted(manifest.binary_ops, 'binary operator')}"
    )
    pieces = [*found.graph, *found.layers]
    largest = max((piece.relative for piece in pieces), default=0.0)
    inner = f"{len(pieces)} inner values agree with {found.reference} to {largest:.1e}; " if pieces else ""
    by = (
        ""
        if found.by == "engine"
        else f" (executed by a {found.by} of {manifest.engine}, not by its library)"
    )
    out.print(
        f"    verified{by}: {inner}{found.random.within:.0%} of {found.random.rows} random rows "
        f"are within {found.tolerances['row']:g} of {found.reference}"
    )
    if found.data is not None:
        text = f"    on {found.data.rows} real rows {found.data.differing_classes} predictions differ"
        if found.data.tied_classes:
            text += f", {found.data.tied_classes} where the model itself has two classes as good as equal"
        if found.data.accuracy is not None:
            before, after = found.data.accuracy
            text += f"; accuracy {before:.2%} before, {after:.2%} after"
        out.print(text)
    for change in manifest.changes:
        out.print(f"    [yellow]changed:[/yellow] {escape(change)}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
