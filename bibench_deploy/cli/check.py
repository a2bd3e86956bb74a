"""``bibench-deploy check``: which engines can take a model, and what stands in the way of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import AllowOption, JsonOption

if TYPE_CHECKING:
    from bibench_deploy.converters.deployability import Assessment, Change, Note, Reason
    from bibench_deploy.graph import BinaryGraph

T = TypeVar("T", "Reason", "Note", "Change")

_STYLE = {
    "deployable": "green",
    "changes_function": "yellow",
    "not_deployable": "red",
    "planned": "dim",
}


def check(
    model: Annotated[Path, typer.Argument(help="ONNX model.", show_default=False, readable=False)],
    engine: Annotated[
        list[str] | None,
        typer.Option("--engine", "-e", help="Judge this engine only (repeatable). Default: all."),
    ] = None,
    allow: AllowOption = None,
    json: JsonOption = False,
) -> None:
    """Which engines can execute a model and compute the same function, and if not, why and what to do.

    Ends with 0 if at least one of the engines asked for can, else with 1.
    """
    from bibench_deploy.converters.capabilities import known_engines, load
    from bibench_deploy.converters.deployability import assess, parse_allow
    from bibench_deploy.converters.fusion import fuse
    from bibench_deploy.converters.reader import read

    allowed = parse_allow(allow or [])
    capabilities = [load(name) for name in dict.fromkeys(engine or known_engines())]
    graph = fuse(read(model))
    assessments = [assess(graph, each, allowed) for each in capabilities]
    if json:
        console.print_json(document(graph, assessments))
    else:
        _print(graph, assessments)
    if not any(each.verdict == "deployable" for each in assessments):
        raise typer.Exit(1)


def document(graph: BinaryGraph, assessments: Iterable[Assessment]) -> dict[str, Any]:
    """The JSON document of ``check``; every reason of every layer, nothing collapsed."""
    return {
        "model": str(graph.source.path),
        "binary_layers": len(graph.binary_layers),
        "engines": {
            each.engine: {
                "verdict": each.verdict,
                "reasons": [asdict(reason) for reason in each.reasons],
                "notes": [asdict(note) for note in each.notes],
                "changes": [asdict(change) for change in each.changes],
            }
            for each in assessments
        },
    }


def places(found: list[tuple[str, str]]) -> str:
    """Where something holds, in a few words: one place, or how many and the first.

    Args:
        found: (node, layer) of each; the layer is empty where a node belongs to none.
    """
    node, layer = found[0]
    first = f"{layer} (node {node})" if layer and node else layer or (f"node {node}" if node else "the model")
    layers = {layer for _, layer in found if layer}
    if len(layers) > 1:
        return f"{len(layers)} layers, first {first}"
    return f"{len(found)} nodes, first {first}" if len(found) > 1 else first


def _print(graph: BinaryGraph, assessments: list[Assessment]) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = console.stdout()
    count = len(graph.binary_layers)
    out.print(f"{escape(graph.source.path.name)}: {count} binary layer{'' if count == 1 else 's'}")
    table = Table()
    for heading in ("engine", "verdict", "reasons", "notes"):
        table.add_column(heading, justify="right" if heading in ("reasons", "notes") else "left")
    for each in assessments:
        verdict = f"[{_STYLE[each.verdict]}]{each.verdict.replace('_', ' ')}[/]"
        table.add_row(each.engine, verdict, str(len(each.reasons)), str(len(each.notes)))
    out.print(table)
    if not count:
        _print_candidates(graph)
        return
    for each in assessments:
        _print_assessment(each)


def _print_assessment(assessment: Assessment) -> None:
    from rich.markup import escape

    out = console.stdout()
    if assessment.reasons or assessment.changes or assessment.notes:
        out.print(f"\n[bold]{assessment.engine}[/bold]")
    for reason, where in _collapsed(assessment.reasons, lambda r: (r.code, r.message, r.remedy, r.allow)):
        out.print(f"  [red]{reason.code}[/red]  {escape(where)}: {escape(reason.message)}", soft_wrap=True)
        out.print(f"      what to do: {escape(reason.remedy)}", soft_wrap=True)
        if reason.allow:
            out.print(f"      or accept another function: --allow {escape(reason.allow)}", soft_wrap=True)
    for change, where in _collapsed(assessment.changes, lambda c: (c.key, c.message)):
        out.print(f"  [yellow]allowed[/yellow]  {escape(where)}: {escape(change.message)}", soft_wrap=True)
    for note, where in _collapsed(assessment.notes, lambda n: (n.code, n.message)):
        out.print(f"  [dim]note {note.code}[/dim]  {escape(where)}: {escape(note.message)}", soft_wrap=True)


def _print_candidates(graph: BinaryGraph) -> None:
    """A model with no binary layer: what each layer lacks to be one."""
    from rich.markup import escape

    from bibench_deploy.conversion import BINARY_NEEDS

    out = console.stdout()
    out.print("\nNo layer of this model is binary, so there is nothing to deploy on a binary engine.")
    almost = [layer for layer in graph.layers if layer.why_not_binary]
    for layer in almost:
        out.print(f"  {escape(layer.name)}: {escape(layer.why_not_binary or '')}", soft_wrap=True)
    if any(layer.looks_binary for layer in almost):
        out.print(f"  what to do: {BINARY_NEEDS}", soft_wrap=True)
    if not almost:
        out.print("  All of its layers have float weights: was the binarized model exported, in eval mode?")


def _collapsed(findings: Iterable[T], key: Callable[[T], tuple[object, ...]]) -> list[tuple[T, str]]:
    """Findings that say the same, once, with their places."""
    groups: dict[tuple[object, ...], list[T]] = {}
    for finding in findings:
        groups.setdefault(key(finding), []).append(finding)
    return [(group[0], places([(each.node, each.layer) for each in group])) for group in groups.values()]
