"""Keras files and SavedModels (a model trained with larq) as verified Larq artefacts.

There is no ONNX model and so no binary graph: LCE's own converter does the work, the artefact is audited alone, and
the reference is the Keras model itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bibench_deploy.artefacts import keep
from bibench_deploy.conversion import Conversion
from bibench_deploy.converters.agreement import ROW_TOLERANCE
from bibench_deploy.converters.engine import load_engine
from bibench_deploy.converters.larq.savedmodel import Converted, convert_keras
from bibench_deploy.converters.manifest import SourceModel
from bibench_deploy.converters.verification import EndToEnd, Verification
from bibench_deploy.files import make_folder
from bibench_deploy.runners.session import opener

ENGINE = "larq"
#: A Keras model does not say which algorithm it was trained with.
VARIANT = "larq"


def convert_keras_model(
    model: Path, folder: Path, progress: Callable[[str], None] = lambda message: None
) -> Conversion:
    """Convert a .keras or .h5 file or a SavedModel's folder for Larq.

    Raises:
        ModelFileError: it is no such model.
        MissingExtraError: LCE or TensorFlow is not installed.
        ConversionError: LCE's converter failed or left a binary convolution in float.
        VerificationError: the artefact computes something else.
        OutputPathError, StorageError: it can't be written.
    """
    make_folder(folder)
    progress(f"converting {model.name} with TensorFlow")
    converted = convert_keras(model)
    emitted = converted.emitted
    progress(f"verifying {model.name}")
    run = opener(ENGINE)(emitted.data, emitted.inputs, emitted.outputs)
    found = _verification(converted, converted.differences(run))
    source = SourceModel(file=model.name, sha256=_digest(model))
    path = folder / f"{model.stem}.{ENGINE}{emitted.suffix}"
    artefact = keep(path, load_engine(ENGINE), source, VARIANT, emitted, found)
    return Conversion(model.stem, emitted.binary_ops, None, (artefact,), ())


def _verification(converted: Converted, differences: list[float]) -> Verification:
    relative = np.asarray(differences)
    within = float((relative <= ROW_TOLERANCE).mean())
    median = float(np.median(relative))
    problem = None
    if median > ROW_TOLERANCE:
        problem = f"half of {len(relative)} random rows differ from the Keras model by more than {median:.2%}"
    result = EndToEnd(len(relative), within, None, None, float(relative.max()), median)
    layers = converted.emitted.binary_ops
    return Verification(problem, (), (), 0, layers, result, reference="keras")


def _digest(model: Path) -> str:
    """sha256 of a file, or of all files of a SavedModel's folder with their names, in order."""
    digest = hashlib.sha256()
    files = [model] if model.is_file() else sorted(path for path in model.rglob("*") if path.is_file())
    for file in files:
        digest.update(str(file.relative_to(model)).encode() + b"\0" if file != model else b"")
        digest.update(file.read_bytes())
    return digest.hexdigest()
