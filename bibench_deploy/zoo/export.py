"""What ``zoo export`` and ``zoo train`` end with: a network as ONNX, its origin in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bibench_deploy.errors import InputError
from bibench_deploy.files import check_output
from bibench_deploy.zoo.build import ModelSpec, build, deploy, randomize
from bibench_deploy.zoo.checkpoint import Checkpoint
from bibench_deploy.zoo.onnx_export import check_exporter, save, to_onnx
from bibench_deploy.zoo.registry import Dataset, OperatorOptions


def metadata(spec: ModelSpec, *, seed: int) -> Mapping[str, str]:
    """What is stored of a model in ``metadata_props``; every value a string."""
    return {
        "bibench.algorithm": spec.algorithm,
        "bibench.arch": spec.arch,
        "bibench.dataset": spec.dataset.id,
        "bibench.seed": str(seed),
        "bibench.sign_zero": str(spec.options.sign_zero),
        "bibench.padding": str(spec.options.pad_value),
    }


def export_random(
    arch: str,
    algorithm: str,
    dataset: Dataset,
    options: OperatorOptions,
    *,
    seed: int,
    exporter: str = "torchscript",
    opset: int | None = None,
    output: Path,
) -> None:
    """Write a network with seeded weights and statistics.

    Raises:
        InputError: unknown identifier, exporter or operator set.
        OutputPathError: the file can't be written.
    """
    chosen, opset = check_exporter(exporter, opset)
    check_output(output)
    spec = ModelSpec(arch, algorithm, dataset, options)
    model = build(spec, seed=seed)
    randomize(model, dataset, seed=seed)
    deploy(model)
    proto = to_onnx(
        model, dataset.input_shape, exporter=chosen, opset=opset, metadata=metadata(spec, seed=seed)
    )
    save(proto, output)


def export_trained(
    checkpoint: Checkpoint,
    *,
    exporter: str = "torchscript",
    opset: int | None = None,
    output: Path,
) -> None:
    """Write the network of a checkpoint, with its accuracy once it is finished.

    The metadata then also holds ``bibench.accuracy`` (a fraction), ``bibench.accuracy_images`` (of how many
    test images), ``bibench.input_mean`` and ``bibench.input_std``: the input is
    ``(images / 255 − mean) / std``. Mean and std are one number, or a JSON list of one a channel.

    Raises:
        InputError: unknown exporter or operator set, or weights that don't fit the architecture.
        OutputPathError: the file can't be written.
    """
    chosen, opset = check_exporter(exporter, opset)
    check_output(output)
    spec = checkpoint.recipe.spec
    model = build(spec, seed=checkpoint.recipe.seed)
    try:
        model.load_state_dict(checkpoint.model)
    except RuntimeError as unfit:
        raise InputError(
            f"the checkpoint doesn't fit {spec.arch} ({unfit})", remedy="train it again"
        ) from unfit
    deploy(model)
    properties = dict(metadata(spec, seed=checkpoint.recipe.seed))
    properties["bibench.input_mean"] = _numbers(checkpoint.mean)
    properties["bibench.input_std"] = _numbers(checkpoint.std)
    if checkpoint.accuracy is not None:
        properties["bibench.accuracy"] = f"{checkpoint.accuracy:.6g}"
        properties["bibench.accuracy_images"] = str(checkpoint.test_images)
    proto = to_onnx(model, spec.dataset.input_shape, exporter=chosen, opset=opset, metadata=properties)
    save(proto, output)


def _numbers(values: tuple[float, ...]) -> str:
    return json.dumps(values[0] if len(values) == 1 else list(values))
