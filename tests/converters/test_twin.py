"""The fp32 twin: the same architecture in float, as an ordinary ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.converters.twin import fp32_twin
from bibench_deploy.graph import BinaryGraph
from support.binary_graphs import binary_layer, make_graph
from support.cli_nets import inputs, write_net
from support.extras import needs
from support.onnx_models import execute

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
TRAINED = ["vgg_neg_gamma__ts__frozen", "resnet20_bireal_zero__ts__latent", "conv1d_bin__ts__frozen"]
F = np.float32


def shapes(graph: BinaryGraph) -> dict[str, Any]:
    values = [*graph.model.graph.inputs, *graph.model.graph.outputs]
    return {value.name or "": tuple(value.shape or ()) for value in values}


@pytest.mark.parametrize("name", TRAINED)
def test_the_twin_of_a_trained_network(name: str) -> None:
    graph = fuse(read(MODELS / f"{name}.onnx"))
    before = graph.proto().SerializeToString(deterministic=True)
    twin = fp32_twin(graph)
    assert graph.proto().SerializeToString(deterministic=True) == before  # the graph given is left alone
    proto = twin.proto()
    assert {node.domain for node in proto.graph.node} == {""}
    assert [entry.domain for entry in proto.opset_import] == [""]
    assert not proto.functions
    assert all(tensor.data_type != 3 for tensor in proto.graph.initializer)  # no int8 signs are left
    assert shapes(twin) == shapes(graph)
    assert [layer.macs for layer in twin.layers] == [layer.macs for layer in graph.layers]
    assert [layer.name for layer in twin.layers] == [layer.name for layer in graph.layers]
    assert not any(layer.kind == "binary" for layer in twin.layers)
    assert twin.source.proto == proto
    assert (twin.source.path, twin.source.sha256) == (graph.source.path, graph.source.sha256)
    shape = next(iter(shapes(twin).values()))
    x = np.random.default_rng(0).standard_normal(shape).astype(F)
    (output,) = execute(proto, {proto.graph.input[0].name: x}).values()
    assert np.isfinite(output).all()


@pytest.mark.parametrize(
    ("weight", "shape", "options"),
    [
        pytest.param((4, 6, 3, 3), (2, 6, 5, 5), {"pads": [1, 1, 1, 1]}, id="conv 2-D"),
        pytest.param(
            (4, 3, 3, 2), (1, 6, 7, 6), {"pads": [2, 0, 1, 1], "strides": [2, 1], "dilations": [1, 2], "group": 2},
            id="groups, strides, dilations, uneven padding",
        ),
        pytest.param((4, 6, 3), (1, 6, 9), {"pads": [1, 1], "strides": [2]}, id="conv 1-D"),
        pytest.param((4, 6), (2, 6), {}, id="linear"),
        pytest.param((4, 6), (1, 5, 6), {}, id="linear over a sequence"),
    ],
)  # fmt: skip
def test_a_layer_computes_in_float_what_its_binary_form_says(
    weight: tuple[int, ...], shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    """On inputs of ±1 the hard tanh is the sign, and padding with 0 is padding with 0."""
    rng = np.random.default_rng(1)
    per_channel = (4,) + (1,) * (len(weight) - 2)
    factors = {"multiplier": rng.uniform(0.5, 2, per_channel), "bias": rng.uniform(-1, 1, per_channel)}
    if len(weight) == 2:
        factors = {name: array.ravel() for name, array in factors.items()}
    body, constants = binary_layer(rng, "x", "y", weight, **options, **factors)
    graph = make_graph(body, {"x": shape}, constants=constants)
    x = rng.choice(np.array([-1, 1], F), shape)
    np.testing.assert_allclose(
        execute(fp32_twin(graph).proto(), {"x": x})["y"],
        execute(graph.proto(), {"x": x})["y"],
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_sign_becomes_the_hard_tanh() -> None:
    body, constants = binary_layer(np.random.default_rng(0), "x", "b", (1, 1, 1, 1), threshold=0.5)
    constants["b_w"] = np.ones((1, 1, 1, 1), np.int8)
    twin = fp32_twin(make_graph(body + "y = Identity (b)", {"x": (1, 1, 1, 4)}, constants=constants))
    x = np.array([-3, -0.5, 0.25, 7], F).reshape(1, 1, 1, 4)
    np.testing.assert_allclose(execute(twin.proto(), {"x": x})["y"].ravel(), [-1, -0.5, 0.25, 1])


@pytest.mark.larq
def test_the_twin_converts_and_has_no_binary_operator(tmp_path: Path) -> None:
    needs("larq_compute_engine", "larq")
    from bibench_deploy.converters import larq
    from support.binary_graphs import run

    twin = fp32_twin(fuse(read(write_net(tmp_path / "net.onnx"))))
    emitted = larq.emit(twin)
    assert emitted.binary_ops == 0
    x = inputs(1)
    np.testing.assert_allclose(
        run(emitted, {"x": x})["y"], execute(twin.proto(), {"x": x})["y"], rtol=1e-4, atol=1e-4
    )


def test_a_run_time_factor_is_no_part_of_the_twin() -> None:
    twin = fp32_twin(fuse(read(MODELS / "vgg_xnor_k__ts__latent.onnx")))
    assert {node.op_type for node in twin.model.graph} == {
        "Conv",
        "Clip",
        "MaxPool",
        "Flatten",
        "Gemm",
        "Mul",
        "Add",
    }
