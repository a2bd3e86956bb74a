"""Keras models (.keras, .h5) and SavedModels, through LCE's official converter.

There is no binary graph to compare with, so the reference is the Keras model's own outputs, and the audit
looks at the artefact alone: a convolution of binary weights on a binary input that stayed float is an error.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bibench_deploy.errors import ConversionError, MissingExtraError, ModelFileError

from ..engine import Emitted, TensorView
from . import lce
from .audit import audit, binary_ops
from .flatbuffer import Artefact, Signature, parse, signature, weights

Array = npt.NDArray[np.generic]
SUFFIXES = (".keras", ".h5")
#: What gives a convolution a two-valued input.
_STEPS = ("LceDequantize", "SELECT", "SELECT_V2", "SIGN")


@dataclass(frozen=True)
class Converted:
    """A Keras model as an artefact, with what it should compute.

    Attributes:
        emitted: names, shapes and layouts are the Keras model's own (NHWC).
        rows: random inputs and the Keras model's outputs for them.
    """

    emitted: Emitted
    rows: tuple[tuple[Mapping[str, Array], Mapping[str, Array]], ...]

    def differences(self, run: Callable[[Mapping[str, Array]], Mapping[str, Array]]) -> list[float]:
        """Per row, the largest difference of an output relative to the row's largest value.

        Args:
            run: executes the artefact, such as ``LarqSession.run``.
        """
        found = []
        for feeds, wanted in self.rows:
            got = run(feeds)
            pairs = [(wanted[name].astype(np.float64), got[name].astype(np.float64)) for name in wanted]
            found.append(max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12)) for a, b in pairs))
        return found


def is_keras(path: Path) -> bool:
    """Whether a path is a Keras file or a SavedModel's folder."""
    return path.suffix in SUFFIXES or (path / "saved_model.pb").is_file()


def convert_keras(path: Path, rows: int = 4, seed: int = 0) -> Converted:
    """Convert a Keras model or a SavedModel.

    Args:
        path: a .keras or .h5 file, or a SavedModel's folder with the signature serving_default.
        rows: number of random inputs to keep the model's own outputs for.
        seed: of the random inputs.

    Raises:
        ModelFileError: there is no such model.
        MissingExtraError: LCE or TensorFlow is not installed.
        ConversionError: TensorFlow can't load the model, LCE's converter failed, or a layer stayed float.
    """
    lce.versions()
    if find_spec("tensorflow") is None:
        raise MissingExtraError("tensorflow", "converting Keras models and SavedModels")
    if not path.exists() or not is_keras(path):
        raise ModelFileError("it is neither a .keras or .h5 file nor a SavedModel's folder", where=str(path))
    with tempfile.TemporaryDirectory(prefix="bibench-larq-") as folder:
        worker = Path(__file__).with_name("savedmodel_worker.py")
        command = [sys.executable, "-I", str(worker), str(path.resolve()), folder, str(rows), str(seed)]
        data = lce.run_worker(command, Path(folder) / "model.tflite", str(path))
        with np.load(Path(folder) / "rows.npz") as arrays:
            kept = {name: arrays[name] for name in arrays.files}
    artefact = parse(data)
    audit_alone(data, artefact, str(path))
    views = _views(artefact, signature(data), kept)
    emitted = Emitted(data, ".tflite", *views, binary_ops=binary_ops(artefact))
    pairs: list[tuple[dict[str, Array], dict[str, Array]]] = [({}, {}) for _ in range(rows)]
    for key, array in kept.items():
        row, side, name = key.split("/", 2)
        pairs[int(row)][side == "out"][name] = array
    return Converted(emitted, tuple(pairs))


def audit_alone(data: bytes, artefact: Artefact, where: str) -> None:
    """Check an artefact without a graph to compare it with.

    Raises:
        ConversionError: a convolution of binary weights on a two-valued input stayed float.
    """
    producers = {tensor: op.kind for op in artefact.operators for tensor in op.outputs}
    lost = [
        artefact.tensors[op.outputs[0]].node
        for op in artefact.operators
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")
        and producers.get(op.inputs[0]) in _STEPS
        and _nearly_binary(weights(data, op.inputs[1]))
    ]
    if lost:
        raise ConversionError(
            f"LCE's converter left binary convolutions in float: {', '.join(lost)}",
            where=where,
            remedy="a weight that is exactly 0, or an operator between sign and convolution, prevents it",
        )
    audit(artefact, {}, where, count=False)


def _nearly_binary(weight: npt.NDArray[np.float32]) -> bool:
    """Whether the weights have one magnitude in each output channel, but for zeros."""
    rows = np.abs(weight.reshape(weight.shape[0], -1))
    high = rows.max(1, keepdims=True)
    return bool(np.all((rows == 0) | (rows > high * 0.995)) and (high > 0).all())


def _views(
    artefact: Artefact, names: Signature, kept: Mapping[str, Array]
) -> tuple[tuple[TensorView, ...], tuple[TensorView, ...]]:
    """Inputs and outputs by the signature's names."""

    def view(tensor: int, name: str, side: str) -> TensorView:
        shape = kept[f"0/{side}/{name}"].shape
        return TensorView(name, shape, artefact.tensors[tensor].shape)

    return (
        tuple(view(i, names.inputs[i], "in") for i in artefact.inputs),
        tuple(view(i, names.outputs[i], "out") for i in artefact.outputs),
    )
