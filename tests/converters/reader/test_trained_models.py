"""Trained networks on real pictures: layers recognised as they were trained, classes unchanged."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.graph import BinaryGraph

MODELS = Path(__file__).parents[2] / "fixtures" / "models"
FACTS: dict[str, Any] = json.loads((MODELS / "facts.json").read_text(encoding="utf-8"))
FILES = sorted(path.stem for path in MODELS.glob("*.onnx"))
PADDING = {"zero": 0.0, "one": 1.0, "minus": -1.0}
PICTURES = 300
#: Where the newer exporter folds weights before it fuses a batch-norm, the result has the latter's name.
FUSED_INTO_BATCH_NORM = {"body.7": "body.8"}


def facts_of(file: str) -> Any:
    return FACTS[file.split("__")[0]]


def trained_scale(layer: dict[str, Any]) -> str:
    if layer["xnor_k"]:
        return "input"
    return "spatial" if layer["xnorpp"] else str(layer["scale"])


@cache
def recognised(file: str) -> BinaryGraph:
    return read(MODELS / f"{file}.onnx")


@cache
def pictures() -> tuple[Any, Any]:
    data = np.load(MODELS / "fashion_300.npz")
    x = (data["images"].astype(np.float32) / 255 - data["mean"]) / data["std"]
    return x.astype(np.float32)[:, None], data["labels"]


@cache
def source_logits(file: str) -> Any:
    return run(str(MODELS / f"{file}.onnx"))


def run(model: str | bytes) -> Any:
    """Logits of all pictures, one at a time: the graph's batch is 1."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    x, _ = pictures()
    return np.concatenate([session.run(None, {"input": x[i : i + 1]})[0] for i in range(PICTURES)])


def test_every_network_has_its_facts_and_the_other_way_round() -> None:
    assert len(FILES) == 13
    assert {file.split("__")[0] for file in FILES} == set(FACTS)


@pytest.mark.parametrize("file", FILES)
def test_every_layer_as_it_was_trained(file: str) -> None:
    expected = facts_of(file)["binary_layers"]
    found = [layer for layer in recognised(file).layers if layer.kind == "binary"]
    renamed = FUSED_INTO_BATCH_NORM if file.endswith("dynamo__latent") else {}
    assert [layer.name for layer in found] == [renamed.get(name, name) for name in expected]
    for layer, trained in zip(found, expected.values(), strict=True):
        assert list(layer.weight_shape) == trained["shape"]
        assert layer.scale == trained_scale(trained)
        assert layer.pad_value == PADDING[trained["pad"]]
        assert set(layer.stride) == {trained["stride"]}
        assert layer.mean_shift is trained["rsign"]
        assert layer.why_not_binary is None


@pytest.mark.parametrize("file", FILES)
def test_what_stays_float_was_float(file: str) -> None:
    stayed = [layer for layer in recognised(file).layers if layer.kind == "float"]
    assert stayed
    assert {layer.why_not_binary for layer in stayed} == {"weights are real-valued"}


@pytest.mark.parametrize("file", FILES)
def test_the_sign_at_equality(file: str) -> None:
    """torch.sign gives 0 at 0, x >= 0 gives 1: the graph keeps the convention, however it was spelled."""
    acts = {layer["act"] for layer in facts_of(file)["binary_layers"].values()}
    at = {layer.step.at_threshold for layer in recognised(file).binary_layers if layer.step is not None}
    assert at == ({0.0} if acts <= {"torchsign", "detach"} else {1.0})


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("stage", ["recognised", "fused"])
def test_the_same_logits_on_real_pictures(file: str, stage: str) -> None:
    graph = recognised(file) if stage == "recognised" else fuse(recognised(file))
    logits, expected = run(graph.proto().SerializeToString()), source_logits(file)
    close = np.isclose(logits, expected, rtol=1e-3, atol=1e-3).all(axis=1)
    # A sign that lies within rounding of its threshold flips and moves one picture's logits.
    assert close.mean() >= 0.99
    assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.99


@pytest.mark.parametrize("file", FILES)
def test_the_pictures_are_read_as_in_training(file: str) -> None:
    """Otherwise the comparison of logits would compare noise."""
    _, labels = pictures()
    accuracy = (source_logits(file).argmax(1) == labels).mean()
    assert accuracy == pytest.approx(facts_of(file)["test_accuracy"], abs=0.05)
