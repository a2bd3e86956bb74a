"""``bibench-deploy zoo``: list, export and train binarized networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bibench_deploy.cli import console

app = typer.Typer(help="Binarized operators and architectures: list, export, train.", no_args_is_help=True)

ArchArgument = Annotated[str, typer.Argument(metavar="ARCH", help="Architecture; see 'zoo list'.")]
AlgorithmOption = Annotated[
    str, typer.Option("--algorithm", "-a", help="Algorithm, or fp32; see 'zoo list'.")
]
SignZeroOption = Annotated[int, typer.Option("--sign-zero", help="sign(0): 1, or 0 as torch.sign.")]
PaddingOption = Annotated[int, typer.Option("--padding", help="Pads binarized activations: 0, 1 or -1.")]
XnorKOption = Annotated[str, typer.Option("--xnor-k", help="XNOR's K: one per location, or per sample.")]
ExporterOption = Annotated[str, typer.Option("--exporter", help="torchscript or dynamo.")]
OpsetOption = Annotated[
    int | None, typer.Option("--opset", help="ONNX operator set; by default 17 (torchscript), 18 (dynamo).")
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.")]


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Algorithms, architectures and data sets by identifier."""
    from dataclasses import asdict

    from bibench_deploy.zoo.registry import ALGORITHMS, ARCHITECTURES, DATASETS

    if as_json:
        console.print_json(
            {
                "algorithms": [asdict(entry) for entry in ALGORITHMS.values()],
                "architectures": [asdict(entry) for entry in ARCHITECTURES.values()],
                "datasets": [asdict(entry) for entry in DATASETS.values()],
            }
        )
        return
    from rich.table import Table

    algorithms = Table(
        "algorithm", "scaling factor", "mean shift", "gradient of sign(x)", "paper", title="Algorithms"
    )
    for algorithm in ALGORITHMS.values():
        algorithms.add_row(
            algorithm.id,
            algorithm.scale,
            "yes" if algorithm.mean_shift else "",
            algorithm.backward,
            algorithm.paper,
        )
    architectures = Table("architecture", "binary layers", "data sets", "name", title="Architectures")
    for arch in ARCHITECTURES.values():
        architectures.add_row(arch.id, str(arch.binary_layers), ", ".join(arch.datasets), arch.name)
    out = console.stdout()
    out.print(algorithms)
    out.print(architectures)


@app.command("export")
def export(
    arch: ArchArgument,
    output: OutputOption,
    algorithm: AlgorithmOption = "fp32",
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="imagenet, cifar10 or fashion-mnist.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random weights.")] = 0,
    exporter: ExporterOption = "torchscript",
    opset: OpsetOption = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Weights from 'zoo train' instead of random ones.")
    ] = None,
    sign_zero: SignZeroOption = 1,
    padding: PaddingOption = 0,
    xnor_k: XnorKOption = "location",
) -> None:
    """Write a network as ONNX, with seeded random weights or those of a checkpoint.

    Untrained networks get seeded batch-norm statistics, so that signs are balanced and every layer matters.
    """
    from bibench_deploy.errors import InputError
    from bibench_deploy.zoo import registry

    # Everything a user can mistype is checked before torch is loaded.
    registry.architecture(arch)
    registry.algorithm(algorithm)
    options = registry.options(sign_zero=sign_zero, pad_value=padding, xnor_k=xnor_k)
    if checkpoint is None and dataset is None:
        raise InputError(
            "no data set given", where="--dataset", remedy=f"one of: {', '.join(registry.DATASETS)}"
        )
    shape = None if dataset is None else registry.dataset(dataset)
    if shape is not None:
        registry.require_dataset(arch, shape)
    _require_torch("zoo export")
    from bibench_deploy.zoo.export import export_random

    assert shape is not None
    export_random(arch, algorithm, shape, options, seed=seed, exporter=exporter, opset=opset, output=output)
    console.stderr().print(f"wrote {output}")


def _require_torch(what: str) -> None:
    """MissingExtraError unless the extra ``zoo`` is installed."""
    from bibench_deploy.errors import MissingExtraError

    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as missing:
        raise MissingExtraError("zoo", what) from missing
