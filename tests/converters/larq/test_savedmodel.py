"""Keras models through LCE's official converter, and that converter as the oracle of our own path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bibench_deploy.converters.larq import savedmodel
from bibench_deploy.converters.larq.emitter import emit
from bibench_deploy.converters.larq.flatbuffer import parse
from bibench_deploy.converters.larq.savedmodel import Converted, convert_keras, is_keras
from bibench_deploy.errors import ConversionError, MissingExtraError, ModelFileError
from bibench_deploy.runners.larq import LarqSession
from support.binary_graphs import binary_layer, make_graph, run

pytestmark = pytest.mark.larq
RNG = np.random.default_rng(20)
WEIGHT = RNG.choice(np.array([-1, 1], np.int8), (16, 8, 3, 3))
MULTIPLIER = RNG.normal(size=16).astype(np.float32)
BIAS = RNG.normal(size=16).astype(np.float32)
STEM = RNG.normal(size=(8, 3, 3, 3)).astype(np.float32)


def saved_network(folder: Path, zero: bool = False) -> Path:
    """A SavedModel: float convolution, sign, binary convolution, factor and bias, mean; NHWC, batch free."""
    tf = pytest.importorskip("tensorflow")
    weight = WEIGHT.transpose(2, 3, 1, 0).astype(np.float32)
    if zero:
        weight[0, 0, 0, 0] = 0

    class Network(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> dict[str, Any]:
            x = tf.nn.conv2d(x, STEM.transpose(2, 3, 1, 0), 1, "SAME")
            x = tf.where(x >= 0, 1.0, -1.0)
            x = tf.nn.conv2d(x, weight, 1, "SAME") * MULTIPLIER + BIAS
            return {"y": tf.reduce_mean(x, [1, 2])}

    network = Network()
    tf.saved_model.save(network, str(folder), signatures=network.__call__.get_concrete_function())
    return folder


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The network, converted once."""
    return convert_keras(saved_network(tmp_path_factory.mktemp("saved") / "net"))


@pytest.mark.tensorflow
class TestSavedModels:
    def test_the_artefact_computes_what_the_model_computes(self, converted: Converted) -> None:
        emitted = converted.emitted
        assert emitted.binary_ops == 1
        assert [(view.name, view.shape) for view in emitted.inputs] == [("x", (1, 8, 8, 3))]
        session = LarqSession(emitted.data, emitted.inputs, emitted.outputs)
        assert max(converted.differences(session.run)) < 1e-5
        assert len(converted.rows) == 4

    def test_a_wrong_artefact_differs(self, converted: Converted) -> None:
        assert min(converted.differences(lambda feeds: {"y": np.ones((1, 16), np.float32)})) > 0.01

    def test_a_binary_layer_that_stays_float_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConversionError, match="left binary convolutions in float: "):
            convert_keras(saved_network(tmp_path / "net", zero=True))

    def test_our_path_gives_the_operators_and_numbers_of_the_official_one(self, converted: Converted) -> None:
        official = converted.emitted
        text, constants = binary_layer(
            RNG,
            "s",
            "h",
            WEIGHT.shape,
            pads=(1,) * 4,
            multiplier=MULTIPLIER[:, None, None],
            bias=BIAS[:, None, None],
        )
        constants |= {"h_w": WEIGHT, "stem": STEM, "axes": np.array([2, 3])}
        graph = make_graph(
            f"s = Conv <pads = [1, 1, 1, 1]> (x, stem)\n{text} y = ReduceMean <keepdims = 0> (h, axes)",
            {"x": (1, 3, 8, 8)},
            constants=constants,
        )
        ours = emit(graph)
        kinds = [op.kind for op in parse(ours.data).operators]
        assert kinds == [op.kind for op in parse(official.data).operators]
        x = np.random.default_rng(21).normal(size=(1, 3, 8, 8)).astype(np.float32)
        session = LarqSession(official.data, official.inputs, official.outputs)
        found = session.run({"x": np.ascontiguousarray(x.transpose(0, 2, 3, 1))})["y"]
        np.testing.assert_allclose(run(ours, {"x": x})["y"], found, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_files(suffix: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    path = tmp_path / f"model{suffix}"
    model.save(path)
    converted = convert_keras(path)
    emitted = converted.emitted
    assert emitted.binary_ops == 0
    session = LarqSession(emitted.data, emitted.inputs, emitted.outputs)
    assert max(converted.differences(session.run)) < 1e-5


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_file_that_keras_cannot_load_is_an_error_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "broken.keras"
    path.write_bytes(b"no")
    with pytest.raises(ConversionError, match="failed"):
        convert_keras(path)


def test_without_tensorflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(savedmodel, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="the extra 'tensorflow'"):
        convert_keras(tmp_path / "model.keras")


@pytest.mark.tensorflow
def test_what_is_no_keras_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="neither"):
        convert_keras(tmp_path / "missing.keras")
    with pytest.raises(ModelFileError, match="neither"):
        convert_keras(tmp_path)
    assert not is_keras(tmp_path)
