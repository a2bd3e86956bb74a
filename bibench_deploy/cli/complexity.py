"""``bibench-deploy complexity``: parameters, operations, and what binarization saves of them in theory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption

if TYPE_CHECKING:
    from bibench_deploy.complexity import Complexity, LayerCost


def complexity(
    model: Annotated[Path, typer.Argument(help="An ONNX model.", show_default=False, readable=False)],
    as_json: JsonOption = False,
) -> None:
    """Count parameters and multiply-accumulates; compression and speedup by BiBench's Eq. 7 and 8.

    These are ratios on paper: a binary weight counts 1/32 of a float, 64 binary operations as one. What a device
    makes of them is what 'profile' measures.
    """
    from bibench_deploy.complexity import complexity as evaluate
    from bibench_deploy.complexity import layer_costs
    from bibench_deploy.converters.reader import read
    from bibench_deploy.errors import UnsupportedModelError

    graph = read(model)
    try:
        found = evaluate(layer_costs(graph))
    except ValueError as error:
        raise UnsupportedModelError(str(error), where=str(model)) from error
    if as_json:
        console.print_json(_document(found))
    else:
        _print(found)


def _document(found: Complexity) -> dict[str, Any]:
    layers = [
        {**asdict(layer), "compression": layer.compression, "speedup": layer.speedup}
        for layer in found.layers
    ]
    return {
        "params": found.params,
        "macs": found.macs,
        "compression": found.compression,
        "speedup": found.speedup,
        "overall": found.overall,
        "layers": layers,
    }


def _print(found: Complexity) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("layer", "whole model", overflow="fold")
    table.add_column("kind")
    for title, footer in (
        ("params", f"{found.params:,}"),
        ("MACs", f"{found.macs:,}"),
        ("compression", f"{found.compression:.2f}"),
        ("speedup", f"{found.speedup:.2f}"),
    ):
        table.add_column(title, footer, justify="right", no_wrap=True)
    for layer in found.layers:
        table.add_row(escape(layer.name), layer.kind, *_cells(layer))
    out = console.stdout()
    out.print(table)
    out.print(f"overall metric (Eq. 8): [bold]{found.overall:.2f}[/bold]")


def _cells(layer: LayerCost) -> tuple[str, ...]:
    ratios = (layer.compression, layer.speedup)
    return (
        f"{layer.params:,}",
        f"{layer.macs:,}",
        *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
    )
