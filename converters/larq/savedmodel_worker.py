"""Converts a Keras model or a SavedModel with LCE's official converter, in a process of its own.

``python savedmodel_worker.py MODEL FOLDER ROWS SEED`` writes into FOLDER ``model.tflite``, and ``rows.npz``
with random inputs and the model's own outputs for them. TensorFlow is loaded here and in no other process.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

SIGNATURE = "serving_default"


def main(model: str, folder: str, rows: str, seed: str) -> None:
    """Convert one model; errors end the process with their message on stderr."""
    import numpy as np
    import tensorflow as tf
    from larq_compute_engine import convert_saved_model

    path, out = Path(model), Path(folder)
    with tempfile.TemporaryDirectory() as scratch:
        function = signature_of(tf, path) if path.is_dir() else keras_function(tf, path)
        specs = function.structured_input_signature[1]
        save_frozen(tf, function, specs, scratch)
        (out / "model.tflite").write_bytes(convert_saved_model(scratch))
        rng = np.random.default_rng(int(seed))
        arrays: dict[str, Any] = {}
        for row in range(int(rows)):
            feeds = {name: rng.standard_normal(shape_of(name, spec)) for name, spec in specs.items()}
            feeds = {name: array.astype(np.float32) for name, array in feeds.items()}
            results = function(**{name: tf.constant(array) for name, array in feeds.items()})
            arrays |= {f"{row}/in/{name}": array for name, array in feeds.items()}
            arrays |= {f"{row}/out/{name}": array.numpy() for name, array in results.items()}
        np.savez(out / "rows.npz", **arrays)


def signature_of(tf: Any, path: Path) -> Any:
    """The serving function of a SavedModel."""
    loaded = tf.saved_model.load(str(path))
    if SIGNATURE not in loaded.signatures:
        raise SystemExit(f"the SavedModel has no signature {SIGNATURE}")
    function = loaded.signatures[SIGNATURE]
    function.owner = loaded  # its variables live as long as the model
    return function


def keras_function(tf: Any, path: Path) -> Any:
    """A .keras or .h5 file as a function of named inputs for one sample."""
    import keras

    model = keras.models.load_model(path, compile=False)
    names = [tensor.name.split(":")[0].replace("/", "_") for tensor in model.inputs]
    specs = {
        name: tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype, name=name)
        for name, tensor in zip(names, model.inputs, strict=True)
    }

    def call(**inputs: Any) -> dict[str, Any]:
        given = [inputs[name] for name in names]
        results = model(given[0] if len(given) == 1 else given, training=False)
        flat = results if isinstance(results, list | tuple) else [results]
        return {f"output_{i}": tensor for i, tensor in enumerate(flat)}

    function = tf.function(call).get_concrete_function(**specs)
    function.owner = model
    return function


def save_frozen(tf: Any, function: Any, specs: Any, folder: str) -> None:
    """Write a function as a SavedModel without variables: LCE's converter aborts on those of Keras 3."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function)
    order = [tensor.name.split(":")[0] for tensor in frozen.inputs]
    names = sorted(function.structured_outputs)

    def call(**inputs: Any) -> dict[str, Any]:
        results = frozen(*(inputs[name] for name in order))
        return dict(zip(names, results, strict=True))

    fixed = {name: tf.TensorSpec(shape_of(name, spec), tf.float32, name=name) for name, spec in specs.items()}
    module = tf.Module()
    concrete = tf.function(call).get_concrete_function(**fixed)
    tf.saved_model.save(module, folder, signatures={SIGNATURE: concrete})


def shape_of(name: str, spec: Any) -> tuple[int, ...]:
    """Static shape of an input, its batch 1 where it is free."""
    batch, *rest = spec.shape.as_list()
    if None in rest or spec.dtype.name != "float32":
        raise SystemExit(
            f"input {name} is {spec.dtype.name} of shape {spec.shape}; it must be float32 and fixed"
        )
    return (batch or 1, *rest)


if __name__ == "__main__":
    main(*sys.argv[1:])
