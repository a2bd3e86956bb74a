"""``bibench-deploy zoo``: list, export and train binarized networks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption

if TYPE_CHECKING:
    from bibench_deploy.zoo.training import EpochReport

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
    as_json: JsonOption = False,
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
    if checkpoint is not None:
        _require_torch("zoo export")
        from bibench_deploy.zoo import checkpoint as checkpoints
        from bibench_deploy.zoo.export import export_trained

        state = checkpoints.load(checkpoint)
        trained = state.recipe.spec
        if (arch, algorithm, options) != (trained.arch, trained.algorithm, trained.options):
            raise InputError(
                f"was trained as {trained.arch} with {trained.algorithm} and {trained.options}",
                where=str(checkpoint),
                remedy="export it with the same architecture, algorithm and options",
            )
        export_trained(state, exporter=exporter, opset=opset, output=output)
    else:
        if dataset is None:
            raise InputError(
                "no data set given",
                where="--dataset",
                remedy=f"choose one of: {', '.join(registry.DATASETS)}",
            )
        shape = registry.dataset(dataset)
        registry.require_dataset(arch, shape)
        _require_torch("zoo export")
        from bibench_deploy.zoo.export import export_random

        export_random(
            arch, algorithm, shape, options, seed=seed, exporter=exporter, opset=opset, output=output
        )
    console.stderr().print(f"wrote {output}", markup=False)


@app.command("train")
def train(
    arch: ArchArgument,
    output: OutputOption,
    algorithm: AlgorithmOption = "bireal",
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Arrays images, labels[, test_images, test_labels]; else Fashion-MNIST."),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 5,
    batch_size: Annotated[int, typer.Option("--batch-size", min=2)] = 100,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate of the first step.")] = 2e-3,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    exporter: ExporterOption = "torchscript",
    opset: OpsetOption = None,
    sign_zero: SignZeroOption = 1,
    padding: PaddingOption = 0,
    xnor_k: XnorKOption = "location",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint beside the output.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a small network on this machine's processor and write it as ONNX, its accuracy in the metadata.

    The checkpoint stands beside the output, with suffix .ckpt.

    Ctrl-C stops after the running step and says how to go on.
    """
    from bibench_deploy.errors import InputError
    from bibench_deploy.zoo import registry

    registry.architecture(arch)
    registry.algorithm(algorithm)
    options = registry.options(sign_zero=sign_zero, pad_value=padding, xnor_k=xnor_k)
    if not 0 < lr < 1:
        raise InputError(f"a learning rate of {lr} can't train", where="--lr", remedy="choose 0.001 to 0.01")
    _require_torch("zoo train")
    from bibench_deploy.files import check_output
    from bibench_deploy.zoo.build import ModelSpec
    from bibench_deploy.zoo.checkpoint import Recipe
    from bibench_deploy.zoo.data import fashion_mnist, from_npz
    from bibench_deploy.zoo.export import export_trained
    from bibench_deploy.zoo.interruption import interruptible
    from bibench_deploy.zoo.onnx_export import check_exporter
    from bibench_deploy.zoo.training import Callbacks
    from bibench_deploy.zoo.training import train as run

    check_output(output)
    check_exporter(exporter, opset)
    checkpoint = output.with_suffix(".ckpt")
    if checkpoint == output:
        raise InputError("ends in .ckpt", where=str(output), remedy="name the model .onnx")
    images = fashion_mnist() if data is None else from_npz(data)
    spec = ModelSpec(arch, algorithm, images.dataset, options)
    recipe = Recipe(spec, epochs, batch_size, lr, seed, images.fingerprint)
    with _training_progress() as (on_step, on_epoch), interruptible() as stop:
        state = run(recipe, images, checkpoint, resume=resume, callbacks=Callbacks(on_step, on_epoch, stop))
    if not state.finished:
        command = shlex.join(["bibench-deploy", *sys.argv[1:]])
        if not resume:
            command += " --resume"
        typer.echo(f"interrupted after step {state.step}; go on with:\n  {command}", err=True)
        raise typer.Exit(console.INTERRUPTED)
    export_trained(state, exporter=exporter, opset=opset, output=output)
    if as_json:
        console.print_json(
            {
                "model": str(output),
                "checkpoint": str(checkpoint),
                "arch": arch,
                "algorithm": algorithm,
                "accuracy": state.accuracy,
                "accuracy_images": state.test_images,
            }
        )
    else:
        typer.echo(f"{output}: {state.accuracy:.2%} of {state.test_images} test images right")


@contextmanager
def _training_progress() -> Iterator[tuple[Callable[[int, int], None], Callable[[EpochReport], None]]]:
    """A progress bar on a terminal's stderr, and one line an epoch there or in a log."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    err = console.stderr()
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("training", total=None)

        def on_step(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        def on_epoch(report: EpochReport) -> None:
            err.print(
                f"epoch {report.epoch}: loss {report.loss:.4f}, {report.accuracy:.2%} of its images right"
            )

        yield on_step, on_epoch


def _require_torch(what: str) -> None:
    """MissingExtraError unless the extra ``zoo`` is installed."""
    from bibench_deploy.errors import MissingExtraError

    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as missing:
        raise MissingExtraError("zoo", what) from missing
