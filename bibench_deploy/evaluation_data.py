"""Inputs for verification: random rows, and a user's real ones from an .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from bibench_deploy.errors import DataError
from bibench_deploy.graph import BinaryGraph
from bibench_deploy.runners.arrays import InputSpec, match_inputs, read_npz

Batch = Mapping[str, npt.NDArray[np.generic]]

#: Random rows are drawn until the reference has done about this many multiply-accumulates.
_RANDOM_MACS = 20e9
_RANDOM_ROWS = (4, 32)


@dataclass(frozen=True)
class Evaluation:
    """Real inputs in the model's batches, with labels where the file has them."""

    batches: tuple[Batch, ...]
    labels: npt.NDArray[np.int64] | None


def input_specs(graph: BinaryGraph) -> tuple[InputSpec, ...]:
    """What the model takes: NCHW as the ONNX model has it, batch first."""
    specs = []
    for value in graph.source.proto.graph.input:
        tensor = value.type.tensor_type
        shape = tuple(dim.dim_value for dim in tensor.shape.dim)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        specs.append(InputSpec(value.name, shape, dtype))
    names = {value.name for value in graph.model.graph.inputs}
    return tuple(spec for spec in specs if spec.name in names)


def random_rows(graph: BinaryGraph, seed: int = 0) -> tuple[Batch, ...]:
    """Batches of standard normal inputs: 32, fewer for large models (at least 4)."""
    generator = np.random.default_rng(seed)
    macs = max(sum(layer.macs for layer in graph.layers), 1)
    count = int(np.clip(_RANDOM_MACS / macs, *_RANDOM_ROWS))
    specs = input_specs(graph)
    return tuple({spec.name: _random(spec, generator) for spec in specs} for _ in range(count))


def _random(spec: InputSpec, generator: np.random.Generator) -> npt.NDArray[np.generic]:
    shape = tuple(size or 1 for size in spec.shape)
    if spec.dtype == "bool":
        return generator.random(shape) < 0.5
    if np.dtype(spec.dtype).kind in "iu":
        return np.zeros(shape, spec.dtype)
    return generator.standard_normal(shape).astype(spec.dtype)


def load_evaluation(file: Path, graph: BinaryGraph) -> Evaluation:
    """Real inputs from an .npz file.

    The file holds one array per model input as the ONNX model takes it, or ``images`` (N, H, W) or (N, C, H,
    W) of uint8 with ``mean`` and ``std``, from which the input is ``(images / 255 − mean) / std`` (flattened
    for a model that takes rows of numbers). ``labels`` (N,) are optional. Rows that don't fill the last
    batch of a model with a fixed batch are left out.

    Raises:
        DataError: the arrays don't fit the model.
    """
    arrays = dict(read_npz(file))
    labels = arrays.pop("labels", None)
    specs = input_specs(graph)
    if len(specs) == 1 and specs[0].name not in arrays and "images" in arrays:
        arrays = {specs[0].name: _normalised(arrays, specs[0], str(file))}
    inputs, _ = match_inputs(arrays, specs, str(file))
    for name, array in inputs.items():
        _check_finite(name, array, str(file))
    batch = specs[0].shape[0] or 1
    rows = len(next(iter(inputs.values())))
    if labels is not None and (labels.ndim != 1 or len(labels) != rows):
        raise DataError(
            f"labels of shape {labels.shape} for {rows} rows", where=str(file), remedy="give one label a row"
        )
    if labels is not None and labels.dtype.kind not in "iu":
        raise DataError(f"labels are {labels.dtype}", where=str(file), remedy="give the class's number a row")
    used = rows // batch * batch
    if used == 0:
        raise DataError(
            f"{rows} rows, but the model takes {batch} at once", where=str(file), remedy="give more rows"
        )
    batches = tuple(
        {name: array[start : start + batch] for name, array in inputs.items()}
        for start in range(0, used, batch)
    )
    return Evaluation(batches, None if labels is None else labels[:used].astype(np.int64))


def _normalised(arrays: Batch, spec: InputSpec, where: str) -> npt.NDArray[np.float32]:
    images = arrays["images"]
    if images.dtype != np.uint8 or "mean" not in arrays or "std" not in arrays:
        raise DataError(
            "'images' must be uint8, with 'mean' and 'std' beside it",
            where=where,
            remedy=f"or give the normalised input itself as '{spec.name}'",
        )
    shape = tuple(size or 1 for size in spec.shape[1:])
    grey = images.ndim == 3 and shape[:1] == (1,) and images.shape[1:] == shape[1:]
    flat = len(shape) == 1 and int(np.prod(images.shape[1:])) == shape[0]
    if images.shape[1:] != shape and not grey and not flat:
        raise DataError(
            f"'images' has the shape {images.shape}", where=where, remedy=f"the model takes {spec}"
        )
    pixels = images.astype(np.float32).reshape((len(images), *shape)) / np.float32(255)
    mean, std = (_per_channel(key, arrays[key], shape, where) for key in ("mean", "std"))
    if not (std > 0).all():
        raise DataError("'std' must be positive", where=where, remedy="give the one of the training")
    return ((pixels - mean) / std).astype(np.float32)


def _per_channel(
    name: str, array: npt.NDArray[np.generic], shape: tuple[int, ...], where: str
) -> npt.NDArray[np.float32]:
    if array.dtype.kind not in "fiu" or array.size not in (1, shape[0]):
        raise DataError(
            f"'{name}' has the shape {array.shape} ({array.dtype})",
            where=where,
            remedy=f"give one number, or one for each of the {shape[0]} channels",
        )
    vector = np.asarray(array, np.float32)
    _check_finite(name, vector, where)
    return vector.reshape((-1,) + (1,) * (len(shape) - 1)) if vector.size > 1 else vector.reshape(())


def _check_finite(name: str, array: npt.NDArray[np.generic], where: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(
            f"'{name}' holds numbers that are not finite", where=where, remedy="look at how the file was made"
        )
