"""``zoo export``: a network by its identifiers, written as ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bibench_deploy.zoo.build import ModelSpec, build, deploy, randomize
from bibench_deploy.zoo.files import check_output
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
