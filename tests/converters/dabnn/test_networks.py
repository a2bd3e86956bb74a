"""What is emitted computes the graph: random networks, the forms of binary layers, whole architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.converters.capabilities import load
from bibench_deploy.converters.dabnn import emit
from bibench_deploy.converters.dabnn.dab import Kind, parse
from bibench_deploy.converters.deployability import assess
from bibench_deploy.converters.engine import Emitted
from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.converters.reader.evaluate import session
from bibench_deploy.converters.twin import fp32_twin
from bibench_deploy.converters.verification import Reference, verify
from bibench_deploy.errors import NotDeployableError
from bibench_deploy.evaluation_data import random_rows
from bibench_deploy.graph import BinaryGraph
from bibench_deploy.runners.session import opener
from support.binary_graphs import binary_layer, expected, make_graph
from support.dabnn_nets import random_net

F = np.float32
Array = npt.NDArray[np.generic]


def executed(emitted: Emitted, x: Array) -> Array:
    run = opener("dabnn")(emitted.data, emitted.inputs, emitted.outputs)
    return run({"x": x})["y"]


def kinds(emitted: Emitted) -> list[str]:
    return [layer.kind.name for layer in parse(emitted.data).layers]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_random_networks(seed: int) -> None:
    """Emitted and right, equality at thresholds included; or refused, and then ``check`` had said so.

    Always the same ones: one in thousands meets a threshold exactly behind a sum that has to be rounded.
    """
    graph, x = random_net(seed)
    judged = assess(graph, load("dabnn"))
    try:
        emitted = emit(graph)
    except NotDeployableError:
        assert judged.verdict == "not_deployable"
        return
    np.testing.assert_allclose(executed(emitted, x), expected(graph, {"x": x})[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", [56, 93, 941, 1281, 2109, 2452, 5643, 5784, 6052, 9002])
def test_networks_that_were_wrong_once(seed: int) -> None:
    graph, x = random_net(seed)
    np.testing.assert_allclose(executed(emit(graph), x), expected(graph, {"x": x})[0], rtol=1e-4, atol=1e-3)


def layer(*weight: int, size: int = 8, **options: Any) -> BinaryGraph:
    """One binary layer on the picture."""
    text, constants = binary_layer(np.random.default_rng(1), "x", "y", weight, **options)
    return make_graph(text, {"x": (1, weight[1], size, size)}, constants=constants)


PAD = (1, 1, 1, 1)
FORMS = [
    (layer(8, 32, 1, 1), "no padding"),
    (layer(8, 32, 3, 3, pads=PAD, pad_value=-1), "equality by the next float, padding −1 natively"),
    (layer(8, 32, 3, 3, pads=PAD, pad_value=1), "padding +1 by negation"),
    (layer(8, 32, 3, 3, pads=PAD, pad_value=0), "padding 0 by a border constant"),
    (layer(8, 32, 3, 3, pads=PAD, pad_value=0.25), "padding 0.25 by a border constant"),
    (layer(8, 32, 3, 3, pads=PAD, pad_value=-1, direction=-1.0), "padding −1 natively"),
    (
        layer(64, 64, 3, 3, size=7, pads=PAD, pad_value=1),
        "padding +1 by negation, its 64 channels twice, 64 dummy filters",
    ),
    (layer(36, 128, 3, 3, pads=PAD, pad_value=1), "padding +1 by negation, 92 dummy filters"),
    (layer(5, 32, 3, 3, size=7, pads=PAD, pad_value=1), "padding +1 by negation"),
    (layer(8, 64, 1, 1, size=7), "no padding"),
    (layer(8, 3, 3, 3, pads=PAD, pad_value=1, strides=(2, 2)), "padding +1 by negation"),
]


@pytest.mark.parametrize(("graph", "form"), FORMS)
def test_forms_of_a_binary_layer(graph: BinaryGraph, form: str) -> None:
    """On multiples of 1/2, so that a third of the picture is 0, exactly at the threshold."""
    emitted = emit(graph)
    assert emitted.forms["y"] == form
    x = np.random.default_rng(2).integers(-1, 2, emitted.inputs[0].shape).astype(F) / 2
    assert np.array_equal(executed(emitted, x), expected(graph, {"x": x})[0])
    assert emitted.binary_ops == 1


def residual(shifts: tuple[float, ...]) -> BinaryGraph:
    """A stream with a binary layer, its batch-norm and a shortcut for each threshold, as in ReActNet."""
    rng = np.random.default_rng(3)
    lines, constants, x = [], {"w": rng.standard_normal((32, 4, 1, 1)).astype(F), "b": np.ones(32, F)}, "s0"
    lines.append("s0 = Conv (x, w, b)")
    for index, _ in enumerate(shifts):
        text, more = binary_layer(
            rng,
            x,
            f"b{index}",
            (32, 32, 3, 3),
            pads=PAD,
            pad_value=-1,
            threshold=rng.standard_normal((32, 1, 1)) * shifts[index],
            multiplier=rng.standard_normal((32, 1, 1)),
            bias=rng.standard_normal((32, 1, 1)),
        )
        out = "y" if index == len(shifts) - 1 else f"s{index + 1}"
        lines += [text, f"{out} = Add (b{index}, {x})"]
        constants |= more
        x = out
    return make_graph("\n".join(lines), {"x": (1, 4, 8, 8)}, constants=constants)


def test_a_mean_shift_costs_no_operator() -> None:
    """The convolution in front and each batch-norm take the shift along, the last one takes it back."""
    shifted, plain = residual((1.0, 1.0, 1.0)), residual((0.0, 0.0, 0.0))
    emitted = emit(shifted)
    assert [form.split(", ")[0] for form in emitted.forms.values()] == ["mean shift absorbed"] * 3
    assert kinds(emitted) == kinds(emit(plain))  # operator by operator those of a network without shifts
    found = verify(Reference(shifted, random_inputs(8)), emitted, opener("dabnn"))
    assert found.problem is None
    assert found.covered == 3


def test_a_shift_that_nothing_takes_along_is_an_affine() -> None:
    graph = layer(8, 32, 1, 1, threshold=0.3)
    emitted = emit(graph)
    assert emitted.forms["y"] == "mean shift by an Affine"
    x = np.random.default_rng(4).standard_normal((1, 32, 8, 8)).astype(F)
    assert np.array_equal(executed(emitted, x), expected(graph, {"x": x})[0])


def random_inputs(count: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(5)
    return [{"x": rng.standard_normal((1, 4, 8, 8)).astype(F)} for _ in range(count)]


def test_the_callers_picture_stays() -> None:
    """Operators in place on the input would make a second run on the same picture differ."""
    graph = make_graph(
        "r = Relu (x)\n" + binary_layer(np.random.default_rng(1), "r", "y", (4, 4, 1, 1))[0],
        {"x": (1, 4, 4, 4)},
        constants=binary_layer(np.random.default_rng(1), "r", "y", (4, 4, 1, 1))[1],
    )
    first = parse(emit(graph).data).layers[0]
    assert (first.kind, first.inputs) == (Kind.MAX_POOL, ("x",))  # a copy


def strange(body: str, **constants: Array) -> BinaryGraph:
    text, more = binary_layer(np.random.default_rng(1), "x", "b", (8, 8, 3, 3), pads=PAD, pad_value=-1)
    return make_graph(text + body, {"x": (1, 8, 8, 8)}, constants=more | constants)


@pytest.mark.parametrize(
    ("body", "constants", "says"),
    [
        ("y = Sigmoid (b)", {}, "no operator Sigmoid"),
        ("y = Mul (b, x)", {}, "no such operator of two activations"),
        ("y = Add (b, b_s)", {}, "it reads the signs of a value"),
        ("y = Transpose <perm = [0, 1, 3, 2]> (b)", {}, "no operator Transpose"),
        ("y = Mul (b, k)", {"k": np.arange(64, dtype=F).reshape(8, 8)}, "varies over the map"),
        ("y = Conv <pads = [1, 0, 1, 0]> (b, k)", {"k": np.ones((4, 8, 3, 1), F)}, "square"),
        ("y = Conv <pads = [0, 0, 1, 1]> (b, k)", {"k": np.ones((4, 8, 3, 3), F)}, "same padding"),
        ("y = Conv <group = 2> (b, k)", {"k": np.ones((4, 4, 1, 1), F)}, "grouped"),
        ("y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (b)", {}, "ceil_mode"),
        (
            "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (b)",
            {},
            "counts",
        ),
        ("y = Concat <axis = 1> (b, b, x)", {}, "joins two activations"),
        ("y = Reshape (b, k)", {"k": np.array([1, 8, 4, 16])}, "it reshapes"),
    ],
)
def test_refused_with_the_node(body: str, constants: dict[str, Array], says: str) -> None:
    """And ``check`` had said so."""
    graph = strange(body, **constants)
    with pytest.raises(NotDeployableError) as error:
        emit(graph)
    assert says in error.value.message + (error.value.remedy or "")
    assert "node " in (error.value.where or "")
    assert assess(graph, load("dabnn")).verdict == "not_deployable"


@pytest.mark.zoo
@pytest.mark.parametrize("algorithm", ["bireal", "reactnet"])
def test_an_architecture_of_the_zoo(algorithm: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from bibench_deploy.zoo import registry
    from bibench_deploy.zoo.export import export_random

    path = tmp_path / "net.onnx"
    cifar = registry.dataset("cifar10")
    options = registry.options(sign_zero=1, pad_value=0, xnor_k="location")
    export_random("resnet20", algorithm, cifar, options, seed=0, output=path)
    graph = fuse(read(path))
    for each in (graph, fp32_twin(graph)):
        emitted = emit(each)
        assert emitted.binary_ops == len(each.binary_layers)
        found = verify(Reference(each, random_rows(each)), emitted, opener("dabnn"))
        assert found.problem is None
        assert found.covered == len(each.binary_layers)


MODELS = Path(__file__).parents[2] / "fixtures" / "models"
TRAINED = ["vgg_neg_gamma__ts__frozen", "vgg_one_pad__dynamo__frozen", "vgg_torchsign_detach__ts__latent"]


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_network_sees_the_same_pictures(name: str) -> None:
    """Padding −1, +1 and 0, negative batch-norm factors, torch.sign: each class as onnxruntime gives it."""
    graph = fuse(read(MODELS / f"{name}.onnx"))
    emitted = emit(graph)
    with np.load(MODELS / "fashion_300.npz") as loaded:
        scaled = loaded["images"][:40].astype(F) / F(255)
        pictures = ((scaled - loaded["mean"]) / loaded["std"])[:, None]
    run = opener("dabnn")(emitted.data, emitted.inputs, emitted.outputs)
    got = np.concatenate([run({"input": picture[None]})["logits"] for picture in pictures])
    reference = session(graph.source.proto)
    wanted = np.concatenate([reference.run(["logits"], {"input": picture[None]})[0] for picture in pictures])
    assert np.array_equal(got.argmax(1), wanted.argmax(1))
    difference = np.abs(got - wanted).max(axis=1) / np.abs(wanted).max(axis=1)
    assert np.median(difference) < 1e-5
