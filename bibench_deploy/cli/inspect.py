"""``bibench-deploy inspect``: what was recognised, layer by layer, and why the rest was not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from bibench_deploy.graph import BinaryGraph, Layer


def inspect(
    model: Annotated[Path, typer.Argument(help="An ONNX model.", show_default=False, readable=False)],
    json: JsonOption = False,
) -> None:
    """Show which layers of a model are binary, and why the others are not."""
    from rich.markup import escape

    from bibench_deploy.converters.reader import read
    from bibench_deploy.converters.reader.algorithm import algorithm_like

    graph = read(model)
    algorithm = algorithm_like(graph.layers)
    if json:
        console.print_json(_document(graph, algorithm))
        return
    out = console.stdout()
    binary = [layer for layer in graph.layers if layer.kind == "binary"]
    weights = sum(layer.params for layer in graph.layers)
    macs = sum(layer.macs for layer in graph.layers)
    out.print(_table(graph.layers))
    for layer in graph.layers:
        if layer.looks_binary:
            out.print(f"[bold]{escape(layer.name)}[/bold] stayed float: {escape(layer.why_not_binary or '')}")
    if binary:
        params_share = sum(layer.params for layer in binary) / weights
        macs_share = sum(layer.macs for layer in binary) / macs
        out.print(
            f"{len(binary)} binary layers hold {params_share:.1%} of {weights:,} weights and {macs_share:.1%} of "
            f"{macs:,} multiply-accumulates. Deployed, the model amounts to [bold]{algorithm}[/bold]."
        )
    else:
        out.print(f"No binary layer; {weights:,} weights, {macs:,} multiply-accumulates.")
    trained = graph.source.metadata.get("bibench.algorithm")
    if trained:
        out.print(f"The file says that it was trained as {escape(trained)}.")


def _table(layers: tuple[Layer, ...]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", overflow="fold")
    table.add_column("kind")
    table.add_column("operator", overflow="fold")
    table.add_column("factor")
    for name in ("pad", "params", "MACs"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in layers:
        if layer.kind == "other":
            continue
        binary = layer.kind == "binary"
        factor = layer.scale + (" + shift" if layer.mean_shift else "") if binary else ""
        pad = "" if layer.pad_value is None else f"{layer.pad_value:+g}" if layer.pad_value else "0"
        cells = (
            escape(layer.name),
            layer.kind,
            operator(layer),
            factor,
            pad,
            f"{layer.params:,}",
            f"{layer.macs:,}",
        )
        table.add_row(*cells, style="green" if binary else None)
    return table


def operator(layer: Layer) -> str:
    """One layer's geometry in the field's shorthand: ``conv2d 3×3 64→128 /2``."""
    shape = layer.weight_shape
    if len(shape) < 2:
        return layer.op
    parts = [f"{layer.op} {'×'.join(map(str, shape[2:]))}".strip(), f"{shape[1] * layer.groups}→{shape[0]}"]
    if any(step > 1 for step in layer.stride):
        sizes = layer.stride if len(set(layer.stride)) > 1 else layer.stride[:1]
        parts.append("/" + "×".join(map(str, sizes)))
    if layer.groups > 1:
        parts.append(f"{layer.groups} groups")
    return " ".join(parts)


def _document(graph: BinaryGraph, algorithm: str) -> dict[str, Any]:
    return {
        "model": str(graph.source.path),
        "sha256": graph.source.sha256,
        "algorithm_like": algorithm,
        "metadata": graph.source.metadata,
        "layers": [_layer(layer) for layer in graph.layers],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": layer.name,
        "nodes": list(layer.nodes),
        "kind": layer.kind,
        "op": layer.op,
        "weight_shape": list(layer.weight_shape),
        "scale": layer.scale,
        "mean_shift": layer.mean_shift,
        "pad_value": layer.pad_value,
        "stride": list(layer.stride),
        "groups": layer.groups,
        "params": layer.params,
        "macs": layer.macs,
    }
    if layer.why_not_binary is not None:
        document["why_not_binary"] = layer.why_not_binary
        document["looks_binary"] = layer.looks_binary
    return document
