"""The example model is small, trained, and as accurate on its test images as its metadata says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

pytestmark = pytest.mark.zoo

EXAMPLES = Path(__file__).parents[2] / "examples"
MODEL = EXAMPLES / "fashion_vgg-tiny_bireal.onnx"


def test_the_example_model_classifies_the_example_images() -> None:
    properties = {entry.key: entry.value for entry in onnx.load(MODEL).metadata_props}
    with np.load(EXAMPLES / "fashion_test.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
        mean, std = float(arrays["mean"]), float(arrays["std"])
    assert images.shape == (1000, 28, 28)
    assert (mean, std) == (
        pytest.approx(float(properties["bibench.input_mean"])),
        pytest.approx(float(properties["bibench.input_std"])),
    )
    x = ((images[:, None] / 255 - mean) / std).astype(np.float32)
    logits = onnxruntime.InferenceSession(MODEL.read_bytes()).run(None, {"input": x})[0]
    accuracy = (logits.argmax(axis=1) == labels).mean()
    # 1,000 of the 10,000 images that the metadata speaks of: a standard error of 0.009.
    assert accuracy == pytest.approx(float(properties["bibench.accuracy"]), abs=0.03)
    assert properties["bibench.accuracy_images"] == "10000"
    assert accuracy > 0.85
    assert MODEL.stat().st_size < 600_000


def test_the_example_model_has_the_conventions_it_says() -> None:
    properties = {entry.key: entry.value for entry in onnx.load(MODEL).metadata_props}
    chosen = {key.removeprefix("bibench."): value for key, value in properties.items()}
    assert (chosen["algorithm"], chosen["arch"]) == ("bireal", "vgg-tiny")
    assert (chosen["sign_zero"], chosen["padding"], chosen["dataset"]) == ("1", "0", "fashion-mnist")
